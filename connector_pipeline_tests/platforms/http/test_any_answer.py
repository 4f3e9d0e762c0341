"""Whatever a host or a proxy answers, reading it ends in a value or in an error of ours."""

import asyncio
import ssl
from typing import Any

import httpcore
import httpx
from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.http.bounds import Bound, TooLarge
from connector_pipeline.platforms.http.challenge import PageMark, TroublePages
from connector_pipeline.platforms.http.judging import Judge
from connector_pipeline.platforms.http.proxy import Proxy
from connector_pipeline.platforms.http.retrying import RetryAfter
from connector_pipeline_tests.any_json import headers, near_json

MOST = Bound(10_000, 100_000)
PAGES = TroublePages(
    own=(PageMark(b"briefly unavailable", "a maintenance page", "Wait.", soon_over=True),),
    read_below="/wp-json/",
)
MARKS = [
    b"captcha", b"cloudflare ray id", b"<title>Just a moment...</title>", b"briefly unavailable",
    b"<b>Warning</b>: x in <b>/a.php</b> on line <b>3</b><br />", b"\x1f\x8b\x08", b"\xef\xbb\xbf",
]  # fmt: skip


@given(
    status=st.integers(100, 599),
    sent=headers("Retry-After", "Content-Type", "cf-mitigated", "Server"),
    body=st.lists(near_json({"data": {"a": [1, "b"]}}) | st.sampled_from(MARKS), max_size=4).map(
        b"".join
    ),
)
def test_any_answer_is_judged(status: int, sent: httpx.Headers, body: bytes) -> None:
    """Its JSON is kept with it, or the trouble has words and no longer ones than we gave it."""
    judge = Judge("https://shop.example", MOST, RetryAfter(), PAGES)
    try:
        judged = judge.judged(status, sent, body)
    except (InvalidResponse, TooLarge) as error:
        judged, refusal = None, error
    if judged is None:
        assert len(str(refusal)) < 1_000
        return
    if judged.trouble is not None:
        assert len(str(judged.trouble.error)) < 1_000
        assert judged.trouble.retry_after is None or judged.trouble.retry_after >= 0
    elif status < 400:
        assert judged.is_json


class Stream(httpcore.AsyncNetworkStream):
    """A connection to a proxy that answers with these parts."""

    def __init__(self, parts: list[bytes]):
        self._parts = parts
        self.closed = False

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109  httpcore's own
        return self._parts.pop(0)[:max_bytes] if self._parts else b""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109  httpcore's own
        pass

    async def aclose(self) -> None:
        self.closed = True

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  httpcore's own
    ) -> httpcore.AsyncNetworkStream:
        return self

    def get_extra_info(self, info: str) -> Any:
        return None


class Backend(httpcore.AsyncNetworkBackend):
    """Connects to a proxy that answers with these parts."""

    def __init__(self, parts: list[bytes]):
        self.stream = Stream(parts)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  httpcore's own
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.AsyncNetworkStream:
        return self.stream

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109  httpcore's own
        socket_options: Any = None,
    ) -> httpcore.AsyncNetworkStream:
        return self.stream

    async def sleep(self, seconds: float) -> None:
        pass


TLS = ssl.create_default_context()
PROXY = Proxy(host="proxy.internal", port=3128, tls=False, authorization="Basic c2VjcmV0")


@given(
    st.lists(
        st.binary(max_size=20)
        | st.sampled_from(
            [b"HTTP/1.1 ", b"200 OK", b"407 ", b"\r\n", b"\r\n\r\n", b"x" * 70_000, b"Via: 1\r\n"]
        ),
        max_size=8,
    )
)
def test_any_answer_of_a_proxy_opens_a_tunnel_or_names_the_proxy(parts: list[bytes]) -> None:
    """A refused tunnel is closed, and the proxy's password is not shown."""
    backend = Backend(list(parts))
    refusal = None
    try:
        asyncio.run(PROXY.tunnel(backend, TLS, "shop.example", 443, 5))
    except httpcore.ProxyError as error:
        refusal = str(error)
    if refusal is None:
        assert b"".join(parts).startswith((b"HTTP/1.0 2", b"HTTP/1.1 2"))
    else:
        assert "proxy.internal:3128" in refusal
        assert "c2VjcmV0" not in refusal
        assert backend.stream.closed
