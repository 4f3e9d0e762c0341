"""Judges whether an address, or a host written in place of one, is on the public internet.

Python's `is_global` is another list in each version, and judges an IPv6 address that carries an
IPv4 address by its prefix alone. The lists here are those of IANA's registries
(https://www.iana.org/assignments/iana-ipv4-special-registry,
https://www.iana.org/assignments/iana-ipv6-special-registry).
"""

import ipaddress
import re
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

_NOT_PUBLIC_4: Final = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",  # carrier-grade NAT
            "127.0.0.0/8",
            "168.63.129.16/32",  # the platform's own services in every network of Azure
            "169.254.0.0/16",  # link-local, with the metadata services of clouds
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",
        ),
    )
)

# All that IANA has given out. Loopback, unspecified, IPv4-compatible, unique local (with the
# metadata services of clouds), link-local, site-local and multicast addresses are outside.
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
_NOT_PUBLIC_6: Final = tuple(
    map(IPv6Network, ("2001::/23", "2001:db8::/32", "3ffe::/16", "3fff::/20"))
)

_MAPPED: Final = IPv6Network("::ffff:0:0/96")
# A network may put the IPv4 address into any part of 64:ff9b:1::/48, so none of it can be judged.
_NAT64: Final = IPv6Network("64:ff9b::/96")
_SIX_TO_FOUR: Final = IPv6Network("2002::/16")
_TEREDO: Final = IPv6Network("2001::/32")
_ISATAP: Final = frozenset({0x0000_5EFE, 0x0200_5EFE})
_32_BITS: Final = 0xFFFF_FFFF

_PRIVATE_NAMES: Final = ("localhost", "localdomain", "local", "internal", "home.arpa")
_ENDS_IN_A_NUMBER: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")


def is_public(address: str) -> bool:
    """Whether the address may be connected to as one of the public internet.

    An IPv4 address within an IPv6 address is judged too: to such an address the network, or this
    machine, connects in the end. An address with a zone (`fe80::1%eth0`) is never public.
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, IPv4Address):
        return _is_public_4(found)
    if found.scope_id is not None or not all(map(_is_public_4, _embedded(found))):
        return False
    if any(found in network for network in (_MAPPED, _NAT64, _SIX_TO_FOUR, _TEREDO)):
        return True
    return found in _GLOBAL_UNICAST and not any(found in network for network in _NOT_PUBLIC_6)


def may_be_public(host: str) -> bool:
    """Whether a host of a URL, which a proxy resolves, may be on the public internet.

    An address is judged in every notation that a resolver reads, e.g. `0x7f.1`. Names that stand
    for this machine or for its network are not public (RFC 6761, 6762, 8375); nor is a name without
    a dot, which a resolver completes with a domain of its own.
    """
    name = host.strip("[]").rstrip(".").lower()
    if ":" in name:
        return is_public(name)
    if _ENDS_IN_A_NUMBER.fullmatch(name):
        try:
            return is_public(socket.inet_ntoa(socket.inet_aton(name)))
        except OSError:
            return False
    return "." in name and not f".{name}".endswith(tuple(f".{each}" for each in _PRIVATE_NAMES))


def _is_public_4(address: IPv4Address) -> bool:
    return not any(address in network for network in _NOT_PUBLIC_4)


def _embedded(address: IPv6Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses that an IPv6 address carries.

    RFC 4291 (mapped), 6052 (NAT64), 3056 (6to4), 4380 (Teredo: server and client), 5214 (ISATAP).
    """
    number = int(address)
    last = number & _32_BITS
    if address in _MAPPED or address in _NAT64:
        yield IPv4Address(last)
    if address in _SIX_TO_FOUR:
        yield IPv4Address(number >> 80 & _32_BITS)
    if address in _TEREDO:
        yield IPv4Address(number >> 64 & _32_BITS)
        yield IPv4Address(last ^ _32_BITS)
    elif number >> 32 & _32_BITS in _ISATAP:
        yield IPv4Address(last)
