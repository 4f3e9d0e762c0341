"""Promises of what is read of an answer, and how one that is too large ends."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import zstandard

from connector_pipeline.model.errors import ConnectorError, InvalidResponse, PlatformUnavailable
from connector_pipeline.platforms.http.bounds import Bound
from connector_pipeline.platforms.http.client import HeavyAnswer, OriginHttp
from connector_pipeline.platforms.kit.contract import FetchReport
from connector_pipeline_tests.platforms.http.test_client import (
    HTML,
    PATIENT,
    answer,
    ask,
    loopback,
)

MB = 1024 * 1024
SMALL = replace(PATIENT, bound=Bound(100_000, 1_000_000))


@asynccontextmanager
async def sending(*parts: bytes, pause: float = 0.0, endless: bool = False) -> AsyncIterator[str]:
    """The URL of a server that answers every request with these parts, the last one for ever."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(pause)
            while endless:
                writer.write(parts[-1])
                await writer.drain()
                await asyncio.sleep(pause)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def refused(*script: bytes, words: str) -> int:
    """Ask once more for an answer that must be InvalidResponse; return the requests it took."""
    report = FetchReport()
    async with loopback(*script) as server:
        with pytest.raises(InvalidResponse, match=words) as caught:
            await ask(server.url, report=report)
    assert "captcha" not in str(caught.value)
    return report.requests


def zstd(body: bytes) -> bytes:
    return zstandard.compress(body)


async def test_gzip_is_the_only_coding_that_is_asked_for() -> None:
    """The codings that an installed library happens to know change nothing."""
    body = gzip.compress(b"[1]")
    async with loopback(answer(body, "200 OK", "Content-Encoding: gzip")) as server:
        assert (await ask(server.url)).json == [1]
    assert "accept-encoding: gzip\r\n" in server.heard[0].lower()


@pytest.mark.parametrize(
    ("coding", "body", "words"),
    [
        ("zstd, zstd", zstd(zstd(b"[" + b" " * 64 * MB + b"1]")), "compressed 2 times"),
        ("gzip, gzip", gzip.compress(gzip.compress(b"[1]")), "compressed 2 times"),
        ("deflate", zlib.compress(b"[1]"), "compressed by 'deflate'"),
        ("zstd", zstd(b"[1]"), "compressed by 'zstd'"),
        ("br", b"\x0b\x01\x80[1]\x03", "compressed by 'br'"),
    ],
)
async def test_a_coding_that_nobody_asked_for_is_named(
    coding: str, body: bytes, words: str
) -> None:
    """It is refused before it is decoded, and not asked for again."""
    said = answer(body, "200 OK", f"Content-Encoding: {coding}")
    assert await refused(said, words=words) == 1


async def test_two_headers_are_two_codings() -> None:
    """A list may be spread over headers (RFC 9110, 5.3)."""
    headers = ("Content-Encoding: gzip", "Content-Encoding: gzip")
    assert await refused(answer(b"[1]", "200 OK", *headers), words="compressed 2 times") == 1


@pytest.mark.parametrize("name", ["identity", "utf-8", "none", "x-gzip"])
async def test_a_word_that_is_no_other_coding_does_no_harm(name: str) -> None:
    """Servers write such words into the header of plain answers."""
    body = gzip.compress(b"[1]") if name == "x-gzip" else b"[1]"
    async with loopback(answer(body, "200 OK", f"Content-Encoding: {name}")) as server:
        assert (await ask(server.url)).json == [1]


async def test_a_failure_in_an_unknown_coding_is_still_a_failure() -> None:
    """The status says enough, and is retried."""
    failed = answer(b"\x1b\x02\x00", "503 Service Unavailable", "Content-Encoding: br")
    async with loopback(failed, answer(b"[1]")) as server:
        assert (await ask(server.url)).json == [1]


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"[]," * 20 * MB + b"0]",
        b"[" + b" " * 100 * MB + b"]",
        b'["' + b"a" * 3 * MB + b'"]',
    ],
    ids=["60 MB of lists", "100 MB", "one text"],
)
@pytest.mark.parametrize("compressed", [False, True])
async def test_no_more_is_read_than_the_bound(body: bytes, compressed: bool) -> None:
    """The error is not retried, because a second answer would not be smaller."""
    said = (
        answer(gzip.compress(body, 1), "200 OK", "Content-Encoding: gzip")
        if compressed
        else answer(body)
    )
    assert await refused(said, words="more than 2,097,152 bytes in one answer") == 1


_HEAD_OF_GZIP = b"\x1f\x8b\x08%c\0\0\0\0\0\0"


@pytest.mark.parametrize(
    "body",
    [
        _HEAD_OF_GZIP % 8 + b"a" * 9 * MB,
        _HEAD_OF_GZIP % 16 + b"a" * 9 * MB,
        _HEAD_OF_GZIP % 0 + b"\0\0\0\xff\xff" * 2 * MB,
        gzip.compress(b"[1]") + b"\0" * 9 * MB,
        gzip.compress(b"[1]") + b"a" * 9 * MB,
    ],
    ids=["a file name", "a comment", "empty blocks", "padding", "what follows"],
)
@pytest.mark.parametrize("status", ["200 OK", "403 Forbidden"])
async def test_what_decodes_to_nothing_is_bounded_too(body: bytes, status: str) -> None:
    """Gzip has room for bytes that are none of the body's, and for no more than a few of them."""
    said = answer(body, status, "Content-Encoding: gzip")
    async with loopback(said) as server:
        if status.startswith("403"):
            assert (await ask(server.url)).status == 403
        else:
            with pytest.raises(InvalidResponse, match="more than 2,097,152 bytes in one answer"):
                await ask(server.url)
        await server.broke_off.wait()


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"[]," * 500_000 + b"0]",
        b"[" + b"1.5," * 400_000 + b"0]",
        b"{" + b",".join(b'"%d":{}' % number for number in range(100_000)) + b"}",
        b'{"a":' * 200_000 + b"1" + b"}" * 200_000,
    ],
    ids=["lists", "numbers", "members", "depth"],
)
async def test_json_is_bounded_by_what_it_costs(body: bytes) -> None:
    """A body of a usual length may take a gigabyte once it is parsed."""
    assert await refused(answer(body), words="may take more than 16,777,216 bytes of memory") == 1


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'[{"id": 1, "price": NaN}]', "JSON that cannot be read: NaN is not JSON"),
        (b"[" * 10_000 + b"]" * 10_000, "nested more than 100 deep"),
        (b'{"price": -Infinity}', "JSON that cannot be read: -Infinity is not JSON"),
    ],
)
async def test_refused_json_is_no_captcha(body: bytes, words: str) -> None:
    """The error names the value, and says whom to ask."""
    assert await refused(answer(body), words=words) == 1


async def test_half_of_refused_json_is_asked_for_again() -> None:
    """An answer that was cut off is no JSON, whatever its first half has in it."""
    async with loopback(answer(b'[{"price": NaN}, {"pr'), answer(b"[1]")) as server:
        assert (await ask(server.url)).json == [1]


@pytest.mark.parametrize("how", [{"retry_slow": False}, {"retries_if_heavy": 3}])
@pytest.mark.parametrize("body", [b"[" + b" " * 100_000 + b"]", b"[" + b"{}," * 9_000 + b"0]"])
async def test_who_can_ask_for_less_is_asked_to(how: dict[str, int], body: bytes) -> None:
    """At once: the same answer would be as large again."""
    report = FetchReport()
    async with (
        loopback(answer(body)) as server,
        OriginHttp(server.url, policy=SMALL, report=report) as http,
    ):
        with pytest.raises(HeavyAnswer) as caught:
            await http.request("GET", "/page", **how)  # pyright: ignore[reportArgumentType]
    assert caught.value.too_large
    assert type(caught.value.error) is InvalidResponse
    assert report.requests == 1


@pytest.mark.parametrize("status", ["500 Internal Server Error", "401 Unauthorized"])
async def test_a_long_refusal_keeps_its_meaning(status: str) -> None:
    """Its first bytes are enough, and the rest is not read."""
    long = answer(HTML + b" " * 3 * MB, status, media_type="text/html")
    async with (
        loopback(long) as server,
        OriginHttp(server.url, policy=PATIENT, report=FetchReport()) as http,
    ):
        received = await http.request("GET", "/", accept_retried=frozenset({500}))
    assert received.status == int(status[:3])
    assert len(received.body) < MB


async def test_an_answer_has_a_time() -> None:
    """A server that sends a byte now and then holds up nobody for longer."""
    policy = replace(PATIENT, answer_timeout=0.3, max_retries=0)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n"
    async with sending(head, b" ", pause=0.02, endless=True) as url:
        with pytest.raises(PlatformUnavailable, match="sends too slowly"):
            await ask(url, policy=policy)


async def test_headers_have_a_time() -> None:
    """Each header comes in time for the time-out of a part."""
    policy = replace(PATIENT, answer_timeout=0.3, max_retries=0)
    async with sending(b"HTTP/1.1 200 OK\r\n", b"X-A: 1\r\n", pause=0.02, endless=True) as url:
        with pytest.raises(PlatformUnavailable, match="sends too slowly"):
            await ask(url, policy=policy)


async def test_hints_have_a_time() -> None:
    """Any number of interim answers may come before the answer (RFC 9110, 15.2)."""
    policy = replace(PATIENT, answer_timeout=0.3, max_retries=0)
    async with sending(b"HTTP/1.1 103 Early Hints\r\nX-A: 1\r\n\r\n", endless=True) as url:
        with pytest.raises(PlatformUnavailable, match="sends too slowly"):
            await ask(url, policy=policy)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "parts",
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-Filler: " + b"a" * 4000 + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"a:b\r\n" * 1000),
        (b"HTTP/1.1 200 OK\r\nX-One: ", b"a" * 9000),
        (CHUNKED + b"1;", b"extension=" * 1000),
        (CHUNKED + b"1\r\n[\r\n1\r\n]\r\n0\r\n", b"X-Trailer: 1\r\n" * 500),
    ],
    ids=["long headers", "many headers", "one header", "chunk extension", "trailers"],
)
async def test_a_head_without_end_is_refused(parts: tuple[bytes, ...]) -> None:
    """httpcore and h11 bound it; this holds them to that."""
    policy = replace(PATIENT, answer_timeout=5.0, max_retries=0)
    async with sending(*parts, endless=True) as url:
        with pytest.raises(PlatformUnavailable):
            await ask(url, policy=policy)


async def test_no_cookie_is_kept() -> None:
    """A server may set thousands, which would be sent with every later request."""
    cookies = [f"Set-Cookie: c{number}=v; Path=/" for number in range(1000)]
    async with (
        loopback(answer(b"[1]", "200 OK", *cookies)) as server,
        OriginHttp(server.url, policy=PATIENT, report=FetchReport()) as http,
    ):
        await http.request("GET", "/")
        await http.request("GET", "/")
    assert len(server.heard) == 2
    assert "cookie" not in server.heard[1].lower()


Coded = Callable[[bytes], bytes]


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
async def test_compression_that_no_header_names_is_opened_once(pack: Coded) -> None:
    """What is inside is JSON, or it is not understood."""
    async with loopback(answer(pack(b"[1]"))) as server:
        assert (await ask(server.url)).json == [1]
    async with loopback(answer(pack(pack(b"[1]")))) as server:
        with pytest.raises(PlatformUnavailable, match="not JSON"):
            await ask(server.url)


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
@pytest.mark.parametrize("status", ["200 OK", "500 Internal Server Error"])
async def test_compression_that_no_header_names_is_bounded(pack: Coded, status: str) -> None:
    """It is decompressed to the bound and one byte more."""
    bomb = answer(pack(b" " * 200 * MB), status)
    expected: type[ConnectorError] = InvalidResponse if status[0] == "2" else PlatformUnavailable
    async with loopback(bomb) as server:
        with pytest.raises(expected):
            await ask(server.url, policy=replace(PATIENT, max_retries=0))


@pytest.mark.parametrize(
    "body",
    [
        b"\xef\xbb\xbf \n" * 300_000 + b"nothing",
        b"<!-- " * 300_000,
        b"<!-- " * 200_000 + b" " * 5000 + b"-->" + b"<!--" * 100_000,
        b"<b>Warning</b>: " * 100_000,
        b"Warning: on lines " * 80_000,
        b"x" + b"\n[1, " * 300_000,
        b'Warning: x on line 3\n{"a": [' + b"1, " * 400_000,
        b"\n[[" * 20 + b" " * MB,
    ],
    ids=["marks", "comments", "far comments", "warnings", "lines", "beginnings", "half", "spaces"],
)
async def test_a_page_made_to_be_slow_is_judged(body: bytes) -> None:
    """A search for JSON among PHP's messages takes a time that grows with the page, no faster."""
    async with loopback(answer(body, media_type="text/html")) as server:
        with pytest.raises(PlatformUnavailable, match="not JSON"):
            await ask(server.url, policy=replace(PATIENT, max_retries=0))
