"""Promises about the proxy of the settings, kept against a real one and real TLS shops."""

import asyncio
import base64
import logging
import ssl
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import quote

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.credentials.token_service import TokenService
from connector_pipeline.model.errors import (
    InvalidResponse,
    PlatformUnavailable,
)
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.http.client import OriginHttp
from connector_pipeline.platforms.http.download import FileDownload
from connector_pipeline.platforms.http.proxy import Proxy
from connector_pipeline.platforms.http.retrying import HttpPolicy
from connector_pipeline.platforms.kit.contract import Credentials, FetchReport
from connector_pipeline.settings import load_settings
from connector_pipeline_tests.platforms.http.connect_proxy import HANG, ConnectProxy, proxying
from connector_pipeline_tests.platforms.http.file_host import FileHost, serving
from connector_pipeline_tests.platforms.http.test_client import answer, loopback
from connector_pipeline_tests.platforms.http.test_connections import (
    CancelledAtAStep,
    none_is_open,
)

pytestmark = pytest.mark.usefixtures("shop_names")
SECRET, PASSWORD = "s3cr3t-0f-the-sh0p", "pr0xy:p@ss/w0rd"
BASIC = "Basic " + base64.b64encode(f"usér:{PASSWORD}".encode()).decode()
USER = "us%C3%A9r:pr0xy%3Ap%40ss%2Fw0rd@"
POLICY = HttpPolicy(allow_private_hosts=True, max_retries=1, retry_delay=0.001, connect_timeout=5.0)
Use = Callable[..., None]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    """Sets the proxy of the settings."""

    def to(proxy: ConnectProxy, user: str = "", *, scheme: str = "http", without: str = "") -> None:
        host = "127.0.0.1" if scheme == "http" else "proxy.example"
        monkeypatch.setenv("CONNECTOR_PROXY_URL", f"{scheme}://{user}{host}:{proxy.port}")
        monkeypatch.setenv("CONNECTOR_NO_PROXY", without)

    return to


@asynccontextmanager
async def tls_shop(authority: trustme.CA) -> AsyncIterator[tuple[str, list[str]]]:
    """The URL of a shop that speaks TLS, and the heads of the requests that it hears."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("shop.example").configure_cert(context)
    heard: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                heard.append((await reader.readuntil(b"\r\n\r\n")).decode())
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n[1]")
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield f"https://shop.example:{server.sockets[0].getsockname()[1]}", heard
    finally:
        server.close()


async def ask(url: str, policy: HttpPolicy = POLICY, report: FetchReport | None = None) -> object:
    """Ask twice with a credential, and return the second answer's JSON."""
    headers = {"Authorization": f"Bearer {SECRET}"}
    async with OriginHttp(url, policy=policy, report=report or FetchReport()) as http:
        await http.request("GET", "/products", headers=headers)
        return (await http.request("GET", "/products", headers=headers)).json


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_shop_is_asked_through_a_tunnel(
    authority: trustme.CA, use: Use, scheme: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The shop's credentials are in the tunnel alone, and the proxy's outside of it alone."""
    caplog.set_level(logging.DEBUG)
    tls = None
    if scheme == "https":
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("proxy.example").configure_cert(tls)
    async with (
        tls_shop(authority) as (url, heard),
        proxying(ConnectProxy(authorization=BASIC), tls) as proxy,
    ):
        use(proxy, USER, scheme=scheme)
        assert await ask(url) == [1]
    target = url.removeprefix("https://")
    assert proxy.heads == [
        f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: {BASIC}\r\n\r\n"
    ]
    assert len(heard) == 2
    assert all(f"Bearer {SECRET}" in head for head in heard)
    assert not any("proxy" in head.lower() for head in heard)
    assert SECRET.encode() not in proxy.passed
    assert len(proxy.passed) > 1000
    for record in caplog.get_records("call"):
        assert PASSWORD not in record.getMessage()
        assert BASIC not in record.getMessage()
        assert SECRET not in record.getMessage()


async def test_a_proxy_without_a_password_is_sent_none(authority: trustme.CA, use: Use) -> None:
    """No header is made up."""
    async with tls_shop(authority) as (url, _), proxying(ConnectProxy()) as proxy:
        use(proxy)
        assert await ask(url) == [1]
    assert "authorization" not in proxy.heads[0].lower()


async def test_a_certificate_is_judged_within_the_tunnel(authority: trustme.CA, use: Use) -> None:
    """A proxy that answers in the shop's place gets no credential."""
    async with tls_shop(authority) as (url, heard), proxying(ConnectProxy()) as proxy:
        use(proxy)
        other = url.replace("shop.example", "other.example")
        with pytest.raises(PlatformUnavailable, match="not valid for it, but for other names"):
            await ask(other)
    assert heard == []
    assert len(proxy.heads) == 2


async def test_a_shop_without_https_gets_a_tunnel_too(use: Use) -> None:
    """So the proxy's password is in no request that a shop hears."""
    async with loopback(answer(b"[1]")) as shop, proxying(ConnectProxy(BASIC)) as proxy:
        use(proxy, USER)
        assert await ask(shop.url) == [1]
    assert proxy.heads[0].startswith("CONNECT 127.0.0.1:")
    assert all(head.startswith("GET /products HTTP/1.1\r\n") for head in shop.heard)
    assert not any("proxy" in head.lower() for head in shop.heard)


async def test_a_bulk_result_is_downloaded_through_the_proxy(use: Use) -> None:
    """The file's host sees the proxy."""
    async with serving(FileHost(b"lines\n" * 100)) as host, proxying(ConnectProxy()) as proxy:
        use(proxy)
        async with FileDownload(host.url, hosts=(), policy=POLICY, report=FetchReport()) as file:
            assert b"".join([part async for part in file.parts()]) == host.content
    assert proxy.heads[0].startswith(f"CONNECT 127.0.0.1:{host.port} ")


async def test_the_token_service_is_asked_directly(use: Use) -> None:
    """It is in our own network, and its answers are secrets."""
    shop = Shop(merchant_id="m", platform_name="x", platform_shop_id="1", domain="a.example")
    async with (
        loopback(answer(b'{"data": {}}')) as service,
        proxying(ConnectProxy(answers=[b"HTTP/1.1 403 No\r\n\r\n"] * 9)) as proxy,
    ):
        use(proxy)
        async with TokenService(url=service.url).open("test") as source:
            await source.credentials(shop, Credentials)
    assert proxy.heads == []


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
async def test_a_proxy_of_the_environment_is_not_used(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """Only our own setting sends anything through a proxy."""
    async with tls_shop(authority) as (url, _), proxying(ConnectProxy()) as proxy:
        monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy.port}")
        assert await ask(url) == [1]
    assert proxy.heads == []


@pytest.mark.parametrize("without", ["shop.example", ".example", "other.test, .example"])
async def test_a_host_can_be_left_out(authority: trustme.CA, use: Use, without: str) -> None:
    """It is asked directly."""
    async with tls_shop(authority) as (url, _), proxying(ConnectProxy()) as proxy:
        use(proxy, without=without)
        assert await ask(url) == [1]
    assert proxy.heads == []


TOO_MUCH = b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000
REFUSALS: list[tuple[bytes | str, str, str, int]] = [
    (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "answered 407 to", "user and pass", 1),
    (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", "answered 403 to", "NO_PROXY", 1),
    (b"HTTP/1.0 502 Bad Gateway\r\n\r\n<html>", "answered 502 to", "host may be down", 2),
    (b"HTTP/1.1 504 Gateway Time-out\r\n\r\n", "answered 504 to", "host may be down", 2),
    (
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "answers CONNECT shop.example:443 with no HTTP",
        "CONNECTOR_PROXY_URL",
        2,
    ),
    (b"", "answers CONNECT shop.example:443 with no HTTP", "CONNECTOR_PROXY_URL", 2),
    (TOO_MUCH, "answers CONNECT shop.example:443 with more", "CONNECTOR_PROXY_URL", 2),
    (
        b"HTTP/1.1 200 OK\r\n\r\n<html>",
        "answers CONNECT shop.example:443 with more",
        "CONNECTOR_PROXY_URL",
        2,
    ),
]


@pytest.mark.parametrize(("refusal", "words", "remedy", "tries"), REFUSALS)
async def test_a_refusal_of_the_proxy_is_called_one(
    use: Use, refusal: bytes | str, words: str, remedy: str, tries: int
) -> None:
    """The error names the proxy without its password. A 4xx is not repeated."""
    async with proxying(ConnectProxy(answers=[refusal] * 9)) as proxy:
        use(proxy, USER)
        with pytest.raises(PlatformUnavailable) as caught:
            await ask("https://shop.example")
    text = str(caught.value)
    assert f"https://shop.example was not asked: the proxy 127.0.0.1:{proxy.port} {words}" in text
    assert remedy in text
    assert len(proxy.heads) == tries
    shown = "".join(traceback.format_exception(caught.value))
    assert not [secret for secret in (PASSWORD, USER, BASIC, SECRET) if secret in shown]


async def test_a_host_that_the_proxy_cannot_reach_is_the_hosts_trouble(
    use: Use, unused_tcp_port: int
) -> None:
    """The message names both."""
    async with proxying(ConnectProxy()) as proxy:
        use(proxy)
        with pytest.raises(PlatformUnavailable) as caught:
            await ask(f"https://shop.example:{unused_tcp_port}")
    assert f"answered 502 to CONNECT shop.example:{unused_tcp_port}" in str(caught.value)


async def test_a_proxy_that_is_not_there_is_named(use: Use, unused_tcp_port: int) -> None:
    """A shop is not to blame for it."""
    use(ConnectProxy(port=unused_tcp_port))
    with pytest.raises(PlatformUnavailable) as caught:
        await ask("https://shop.example")
    assert f"the proxy 127.0.0.1:{unused_tcp_port} cannot be reached" in str(caught.value)


async def test_a_proxy_that_hangs_is_named(use: Use) -> None:
    """It is given up, no page was too heavy, and its connection is closed."""
    policy = HttpPolicy(allow_private_hosts=True, max_retries=0, connect_timeout=0.2)
    async with proxying(ConnectProxy(answers=[HANG])) as proxy:
        use(proxy)
        async with OriginHttp("https://shop.example", policy=policy, report=FetchReport()) as http:
            with pytest.raises(PlatformUnavailable, match="opened no connection to shop"):
                await http.request("GET", "/products", retry_slow=False)
        assert await none_is_open(proxy.port)


async def test_the_proxys_own_certificate_is_judged(authority: trustme.CA, use: Use) -> None:
    """Its password goes to no other host."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("other.example").configure_cert(tls)
    async with proxying(ConnectProxy(), tls) as proxy:
        use(proxy, USER, scheme="https")
        with pytest.raises(PlatformUnavailable, match=r"the proxy proxy\.example:"):
            await ask("https://shop.example")
    assert proxy.heads == []


@pytest.mark.parametrize(
    "host",
    [
        "10.0.0.1",
        "127.0.0.1",
        "[::1]",
        "localhost",
        "169.254.169.254",
        "localhost.",
        "127.0.0.1.",
        "127.1",
        "0x7f.1",
        "2130706433",
        "017700000001",
        "[64:ff9b::a9fe:a9fe]",
        "[::ffff:10.0.0.1]",
        "metadata.google.internal",
        "intranet",
    ],
)
async def test_a_private_address_is_refused_before_the_proxy_is_asked(use: Use, host: str) -> None:
    """Names are the proxy's to resolve; an address in place of a name is not."""
    async with proxying(ConnectProxy()) as proxy:
        use(proxy)
        with pytest.raises(InvalidResponse, match="private address"):
            await ask(f"https://{host}", HttpPolicy(max_retries=0))
    assert proxy.heads == []


async def test_a_name_is_resolved_by_the_proxy_alone(authority: trustme.CA, use: Use) -> None:
    """A network with a proxy often resolves no name of the internet."""
    async with tls_shop(authority) as (url, _), proxying(ConnectProxy()) as proxy:
        use(proxy)
        assert await ask(url, HttpPolicy(max_retries=0)) == [1]


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_tunnel_cancelled_anywhere_leaves_no_connection_open(
    authority: trustme.CA, use: Use, scheme: str, late: bool
) -> None:
    """While it is asked for, and in either TLS handshake."""

    async def cancelled_everywhere() -> None:
        tls = None
        if scheme == "https":
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert("proxy.example").configure_cert(tls)
        async with tls_shop(authority) as (url, _), proxying(ConnectProxy(), tls) as proxy:
            use(proxy, scheme=scheme)
            step, done = 1, False
            while not done:
                stepped = CancelledAtAStep(asked(url), step=step, late=late)

                async def run(stepped: CancelledAtAStep = stepped) -> None:
                    await stepped

                [outcome] = await asyncio.gather(asyncio.create_task(run()), return_exceptions=True)
                assert outcome is None or isinstance(outcome, asyncio.CancelledError)
                assert await none_is_open(proxy.port), f"cancelled at step {step}"
                done = outcome is None
                step += 1
            assert step > 5

    async def asked(url: str) -> None:
        assert await ask(url) == [1]

    asyncio.run(cancelled_everywhere())


def test_no_password_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the settings nor the proxy's object show it."""
    monkeypatch.setenv("CONNECTOR_PROXY_URL", f"http://{USER}proxy.internal:3128")
    settings = load_settings()
    proxy = Proxy.of(settings)
    assert proxy is not None
    assert str(proxy) == "proxy.internal:3128"
    assert proxy.authorization == BASIC
    for shown in (repr(settings), repr(proxy), str(proxy), settings.model_dump_json()):
        assert not [each for each in (PASSWORD, USER, BASIC, "pr0xy") if each in shown]


@given(st.text(min_size=1), st.text())
def test_any_user_and_password_can_be_written(user: str, password: str) -> None:
    """Percent-encoded, whatever letters they have."""
    written = f"{quote(user.encode(errors='replace'), safe='')}:" + quote(
        password.encode(errors="replace"), safe=""
    )
    settings = load_settings(connector_proxy_url=f"http://{written}@proxy.internal")
    proxy = Proxy.of(settings)
    assert proxy is not None
    assert proxy.port == 80
    assert proxy.authorization is not None
    sent = base64.b64decode(proxy.authorization.removeprefix("Basic "))
    assert sent == f"{user}:{password}".encode(errors="replace")


@pytest.mark.parametrize(
    ("without", "host", "serves"),
    [
        ("", "shop.example", True),
        ("shop.example", "shop.example", False),
        ("shop.example", "www.shop.example", True),
        (".shop.example", "www.shop.example", False),
        (".shop.example", "shop.example", False),
        (".shop.example", "myshop.example", True),
        ("127.0.0.1,::1", "[::1]", False),
        ("127.0.0.1", "127.0.0.1", False),
    ],
)
def test_hosts_are_left_out_by_name_or_below_one(without: str, host: str, serves: bool) -> None:
    """As other programs read their lists."""
    assert Proxy("proxy", 80, without=frozenset(without.split(","))).serves(host) is serves
