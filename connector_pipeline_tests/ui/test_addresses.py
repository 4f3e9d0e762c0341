"""A Host or an Origin is read as browsers write them, and as nothing else."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connector_pipeline.ui.addresses import Address, host_address, is_origin_of, normal_name

NAMES = st.from_regex(r"[a-z]([a-z0-9-]{0,10}[a-z0-9])?(\.[a-z]{2,8}){0,3}", fullmatch=True)
PORTS = st.integers(1, 65_535)
HOSTS = st.one_of(
    NAMES,
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda ip: f"[{ip}]"),
)


@given(HOSTS, st.none() | PORTS)
def test_a_host_is_read_with_its_port(host: str, port: int | None) -> None:
    """In whichever case it is written."""
    written = host if port is None else f"{host}:{port}"
    address = host_address(written)
    assert address == Address(normal_name(host.strip("[]")) or "", port)
    assert host_address(written.upper()) == address


@pytest.mark.parametrize(
    "header",
    [
        "",
        ":3000",
        "localhost:",
        "localhost:0",
        "localhost:65536",
        "localhost:+80",
        "localhost:3000:3000",
        "localhost:٣٠٠٠",
        "user@localhost",
        "localhost@evil.example",
        "localhost/evil.example",
        "localhost,evil.example",
        "localhost evil.example",
        " localhost",
        "localhost\n",
        "localhost.",
        "evil.example\\localhost",
        "[::1",
        "::1",
        "[::1]evil.example",
        "[localhost]",
        "[127.0.0.1]",
        "[::1%25lo]",
        "http://localhost",
        "\u017fervice",
    ],
)
def test_what_no_browser_writes_is_no_host(header: str) -> None:
    """Nothing of it is taken for the host."""
    assert host_address(header) is None


@given(st.text())
@example("[::ffff:127.0.0.1]:80")
def test_any_text_is_an_address_or_none(header: str) -> None:
    """What was read is written and read again the same."""
    address = host_address(header)
    if address is not None:
        host = f"[{address.name}]" if ":" in address.name else address.name
        again = host if address.port is None else f"{host}:{address.port}"
        assert host_address(again) == address


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:3000", "127.0.0.1", "127.9.9.9:1", "[::1]:3000", "[::ffff:7f00:1]"],
)
def test_loopback_is_this_machine(host: str) -> None:
    """By each of its addresses, and by the one name that no DNS gives out."""
    address = host_address(host)
    assert address is not None
    assert address.is_loopback


@pytest.mark.parametrize(
    "host",
    [
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.localhost.example",
        "127.1",
        "0x7f000001",
        "2130706433",
        "0.0.0.0",
        "[::]",
        "10.0.0.1",
        "169.254.169.254",
        "[fe80::1]",
        "[::ffff:10.0.0.1]",
        "localhost1",
    ],
)
def test_no_other_name_or_address_is_loopback(host: str) -> None:
    """Browsers write 127.1 as 127.0.0.1; a name that looks like it may be led anywhere."""
    address = host_address(host)
    assert address is not None
    assert not address.is_loopback


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_an_ipv4_address_in_an_ipv6_one_is_the_same_host(ip: IPv4Address) -> None:
    """A socket that listens to both shows it so."""
    mapped = IPv6Address(b"\0" * 10 + b"\xff\xff" + ip.packed)
    assert host_address(f"[{mapped}]") == host_address(str(ip))


@given(HOSTS, st.none() | PORTS, st.sampled_from(["http", "https"]))
def test_a_page_of_the_host_itself_is_of_its_origin(
    host: str, port: int | None, scheme: str
) -> None:
    """A browser leaves out the default port of both, or writes that of another for both."""
    written = host if port is None else f"{host}:{port}"
    address = host_address(written)
    assert address is not None
    assert is_origin_of(f"{scheme}://{written}", address)


@given(HOSTS, HOSTS, st.none() | PORTS, st.none() | PORTS, st.sampled_from(["http", "https"]))
def test_a_page_of_any_other_host_or_port_is_foreign(
    one: str, other: str, port: int | None, other_port: int | None, scheme: str
) -> None:
    """Another port of the same machine is another server."""
    default = 443 if scheme == "https" else 80
    first, second = Address(one.strip("[]"), port), host_address(other)
    assert second is not None
    origin = f"{scheme}://{one}" if port is None else f"{scheme}://{one}:{port}"
    host = Address(second.name, other_port)
    same = normal_name(first.name) == host.name and (port or default) == (other_port or default)
    assert is_origin_of(origin, host) is same


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "null",
        "localhost:3000",
        "//localhost:3000",
        "file://",
        "chrome-extension://localhost:3000",
        "ws://localhost:3000",
        "http://localhost",
        "http://localhost:3000/",
        "http://localhost:3000, http://evil.example",
        "http://localhost:3000 ",
        "http://localhost:3000@evil.example",
        "http://user@localhost:3000",
        "http://evil.example",
        "http://localhost:30000",
        "http://127.0.0.1:3000",
        "http:localhost:3000",
        "http://http://localhost:3000",
    ],
)
def test_what_is_no_page_of_the_host_is_foreign(origin: str) -> None:
    """Also what looks like it, and what has no host."""
    assert is_origin_of("http://localhost:3000", Address("localhost", 3000))
    assert not is_origin_of(origin, Address("localhost", 3000))


@given(st.text())
def test_no_text_is_an_origin_by_mistake(origin: str) -> None:
    """Only the two ways to write it are."""
    expected = origin.lower() in ("http://ui.example:3000", "https://ui.example:3000")
    assert is_origin_of(origin, Address("ui.example", 3000)) is expected
