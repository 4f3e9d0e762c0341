"""The addresses to which a shop's name may lead, and the ones that are refused."""

import ipaddress
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connector_pipeline.platforms.http.addresses import is_public, may_be_public

PUBLIC = [
    "8.8.8.8",
    "23.227.38.65",
    "100.63.255.255",
    "100.128.0.1",
    "172.15.255.255",
    "172.32.0.1",
    "192.0.1.1",
    "223.255.255.255",
    "2001:4860:4860::8888",
    "2606:4700::6810:84e5",
    "2a00:1450:400f:80d::200e",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
]
PRIVATE = [
    # This machine and its networks.
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "100.127.255.255",
    "169.254.0.1",
    # Metadata and other services of clouds: AWS, Google and Azure; Alibaba; Oracle; Azure.
    "169.254.169.254",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
    "fd00:ec2::254",
    "fd20:ce::254",
    # Reserved, for documentation, for benchmarks, multicast, broadcast.
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.7",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "100::1",
    "fc00::1",
    "fd12:3456:789a::1",
    "fe80::1",
    "febf::1",
    "fec0::1",
    "feff::1",
    "ff02::1",
    "ff0e::1",
    "2001:db8::1",
    "2001:2::1",
    "2001:20::1",
    "3fff::1",
    "5f00::1",
    "4000::1",
    # With a zone, even if it were public without.
    "fe80::1%eth0",
    "2606:4700::1%1",
    # An IPv4 address within an IPv6 address.
    "::ffff:127.0.0.1",
    "::ffff:a9fe:a9fe",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::127.0.0.1",
    "64:ff9b:1:7f00:0:100::",
    "64:ff9b:1::8.8.8.8",
    "2002:7f00:1::1",
    "2002:a9fe:a9fe::",
    "2001:0:808:808:0:0:80ff:fffe",
    "2001:0:7f00:1:0:0:f7f7:f7f7",
    "2606:4700::5efe:127.0.0.1",
    "2606:4700::200:5efe:10.0.0.1",
    # No address.
    "",
    "localhost",
    "127.1",
    "0x7f.0.0.1",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_be_connected_to(address: str) -> None:
    """Also one within an IPv6 address, as a network without IPv4 has it."""
    assert is_public(address)
    assert may_be_public(address)


@pytest.mark.parametrize("address", PRIVATE)
def test_any_other_address_is_refused(address: str) -> None:
    """Whatever carries it."""
    assert not is_public(address)
    assert not may_be_public(address)


CARRIERS = [
    lambda v4: f"::ffff:{v4}",
    lambda v4: f"64:ff9b::{v4}",
    lambda v4: str(IPv6Address((0x2002 << 112) | (int(v4) << 80) | 1)),
    lambda v4: str(IPv6Address((0x20010000_08080808 << 64) | (int(v4) ^ 0xFFFF_FFFF))),
    lambda v4: str(IPv6Address((0x20010000 << 96) | (int(v4) << 64) | 0xF7F7_F7F7)),
    lambda v4: f"2606:4700::5efe:{v4}",
]
EDGES = ("9.255.255.255", "10.0.0.0", "126.0.0.1", "127.0.0.1", "169.254.169.254", "224.0.0.0")
NUMBERS = st.integers(0, 2**32 - 1) | st.sampled_from([int(IPv4Address(each)) for each in EDGES])


@pytest.mark.parametrize("carrier", range(len(CARRIERS)))
@given(number=NUMBERS)
@example(number=0x7F00_0001)
@example(number=0x0808_0808)
def test_an_address_within_an_address_is_judged_as_the_inner_one(carrier: int, number: int) -> None:
    """Mapped, NAT64, 6to4, Teredo's client and server, ISATAP."""
    inner = IPv4Address(number)
    assert is_public(CARRIERS[carrier](inner)) is is_public(str(inner))


@given(st.integers(0, 2**128 - 1).map(IPv6Address) | st.integers(0, 2**32 - 1).map(IPv4Address))
def test_nothing_that_python_calls_private_is_public(
    address: IPv4Address | IPv6Address,
) -> None:
    """Every version's list, except for the carriers, which those lists judge by their prefix."""
    carrier = isinstance(address, IPv6Address) and (
        address.ipv4_mapped or address.sixtofour or address.teredo
    )
    if is_public(str(address)) and not carrier:
        assert not address.is_private
        assert not address.is_multicast
        assert not address.is_link_local


@given(st.text() | st.ip_addresses().map(str))
def test_any_text_is_judged(text: str) -> None:
    """Neither judge raises an error, and an address that is written plainly is judged as it is."""
    public = is_public(text)
    try:
        ipaddress.ip_address(text)
    except ValueError:
        assert not public
        may_be_public(text)
    else:
        assert may_be_public(text) is public


@pytest.mark.parametrize(
    "host",
    [
        # The notations of an address that getaddrinfo reads.
        "127.1",
        "127.0.1",
        "2130706433",
        "017700000001",
        "0177.0.0.1",
        "0x7f.1",
        "0x7f000001",
        "0X7F.0.0.1",
        "0xa9fea9fe",
        "2852039166",
        "10.1",
        "[::1]",
        "[::ffff:7f00:1]",
        "[fe80::1%25eth0]",
        # With a dot at the end.
        "127.0.0.1.",
        "2130706433.",
        "localhost.",
        # No address, and no name either.
        "127.0.0.08",
        "1.2.3.4.5",
        "4294967296",
        "example.0x",
        "8.8.8.8.in-addr.127",
        # Names of this machine and of its network.
        "localhost",
        "LOCALHOST",
        "shop.localhost",
        "localhost.localdomain",
        "printer.local",
        "metadata.google.internal",
        "metadata.google.internal.",
        "router.home.arpa",
        "intranet",
        "",
        ".",
    ],
)
def test_a_host_that_is_no_public_name_is_not_given_to_a_proxy(host: str) -> None:
    """The proxy resolves names itself, and may stand in a network of services."""
    assert not may_be_public(host)


@pytest.mark.parametrize(
    "host",
    ["shop.example.com", "shop.example.com.", "xn--kp-fka.example", "8.8.8.8", "134744072",
     "0x8.0x8.0x8.0x8", "[2606:4700::1]", "mylocal.example", "internal.example", "1.example"],
)  # fmt: skip
def test_a_public_name_is_the_proxys_to_resolve(host: str) -> None:
    """A number at its front, or a private word within, makes no name private."""
    assert may_be_public(host)
