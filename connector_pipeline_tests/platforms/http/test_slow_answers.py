"""A host that sends byte by byte is given up: no read of it times out, but the whole does."""

import asyncio
from dataclasses import replace

import pytest
from pydantic import SecretStr

from connector_pipeline.automation.alert_webhook import NotDelivered, post
from connector_pipeline.credentials.token_service import TokenService
from connector_pipeline.model.errors import PlatformUnavailable, TokenServiceUnavailable
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.http.client import OriginHttp, SlowAnswer
from connector_pipeline.platforms.http.connecting import reach_proxy
from connector_pipeline.platforms.http.download import FileDownload
from connector_pipeline.platforms.http.proxy import Proxy
from connector_pipeline.platforms.http.retrying import HttpPolicy
from connector_pipeline.platforms.kit.contract import Credentials, FetchReport
from connector_pipeline_tests.platforms.http.dripping import HEAD, Drip, dripping
from connector_pipeline_tests.platforms.http.file_host import FileHost, serving

POLICY = HttpPolicy(allow_private_hosts=True, max_retries=2, retry_delay=0.001, answer_timeout=0.3)
SHOP = Shop(merchant_id="m", platform_name="x", platform_shop_id="1", domain="a.example")

# The body drips, an endless header does, the status line does, and each chunk of a body.
DRIPS = {
    "body": Drip(),
    "header": Drip(b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
    "status": Drip(b"HTTP/1.1 200 ", b"O"),
    "nothing": Drip(b"", b"\r"),
    "chunks": Drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "interim": Drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "gzip": Drip(HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n"), b"\x1f"),
}  # fmt: skip
DRIPPING = pytest.mark.parametrize("kind", DRIPS)


@pytest.mark.parametrize("kind", ["body", "header", "status", "chunks", "interim"])
async def test_a_page_that_drips_is_slow(kind: str) -> None:
    """So the adapter asks for a smaller page, which may come in time."""
    with dripping(replace(DRIPS[kind], heard=[])) as drip:
        async with OriginHttp(drip.url, policy=POLICY, report=FetchReport()) as http:
            with pytest.raises(SlowAnswer, match="sends too slowly"):
                await http.request("GET", "/products", retry_slow=False)
    assert len(drip.heard) == 1


@DRIPPING
async def test_a_page_that_drips_each_time_is_given_up(kind: str) -> None:
    """After the policy's retries, long before the shop's deadline."""
    report = FetchReport()
    with dripping(replace(DRIPS[kind], heard=[])) as drip:
        async with OriginHttp(drip.url, policy=POLICY, report=report) as http:
            with pytest.raises(PlatformUnavailable, match=rf"127\.0\.0\.1:{drip.port} "):
                await http.request("GET", "/products")
    assert (report.requests, report.retries) == (3, 2)


@DRIPPING
async def test_a_token_service_that_drips_is_unavailable(kind: str) -> None:
    """TOKEN_SERVICE_TIMEOUT is for a try as a whole."""
    with dripping(replace(DRIPS[kind], heard=[])) as drip:
        service = TokenService(drip.url, timeout=0.3, retry_count=1, retry_delay=0.001)
        async with service.open("c") as client:
            with pytest.raises(TokenServiceUnavailable, match="does not answer properly"):
                await client.credentials(SHOP, Credentials)
    assert len(drip.heard) == 2


@pytest.mark.parametrize("kind", ["body", "chunks", "header", "status"])
async def test_a_file_that_drips_is_given_up(kind: str) -> None:
    """That each try brings a few bytes more is no progress."""
    policy = replace(POLICY, read_timeout=0.3)
    report = FetchReport()
    with dripping(replace(DRIPS[kind], heard=[])) as drip:
        file = FileDownload(f"{drip.url}/f", hosts=(), policy=policy, report=report)
        async with file:
            with pytest.raises(PlatformUnavailable, match="sends too slowly"):
                [part async for part in file.parts()]
    assert (report.requests, report.retries) == (3, 2)


async def test_a_file_that_is_read_slowly_is_not_a_slow_file() -> None:
    """Only the time in which we wait for bytes counts, not that in which they are worked on."""
    policy = replace(POLICY, read_timeout=0.3, max_retries=0)
    content = b"line\n" * 100_000
    async with serving(FileHost(content)) as host:
        file = FileDownload(host.url, hosts=(), policy=policy, report=FetchReport())
        read = b""
        async with file:
            async for part in file.parts():
                if not read:
                    await asyncio.sleep(2 * policy.read_timeout)
                read += part
    assert read == content


@pytest.mark.parametrize("kind", ["header", "status", "nothing", "interim"])
def test_an_alert_webhook_that_drips_has_not_taken_the_alert(kind: str) -> None:
    """The sensor goes on, and posts it again at its next tick."""
    with dripping(replace(DRIPS[kind], heard=[])) as drip, pytest.raises(NotDelivered):
        post(SecretStr(f"{drip.url}/hook?token=s3cr3t"), {"alert": 1}, seconds=1.5)
    assert drip.heard[0].startswith("POST /hook?token=s3cr3t HTTP/1.1\r\n")


def test_an_alert_webhook_is_not_waited_for_after_its_status() -> None:
    """Its body says nothing to us."""
    with dripping(Drip()) as drip:
        post(SecretStr(f"{drip.url}/hook"), {"alert": 1}, seconds=5.0)
    assert drip.heard[0].startswith("POST /hook HTTP/1.1\r\n")


async def test_a_proxy_that_drips_opens_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer to CONNECT has a bound as a whole, and so has a proxy's TLS handshake."""
    policy = replace(POLICY, connect_timeout=0.3, answer_timeout=30.0, max_retries=0)
    with dripping(Drip(b"HTTP/1.1 200 OK\r\nX: ", b"x")) as drip:
        monkeypatch.setenv("CONNECTOR_PROXY_URL", drip.url)
        async with OriginHttp("https://shop.example", policy=policy, report=FetchReport()) as http:
            with pytest.raises(PlatformUnavailable, match=r"proxy 127\.0\.0\.1:\d+ opened no conn"):
                await http.request("GET", "/products")
    hello = Drip(b"\x16\x03\x03\x40\x00", b"\x02")
    with dripping(hello), pytest.raises(PlatformUnavailable, match="cannot be reached"):
        await reach_proxy(Proxy("127.0.0.1", hello.port, tls=True), 0.3)
