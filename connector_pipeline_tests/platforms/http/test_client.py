"""Promises of the HTTP client, kept against real servers on loopback."""

import asyncio
import dataclasses
import gzip
import math
import socket
import struct
import sys
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connector_pipeline.model.errors import InvalidResponse, PlatformUnavailable, RateLimited
from connector_pipeline.platforms.http.bounds import Bound
from connector_pipeline.platforms.http.client import (
    Answer,
    HeavyAnswer,
    OriginHttp,
)
from connector_pipeline.platforms.http.pacing import PaceSignal, Turn
from connector_pipeline.platforms.http.retrying import HttpPolicy, retry_after_seconds
from connector_pipeline.platforms.kit.contract import FetchReport
from connector_pipeline.platforms.kit.rest.rate_headers import RateHeaders

SECRET = "s3cr3t-0f-the-sh0p"
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
HTML = b"<html><body>Are you a robot?</body></html>"
RESET, HANG = "reset", "hang"
PATIENT = HttpPolicy(allow_private_hosts=True, max_retries=2, retry_delay=0.001)


def patient_but_with(trouble: bytes | str, *, read_timeout: float) -> HttpPolicy:
    """A policy with one short time that must run out; a busy machine makes no other one run out."""
    if trouble != HANG:
        return PATIENT
    return dataclasses.replace(PATIENT, read_timeout=read_timeout)


def answer(
    body: bytes = b"{}",
    status: str = "200 OK",
    *headers: str,
    length: int | None = None,
    media_type: str = "application/json",
) -> bytes:
    """One HTTP answer as bytes. `length` may state a false length of the body."""
    lines = [
        f"HTTP/1.1 {status}",
        f"Content-Type: {media_type}",
        f"Content-Length: {len(body) if length is None else length}",
        "Connection: close",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Loopback:
    """A server that answers from a script, then repeats the last line, and keeps each request."""

    def __init__(self, *script: bytes | str):
        self.script = list(script)
        self.heard: list[str] = []
        self.url = ""
        self.broke_off = asyncio.Event()
        """Set when somebody hung up before an answer was whole."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.heard.append((await reader.readuntil(b"\r\n\r\n")).decode())
            line = self.script.pop(0) if len(self.script) > 1 else self.script[0]
            if line == RESET:
                # A linger of zero makes close send RST instead of FIN.
                linger = struct.pack("ii", 1, 0)
                connection = writer.get_extra_info("socket")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            elif line == HANG:
                await reader.read()
            elif isinstance(line, bytes):
                writer.write(line)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            self.broke_off.set()
        finally:
            writer.close()


@asynccontextmanager
async def loopback(*script: bytes | str) -> AsyncIterator[Loopback]:
    """A Loopback with its url, until the block ends."""
    scripted = Loopback(*script)
    server = await asyncio.start_server(scripted.serve, "127.0.0.1", 0)
    scripted.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield scripted
    finally:
        server.close()
        await server.wait_closed()


async def ask(
    base_url: str, *, policy: HttpPolicy = PATIENT, report: FetchReport | None = None
) -> Answer:
    """Send one GET with a credential."""
    headers = {"Authorization": f"Bearer {SECRET}"}
    async with OriginHttp(base_url, policy=policy, report=report or FetchReport()) as http:
        return await http.request("GET", "/products", params={"page": 1}, headers=headers)


async def test_an_answer_comes_back_as_received_and_parsed() -> None:
    """The body is kept byte for byte. A BOM before it does not change the JSON."""
    body = b'\xef\xbb\xbf{"price": 1.10}'
    async with loopback(answer(body, "200 OK", "X-WP-Total: 7")) as server:
        received = await ask(server.url)
    assert received.body == body
    assert received.json == {"price": Decimal("1.10")}
    assert received.headers["x-wp-total"] == "7"
    assert server.heard[0].startswith("GET /products?page=1 HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(RESET, id="reset"),
        pytest.param(HANG, id="timeout"),
        pytest.param(answer(b'[{"id": 1', length=900), id="half a body"),
        pytest.param(answer(b'[{"id": 1'), id="half of the JSON"),
        pytest.param(answer(b""), id="no body"),
        pytest.param(
            answer(gzip.compress(b"[1, 2, 3]")[:12], "200 OK", "Content-Encoding: gzip"),
            id="half of the gzip",
        ),
        pytest.param(
            answer(b"not gzip at all", "200 OK", "Content-Encoding: gzip"),
            id="not the gzip it says",
        ),
        pytest.param(answer(HTML, media_type="text/html"), id="html at 200"),
        pytest.param(answer(HTML, "202 Accepted", media_type="text/html"), id="html at 202"),
        pytest.param(answer(HTML, "503 Service Unavailable", media_type="text/html"), id="503"),
        pytest.param(answer(b"{}", "500 Internal Server Error"), id="500"),
        pytest.param(answer(HTML, "429 Too Many Requests", media_type="text/html"), id="429"),
        pytest.param(b"garbage\r\n\r\n", id="not HTTP"),
    ],
)
async def test_trouble_that_may_pass_is_retried(trouble: bytes | str) -> None:
    """Trouble that comes once costs one retry and raises no error."""
    policy = patient_but_with(trouble, read_timeout=3.0)
    report = FetchReport()
    async with loopback(trouble, answer(b"[1]")) as server:
        received = await ask(server.url, policy=policy, report=report)
    assert received.json == [1]
    assert (report.requests, report.retries) == (2, 1)


@pytest.mark.parametrize(
    ("trouble", "error", "words"),
    [
        (RESET, PlatformUnavailable, "could not be read (ReadError: Connection reset by peer)"),
        (HANG, PlatformUnavailable, "timed out (ReadTimeout)"),
        (answer(b"[1", length=90), PlatformUnavailable, "RemoteProtocolError"),
        (answer(HTML, media_type="text/html"), PlatformUnavailable, "text/html that are not JSON"),
        (answer(b"{}", "502 Bad Gateway"), PlatformUnavailable, "answered 502"),
        (answer(HTML, "429 Too Many Requests"), RateLimited, "answered 429"),
    ],
)
async def test_lasting_trouble_is_named_after_the_last_retry(
    trouble: bytes | str, error: type[PlatformUnavailable], words: str
) -> None:
    """The error says what happened and where, after as many requests as the policy allows."""
    policy = patient_but_with(trouble, read_timeout=0.1)
    report = FetchReport()
    async with loopback(trouble) as server:
        with pytest.raises(error) as caught:
            await ask(server.url, policy=policy, report=report)
    assert type(caught.value) is error
    assert words in str(caught.value)
    assert (report.requests, report.retries) == (3, 2)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


async def test_a_refused_connection_is_named_as_such() -> None:
    """ConnectError alone would not say whether the address or the network is at fault."""
    with socket.socket() as taken:
        # Nobody listens there, and nobody else is given the port meanwhile.
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(PlatformUnavailable, match=r"ConnectError: Connection refused\)"):
            await ask(url, policy=patient_but_with(RESET, read_timeout=1.0))


async def test_a_request_searches_for_no_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search for a module that is not installed reads folders, and is not remembered."""
    searched: list[str] = []

    class Recorder:
        """Finds nothing, and keeps what was looked for."""

        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> None:
            searched.append(name)

    async with loopback(answer(b"[1]")) as server:
        await ask(server.url)
        monkeypatch.setattr(sys, "meta_path", [Recorder, *sys.meta_path])
        await ask(server.url)
    assert searched == []


@pytest.mark.parametrize("retries", [0, 1, 9])
@pytest.mark.parametrize(
    "trouble",
    [
        answer(HTML, "502 Bad Gateway"), answer(b"{}", "500 Internal Server Error"),
        answer(HTML, "503 Service Unavailable"), answer(HTML, "520 ?"), answer(b""),
        answer(b'[{"id": 1'), answer(b"[]", length=90), RESET,
    ],
)  # fmt: skip
async def test_a_host_that_breaks_over_an_answer_is_asked_for_less(
    trouble: bytes | str, retries: int
) -> None:
    """The caller says after how many retries, of those that there are."""
    report = FetchReport()
    async with (
        loopback(trouble) as server,
        OriginHttp(server.url, policy=PATIENT, report=report) as http,
    ):
        with pytest.raises(HeavyAnswer) as caught:
            await http.request("GET", "/page", retries_if_heavy=retries)
    assert report.retries == min(retries, PATIENT.max_retries)
    assert type(caught.value.error) is PlatformUnavailable


@pytest.mark.parametrize(
    "trouble",
    [
        answer(HTML, "429 Too Many Requests"),
        answer(HTML, "503 Service Unavailable", "Retry-After: 0"),
        answer(b"<html>captcha</html>"),
    ],
)
async def test_trouble_that_says_nothing_of_the_size_is_no_reason_to_ask_for_less(
    trouble: bytes,
) -> None:
    """The host is busy, or somebody else answers in its place."""
    report = FetchReport()
    async with (
        loopback(trouble) as server,
        OriginHttp(server.url, policy=PATIENT, report=report) as http,
    ):
        with pytest.raises(PlatformUnavailable):
            await http.request("GET", "/page", retries_if_heavy=0)
    assert report.retries == PATIENT.max_retries


async def test_a_shop_that_is_not_there_is_unavailable() -> None:
    """A refused connection is retried and then named."""
    async with loopback(answer()) as server:
        gone = server.url
    with pytest.raises(PlatformUnavailable, match="ConnectError"):
        await ask(gone)


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden", "404 Not Found"])
async def test_a_refusal_is_the_adapters_to_judge(status: str) -> None:
    """A 4xx is returned at once, without JSON where its body is a page."""
    report = FetchReport()
    async with loopback(answer(HTML, status, media_type="text/html")) as server:
        received = await ask(server.url, report=report)
    assert received.status == int(status[:3])
    assert received.json is None
    assert report.requests == 1


async def test_a_status_the_adapter_asks_for_is_not_retried() -> None:
    """With `accept_retried`, a 500 is returned as an answer."""
    async with (
        loopback(answer(b'{"code": "x"}', "500 Internal Server Error")) as server,
        OriginHttp(server.url, policy=PATIENT, report=FetchReport()) as http,
    ):
        received = await http.request("GET", "/", accept_retried=frozenset({500}))
    assert (received.status, received.json) == (500, {"code": "x"})


@pytest.mark.parametrize("said", ["0", "Wed, 21 Oct 2015 07:28:00 GMT"])
async def test_a_retry_after_is_obeyed_instead_of_our_own_delay(said: str) -> None:
    """The client does not wait if the header asks for 0 s or has a date in the past."""
    policy = HttpPolicy(allow_private_hosts=True, max_retries=1, retry_delay=600.0)
    report = FetchReport()
    busy = answer(HTML, "429 Too Many Requests", f"Retry-After: {said}")
    async with loopback(busy, answer(b"[1]")) as server:
        received = await ask(server.url, policy=policy, report=report)
    assert received.json == [1]
    assert report.waited_seconds == 0.0


@pytest.mark.parametrize("said", ["121", "Fri, 23 Nov 2096 12:00:00 GMT"])
async def test_a_retry_after_past_the_limit_is_not_waited_out(said: str) -> None:
    """A shop that asks for a longer wait than one sync waits is RateLimited at once."""
    report = FetchReport()
    async with loopback(answer(HTML, "429 Too Many Requests", f"Retry-After: {said}")) as server:
        with pytest.raises(RateLimited, match="more than the 120 s"):
            await ask(server.url, report=report)
    assert (report.requests, report.waited_seconds) == (1, 0.0)


class Gate:
    """A pacer that gives every turn at once and keeps the pauses that it is asked for."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    async def enter(self, path: str) -> Turn:
        """Give a turn at once."""
        return Turn(path, 1, 0.0)

    def leave(self, turn: Turn, signal: PaceSignal) -> None:
        """Learn nothing."""

    def pause(self, seconds: float) -> None:
        """Keep the pause, and do not wait."""
        self.pauses.append(seconds)


@pytest.mark.parametrize(
    ("stated", "pauses"),
    [
        (("X-RateLimit-Remaining: 1", "X-RateLimit-Reset: 3"), []),
        (("X-RateLimit-Remaining: 0", "X-RateLimit-Reset: 3"), [3.0]),
        (("X-RateLimit-Remaining: 0", "X-RateLimit-Reset: 3600"), [120.0]),
    ],
)
async def test_the_last_request_of_a_limit_is_followed_by_a_pause(
    stated: tuple[str, ...], pauses: list[float]
) -> None:
    """The next request would be refused.

    A wait past the bound is left for that refusal to state.
    """
    gate = Gate()
    async with (
        loopback(answer(b"{}", "200 OK", *stated)) as shop,
        OriginHttp(
            shop.url, policy=PATIENT, report=FetchReport(), pacer=gate, stated_limit=RateHeaders()
        ) as http,
    ):
        await http.request("GET", "/products")
    assert gate.pauses == pauses


async def test_a_refusal_is_waited_out_as_the_platforms_own_header_says() -> None:
    """The client's own delay would be longer here."""
    refusal = answer(b"{}", "429 Too Many Requests", "X-Retry-In: 0.01")
    slow = dataclasses.replace(PATIENT, retry_delay=60.0)
    limit = RateHeaders(retry_after=("X-Retry-In",))
    report = FetchReport()
    async with (
        loopback(refusal, answer()) as shop,
        OriginHttp(shop.url, policy=slow, report=report, stated_limit=limit) as http,
    ):
        found = await http.request("GET", "/products")
    assert (found.status, report.retries, report.waited_seconds) == (200, 1, 0.01)


@pytest.mark.parametrize(("signed", "kept"), [(False, True), (True, False)])
async def test_a_link_is_kept_unless_it_may_repeat_a_signature(signed: bool, kept: bool) -> None:
    """Lists are followed by `Link`, but an answer that repeats every argument must lose its key."""
    link = f'Link: <https://shop.example/p?page=2&key={SECRET}>; rel="next"'
    async with (
        loopback(answer(b"{}", "200 OK", link)) as shop,
        OriginHttp(shop.url, policy=PATIENT, report=FetchReport()) as http,
    ):
        signer = (lambda _: {"key": SECRET}) if signed else None
        found = await http.request("GET", "/p", signer=signer)
    assert ("Link" in found.headers) == kept


async def test_a_body_past_the_limit_is_refused() -> None:
    """The error is not retried, because a second answer would not be smaller."""
    policy = HttpPolicy(allow_private_hosts=True, bound=Bound(1000, 100_000))
    report = FetchReport()
    async with loopback(answer(b"[" + b"1," * 1000 + b"1]")) as server:
        with pytest.raises(InvalidResponse, match="more than 1,000 bytes"):
            await ask(server.url, policy=policy, report=report)
    assert report.requests == 1


async def test_the_limit_counts_what_a_compressed_body_becomes() -> None:
    """A small gzip of a large body does not pass the limit."""
    policy = HttpPolicy(allow_private_hosts=True, bound=Bound(100_000, 10_000_000))
    bomb = gzip.compress(b"[" + b" " * 10_000_000 + b"]")
    async with loopback(answer(bomb, "200 OK", "Content-Encoding: gzip")) as server:
        with pytest.raises(InvalidResponse, match="more than 100,000 bytes"):
            await ask(server.url, policy=policy)
    assert len(bomb) < 100_000


async def test_a_redirect_within_the_origin_is_followed_with_the_credentials() -> None:
    """The same scheme, host and port are still the shop."""
    moved = answer(b"", "301 Moved Permanently", "Location: /shop/products?page=1")
    async with loopback(moved, answer(b"[1]")) as server:
        received = await ask(server.url)
    assert received.json == [1]
    assert server.heard[1].startswith("GET /shop/products?page=1 HTTP/1.1\r\n")
    assert SECRET in server.heard[1]


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
async def test_a_redirect_to_another_origin_gets_no_credentials(status: str) -> None:
    """Another port is another origin, and no request is sent there."""
    async with (
        loopback(answer()) as stranger,
        loopback(answer(b"", status, f"Location: {stranger.url}/products?k={SECRET}")) as server,
    ):
        with pytest.raises(InvalidResponse, match="the shop's own origin only") as caught:
            await ask(server.url)
    assert stranger.heard == []
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("target", ["http://[::1", "http://a b:99999/", "javascript:x", "//", ""])
async def test_a_redirect_to_nowhere_is_named(target: str) -> None:
    """Any Location that is no address of the shop raises an error of ours."""
    async with loopback(answer(b"", "302 Found", f"Location: {target}")) as server:
        with pytest.raises((InvalidResponse, PlatformUnavailable)):
            await ask(server.url)


@pytest.mark.parametrize("target", ["//[::1", "http://a:80:80/", "http://1.1.1.1\x01/"])
async def test_a_redirect_to_no_address_is_no_broken_answer(target: str) -> None:
    """It is named at once, and not asked for again."""
    report = FetchReport()
    async with loopback(answer(b"", "302 Found", f"Location: {target}")) as server:
        with pytest.raises(InvalidResponse, match="redirects to no readable address"):
            await ask(server.url, report=report)
    assert report.requests == 1


async def test_a_circle_of_redirects_ends() -> None:
    """The client gives up a redirect to itself after a few rounds."""
    report = FetchReport()
    async with loopback(answer(b"", "302 Found", "Location: /products")) as server:
        with pytest.raises(PlatformUnavailable, match="in a circle"):
            await ask(server.url, report=report)
    assert report.requests == 4


async def test_a_private_host_is_refused_before_a_byte_is_sent() -> None:
    """A domain that resolves to loopback gets no byte."""
    async with loopback(answer()) as server:
        port = server.url.rpartition(":")[2]
        with pytest.raises(InvalidResponse, match="private address"):
            await ask(f"https://localhost:{port}", policy=HttpPolicy())
        with pytest.raises(InvalidResponse, match="private address"):
            await ask(f"https://127.0.0.1:{port}", policy=HttpPolicy())
    assert server.heard == []


async def test_plain_http_is_refused_outside_a_sandbox() -> None:
    """Credentials are sent over HTTPS only."""
    async with loopback(answer()) as server:
        with pytest.raises(InvalidResponse, match="is not HTTPS"):
            await ask(server.url, policy=HttpPolicy())
    assert server.heard == []


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("2", 2.0),
        (" 2 ", 2.0),
        ("Mon, 23 Nov 2026 12:01:30 GMT", 90.0),
        ("Mon, 23 Nov 2026 13:01:30 +0100", 90.0),
        ("Mon, 23 Nov 2026 11:00:00 GMT", 0.0),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
    ],
)
def test_a_retry_after_is_read_in_seconds_or_as_a_date(
    header: str | None, seconds: float | None
) -> None:
    """The table has the forms that hosts send."""
    assert retry_after_seconds(header, NOW) == seconds


@given(st.text() | st.from_regex(r"Mon, \d+ Nov \d+ \d+:\d+:\d+ [+-]?\d+", fullmatch=True))
@example("Mon, 23 Nov 2026 04:28:37 +99999999999999")
@example("Mon, 23 Nov 2026 99999999999999999999:28:37 GMT")
@example("²")
def test_no_retry_after_breaks_the_client(header: str) -> None:
    """For any header, the wait is unknown or a finite number of seconds from zero."""
    seconds = retry_after_seconds(header, NOW)
    assert seconds is None or (math.isfinite(seconds) and seconds >= 0)
