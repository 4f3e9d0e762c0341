"""The addresses in the headers Host and Origin, and those by which people may reach the UI.

A browser sends as Host the name in its address bar, and as Origin the page whose script or form
made the request. A foreign page cannot alter either. So a Host that is nobody's name for this
server shows a name that was made to lead here (DNS rebinding), and an Origin that is not the Host
shows a foreign page. Forms: RFC 9112, section 3.2; RFC 6454, section 7.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

_AUTHORITY: Final = re.compile(
    r"(?:\[(?P<bracketed>[0-9a-f:.]+)\]|(?P<plain>[a-z0-9_-]+(?:\.[a-z0-9_-]+)*))(?::(?P<port>[0-9]{1,5}))?",
    re.ASCII | re.IGNORECASE,
)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port. `name` is in lower case, an IP address in its shortest form."""

    name: str
    port: int | None

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine's own, and no name that somebody's DNS may lead here."""
        ip = _ip(self.name)
        return self.name == "localhost" if ip is None else ip.is_loopback


def host_address(header: str) -> Address | None:
    """The address of a Host header, None if it is malformed."""
    match = _AUTHORITY.fullmatch(header)
    if match is None:
        return None
    port = None if match["port"] is None else int(match["port"])
    if port is not None and not 0 < port < 65_536:
        return None
    name = normal_name(match["plain"] or match["bracketed"])
    if name is None or (match["plain"] is None and ":" not in match["bracketed"]):
        return None
    return Address(name, port)


def normal_name(written: str) -> str | None:
    """A host name or an IP address (IPv6 without brackets) as `Address.name`; None if it is none.

    An IPv4 address that is written as an IPv6 one is the same host.
    """
    ip = _ip(written)
    if ip is not None:
        return str(ip)
    match = _AUTHORITY.fullmatch(written)
    return None if match is None or match["plain"] != written else written.lower()


def is_origin_of(origin: str, host: Address) -> bool:
    """Whether an Origin header names the server that a Host header names.

    A Host without a port means the default port of the Origin's scheme: TLS may end before us. An
    Origin that is no web page's (`null`, an extension's) names no server.
    """
    scheme, separator, authority = origin.partition("://")
    default = _DEFAULT_PORTS.get(scheme.lower())
    address = host_address(authority)
    if not separator or default is None or address is None:
        return False
    return (address.name, address.port or default) == (host.name, host.port or default)


def _ip(written: str) -> IPv4Address | IPv6Address | None:
    try:
        ip = ip_address(written)
    except ValueError:
        return None
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return mapped or ip
