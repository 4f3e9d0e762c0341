"""A name is resolved once for each connection, and leads nowhere but to an address that was judged.

The resolvers here answer from a script, as a merchant's own name server may.
"""

import asyncio
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import trustme

from connector_pipeline.model.errors import InvalidResponse, PlatformUnavailable
from connector_pipeline.platforms.http.client import OriginHttp
from connector_pipeline.platforms.http.download import FileDownload
from connector_pipeline.platforms.http.resolving import system_addresses
from connector_pipeline.platforms.http.retrying import HttpPolicy
from connector_pipeline.platforms.kit.contract import FetchReport
from connector_pipeline_tests.platforms.http.test_client import answer, loopback

PUBLIC, ALSO_PUBLIC = "192.31.196.1", "2001:4:112::1"
"""Addresses at which nobody serves shops (https://www.iana.org/assignments/as112)."""
SECRET = "s3cr3t-0f-the-sh0p"
STRICT = HttpPolicy(max_retries=0, retry_delay=0.001, connect_timeout=5.0)
HOME = replace(STRICT, allow_private_hosts=True)
Addresses = Sequence[str] | OSError


@dataclass
class NameServer:
    """Answers from a script, then repeats its last line. `asked` are the names it was asked for."""

    script: list[Addresses]
    asked: list[str] = field(default_factory=list[str])

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(f"{host}:{port}")
        line = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(line, OSError):
            raise line
        return line


_watched: list[tuple[Any, ...]] | None = None


def _watch(event: str, details: tuple[Any, ...]) -> None:
    if event == "socket.connect" and _watched is not None and isinstance(details[1], tuple):
        _watched.append(details[1])
        if details[1][0] in (PUBLIC, ALSO_PUBLIC):
            # No packet leaves this machine.
            raise ConnectionRefusedError("the test allows no connection to the internet")


sys.addaudithook(_watch)


@contextmanager
def connects() -> Iterator[list[tuple[Any, ...]]]:
    """The addresses that any socket of this process is told to connect to in the block.

    Python itself reports them (https://docs.python.org/3/library/audit_events.html).
    """
    global _watched
    _watched = seen = []
    try:
        yield seen
    finally:
        _watched = None


async def ask(url: str, policy: HttpPolicy, names: NameServer) -> object:
    """Send one GET with a credential."""
    policy = replace(policy, resolve=names)
    async with OriginHttp(url, policy=policy, report=FetchReport()) as http:
        headers = {"Authorization": f"Bearer {SECRET}"}
        return (await http.request("GET", "/products", headers=headers)).json


async def test_a_name_that_leads_to_us_at_the_second_time_leads_nowhere() -> None:
    """DNS rebinding: the connection goes to the address that was judged, by one resolution."""
    names = NameServer([[PUBLIC], ["127.0.0.1"]])
    async with loopback(answer()) as stranger:
        port = int(stranger.url.rpartition(":")[2])
        with connects() as connected, pytest.raises(PlatformUnavailable, match="ConnectError"):
            await ask(f"https://shop.example:{port}", STRICT, names)
        assert names.asked == [f"shop.example:{port}"]
        assert [address[:2] for address in connected] == [(PUBLIC, port)]
        with connects() as connected, pytest.raises(InvalidResponse, match="private address"):
            await ask(f"https://shop.example:{port}", STRICT, names)
        assert connected == []
    assert stranger.heard == []


async def test_a_retry_is_judged_again() -> None:
    """The second try of the same request resolves anew, and ends at the private address."""
    names = NameServer([[PUBLIC], ["127.0.0.1"]])
    async with loopback(answer()) as stranger:
        port = int(stranger.url.rpartition(":")[2])
        with connects() as connected, pytest.raises(InvalidResponse, match=r"\(127\.0\.0\.1\)"):
            await ask(f"https://shop.example:{port}", replace(STRICT, max_retries=3), names)
    assert len(names.asked) == 2
    assert [address[0] for address in connected] == [PUBLIC]
    assert stranger.heard == []


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["169.254.169.254"],
        ["fd00:ec2::254"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["fe80::1%1"],
        [PUBLIC, "127.0.0.1"],
        ["10.0.0.1", PUBLIC],
        [ALSO_PUBLIC, "::1"],
    ],
)
async def test_one_private_address_refuses_the_name(addresses: list[str]) -> None:
    """Also one among public ones. Nothing is connected to."""
    url, names = "https://shop.example", NameServer([addresses])
    with connects() as connected, pytest.raises(InvalidResponse, match="private address"):
        await ask(url, STRICT, names)
    file = FileDownload(
        f"{url}/f", hosts=["shop.example"], policy=replace(STRICT, resolve=names),
        report=FetchReport(),
    )  # fmt: skip
    async with file:
        with connects() as also_connected, pytest.raises(InvalidResponse, match="private address"):
            [part async for part in file.parts()]
    assert connected == also_connected == []


async def test_a_download_goes_to_the_address_that_was_judged() -> None:
    """The owner of a name among SHOPIFY_BULK_HOSTS cannot rebind it either."""
    names = NameServer([[PUBLIC], ["127.0.0.1"]])
    policy = replace(STRICT, resolve=names)
    file = FileDownload(
        "https://files.example/f", hosts=["files.example"], policy=policy, report=FetchReport()
    )
    async with file:
        with connects() as connected, pytest.raises(PlatformUnavailable, match="ConnectError"):
            [part async for part in file.parts()]
    assert names.asked == ["files.example:443"]
    assert [address[:2] for address in connected] == [(PUBLIC, 443)]


@asynccontextmanager
async def tls_server(authority: trustme.CA, host: str) -> AsyncIterator[tuple[int, list[str]]]:
    """The port of a shop at an address of this machine, and what each request and hello named."""
    named: list[str] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("shop.example").configure_cert(context)
    context.sni_callback = lambda _socket, name, _context: named.append(f"TLS {name}")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        named.extend(line for line in head.split("\r\n") if line.lower().startswith("host:"))
        writer.write(answer(b"[1]"))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, host, 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1], named
    finally:
        server.close()


@pytest.mark.usefixtures("shop_names")
async def test_the_name_is_kept_for_tls_and_for_the_request(authority: trustme.CA) -> None:
    """Only the connection goes to the address: the certificate is checked for the name."""
    async with tls_server(authority, "127.0.0.2") as (port, named):
        names = NameServer([["127.0.0.2"], ["127.0.0.1"]])
        assert await ask(f"https://shop.example:{port}", HOME, names) == [1]
        assert named == ["TLS shop.example", f"Host: shop.example:{port}"]
        assert len(names.asked) == 1
        with pytest.raises(PlatformUnavailable, match="not valid for it, but for other names"):
            await ask(f"https://other.example:{port}", HOME, NameServer([["127.0.0.2"]]))


async def test_the_next_address_is_tried_where_one_takes_no_connection(
    unused_tcp_port: int,
) -> None:
    """In the order of the resolver, and the last error is reported if all fail."""
    async with loopback(answer(b"[1]")) as shop:
        port = int(shop.url.rpartition(":")[2])
        names = NameServer([["::1", "127.0.0.3", "127.0.0.1"]])
        with connects() as connected:
            assert await ask(f"http://shop.example:{port}", HOME, names) == [1]
    assert [address[0] for address in connected] == ["::1", "127.0.0.3", "127.0.0.1"]
    with pytest.raises(PlatformUnavailable, match=rf"shop\.example:{unused_tcp_port} could not be"):
        await ask(f"http://shop.example:{unused_tcp_port}", HOME, names)


@pytest.mark.parametrize(
    "line", [[], socket.gaierror(socket.EAI_NONAME, "no"), socket.gaierror(socket.EAI_AGAIN, "x")]
)
@pytest.mark.parametrize("policy", [STRICT, HOME])
async def test_a_name_that_does_not_resolve_is_called_one(
    policy: HttpPolicy, line: Addresses
) -> None:
    """It may be that of today, so it is tried again."""
    names = NameServer([line])
    with pytest.raises(
        PlatformUnavailable, match=r"https://shop\.example:8443: the host name does"
    ):
        await ask("https://shop.example:8443", replace(policy, max_retries=2), names)
    assert len(names.asked) == 3


async def test_a_name_server_that_hangs_is_given_up() -> None:
    """As a host is that takes no connection."""

    async def hangs(host: str, port: int) -> Sequence[str]:
        return await asyncio.Future[Sequence[str]]()

    policy = replace(STRICT, resolve=hangs, connect_timeout=0.05)
    async with OriginHttp("https://shop.example", policy=policy, report=FetchReport()) as http:
        with pytest.raises(PlatformUnavailable, match="ConnectTimeout"):
            await http.request("GET", "/products")


@pytest.mark.parametrize("host", ["a..example", "a" * 64 + ".example", ".", "a" * 300])
async def test_a_host_that_cannot_be_a_name_does_not_resolve(host: str) -> None:
    """Python encodes names itself, and its error is none of a resolver."""
    with pytest.raises(socket.gaierror):
        await system_addresses(host, 443)


@pytest.mark.parametrize("host", ["xn--localhost-9za.example", "xn--a.example", "xn--0.example"])
async def test_an_international_name_that_cannot_exist_is_named(host: str) -> None:
    """It has the form of a host name, so a shop may be registered by it."""
    with pytest.raises(InvalidResponse, match=f"https://{host} cannot be asked"):
        await ask(f"https://{host}", STRICT, NameServer([[PUBLIC]]))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "0x7f.1",
        "2130706433",
        "017700000001",
        "localhost",
        "localhost.",
        "[::1]",
        "[::ffff:7f00:1]",
    ],
)
async def test_every_notation_of_this_machine_is_refused(host: str) -> None:
    """The system's own resolver reads them all."""
    async with loopback(answer()) as stranger:
        url = f"https://{host}:{stranger.url.rpartition(':')[2]}"
        with connects() as connected, pytest.raises((InvalidResponse, PlatformUnavailable)):
            async with OriginHttp(url, policy=STRICT, report=FetchReport()) as http:
                await http.request("GET", "/products")
    assert connected == []
    assert stranger.heard == []
