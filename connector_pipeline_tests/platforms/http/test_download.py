"""Promises of the streamed download, kept against a host on loopback."""

import gc
import gzip
import hashlib
import logging
import random
import re
import sys
import traceback
from contextlib import aclosing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import connector_pipeline
from connector_pipeline.model.errors import InvalidResponse, PlatformUnavailable, RateLimited
from connector_pipeline.platforms.http.download import FileChanged, FileDownload, FileRefused
from connector_pipeline.platforms.http.retrying import HttpPolicy
from connector_pipeline.platforms.kit.contract import FetchReport
from connector_pipeline_tests.platforms.http.file_host import SIGNATURE, FileHost, serving

PATIENT = HttpPolicy(allow_private_hosts=True, max_retries=2, retry_delay=0.001)
STORAGE = ("storage.googleapis.com",)
TEXT = b"".join(b"line %d\n" % number for number in range(500))


async def read(
    host: FileHost, *, offset: int = 0, before: bytes = b"", report: FetchReport | None = None
) -> bytes:
    """All of the file from `offset` on."""
    report = report or FetchReport()
    async with FileDownload(host.url, hosts=STORAGE, policy=PATIENT, report=report) as download:
        parts = download.parts(offset, hashlib.sha256(before))
        return b"".join([part async for part in parts])


def ranges(host: FileHost) -> list[str | None]:
    """The range that each request asked for."""
    found = [re.search(r"range: bytes=(\S+)\r\n", head, re.IGNORECASE) for head in host.heard]
    return [each and each[1] for each in found]


async def test_a_file_that_breaks_off_is_resumed_where_it_broke_off() -> None:
    """No byte is asked for twice, and the host learns which file is meant."""
    report = FetchReport()
    async with serving(FileHost(TEXT, cuts=[700, 100])) as host:
        assert await read(host, report=report) == TEXT
    assert ranges(host) == [None, "700-", "800-"]
    assert 'if-range: "one"' in host.heard[1].lower()
    assert (report.requests, report.retries) == (3, 2)


async def test_a_host_without_ranges_sends_the_file_anew() -> None:
    """Its beginning is compared with the bytes already read, and not yielded again."""
    async with serving(FileHost(TEXT, ranges=False, cuts=[700])) as host:
        assert await read(host) == TEXT
    assert len(host.heard) == 2


@pytest.mark.parametrize("known", [True, False])
async def test_another_file_at_the_same_url_is_noticed(known: bool) -> None:
    """Its ETag or its beginning shows it: two halves of different files never become one."""
    host = FileHost(TEXT, etag='"one"' if known else None, ranges=known, cuts=[700])
    async with (
        serving(host),
        FileDownload(host.url, hosts=STORAGE, policy=PATIENT, report=FetchReport()) as download,
    ):
        parts = download.parts()
        await anext(parts)
        host.content, host.etag = TEXT.upper(), '"two"' if known else None
        with pytest.raises(FileChanged):
            [part async for part in parts]


async def test_a_range_of_another_length_is_of_another_file() -> None:
    """Where the host states only the length, the length decides."""
    host = FileHost(TEXT, etag=None, cuts=[700])
    async with (
        serving(host),
        FileDownload(host.url, hosts=STORAGE, policy=PATIENT, report=FetchReport()) as download,
    ):
        parts = download.parts()
        await anext(parts)
        host.content = TEXT + b"more\n"
        with pytest.raises(FileChanged):
            [part async for part in parts]


@pytest.mark.parametrize("cut", [[], [300]])
async def test_a_compressed_file_is_read_as_what_it_is_of(cut: list[int]) -> None:
    """After it breaks off, the rest is read uncompressed, because ranges count the bytes sent."""
    async with serving(FileHost(TEXT, compressed=True, cuts=list(cut))) as host:
        assert await read(host) == TEXT
    assert "accept-encoding: gzip" in host.heard[0].lower()
    assert len(host.heard) == 1 + len(cut)
    assert all("accept-encoding: identity" in head.lower() for head in host.heard[1:])


async def test_a_compressed_file_that_breaks_off_after_its_last_byte_is_whole() -> None:
    """Only the end of the compression is missing, and no range of the file is left to ask for."""
    async with serving(FileHost(b"x", compressed=True, cuts=[12])) as host:
        assert await read(host) == b"x"


async def test_a_download_begins_where_the_archive_ends() -> None:
    """At an offset of the whole length, nothing more is asked for once the length is known."""
    async with serving(FileHost(TEXT)) as host:
        assert await read(host, offset=700, before=TEXT[:700]) == TEXT[700:]
        async with FileDownload(
            host.url, hosts=STORAGE, policy=PATIENT, report=FetchReport()
        ) as download:
            identity = await download.identify()
            assert (identity.etag, identity.length) == ('"one"', len(TEXT))
            assert [part async for part in download.parts(len(TEXT))] == []
    assert ranges(host) == ["700-", "0-0"]


def sent(body: bytes, *headers: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@pytest.mark.parametrize("coding", ["zstd", "br", "deflate", "gzip, gzip"])
async def test_a_file_in_a_coding_that_nobody_asked_for_is_refused(coding: str) -> None:
    """It is not decoded, and not asked for again."""
    host = FileHost(TEXT, answers=[sent(b"any", f"Content-Encoding: {coding}")])
    async with serving(host):
        with pytest.raises(InvalidResponse, match="compressed"):
            await read(host)
    assert len(host.heard) == 1


async def test_a_file_that_decompresses_without_end_is_refused() -> None:
    """Lines of JSON become some thirty times as large, and this one a thousand times."""
    bomb = sent(gzip.compress(b"\n" * 100 * 1024 * 1024), "Content-Encoding: gzip")
    host = FileHost(TEXT, answers=[bomb])
    async with serving(host):
        with pytest.raises(InvalidResponse, match="decompresses to more than 250 times"):
            await read(host)


async def test_spoiled_compression_is_asked_for_again() -> None:
    """A flipped bit is trouble that may pass."""
    spoiled = bytearray(gzip.compress(TEXT))
    spoiled[20] ^= 255
    host = FileHost(TEXT, ranges=False, answers=[sent(bytes(spoiled), "Content-Encoding: gzip")])
    async with serving(host):
        assert await read(host) == TEXT
    assert len(host.heard) == 2


def part(first: int, last: int, of: int, body: bytes) -> bytes:
    lines = [
        "HTTP/1.1 206 Partial Content",
        f"Content-Range: bytes {first}-{last}/{of}",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@pytest.mark.parametrize("of", [0, 1, 700, 701])
async def test_another_range_says_nothing_of_where_the_file_ends(of: int) -> None:
    """What was read before it would be taken for the whole file."""
    host = FileHost(TEXT, etag=None)
    async with serving(host):
        host.answers = [sent(TEXT)[: -len(TEXT) + 700], part(0, 0, of, b"l")]
        assert await read(host) == TEXT


async def test_a_part_of_a_range_is_followed_by_the_rest() -> None:
    """A host may send less than it was asked for; it may not for ever."""
    host = FileHost(TEXT)
    async with serving(host):
        host.answers = [part(5, 9, len(TEXT), TEXT[5:10]), part(10, 10, len(TEXT), TEXT[10:11])]
        assert await read(host, offset=5, before=TEXT[:5]) == TEXT[5:]
        host.answers = [part(n, n, len(TEXT), TEXT[n : n + 1]) for n in range(5, 50)]
        with pytest.raises(PlatformUnavailable, match="sends less than it was asked for"):
            await read(host, offset=5, before=TEXT[:5])


async def test_a_shorter_file_that_breaks_off_is_another_file() -> None:
    """Its end is not that of the one which was read."""
    host = FileHost(TEXT, etag=None, ranges=False)
    async with serving(host):
        shorter = TEXT[:650]
        host.answers = [sent(TEXT)[: -len(TEXT) + 700], sent(shorter)[:-100]]
        with pytest.raises(FileChanged):
            await read(host)


@pytest.mark.parametrize("compressed", [False, True])
async def test_a_download_that_is_left_leaves_nothing_to_the_garbage_collector(
    compressed: bool,
) -> None:
    """A generator that the collector finds ends only when its loop comes to it, or never."""
    left: list[str] = []
    before = sys.get_asyncgen_hooks()
    content = random.Random(7).randbytes(3 * 1024 * 1024)
    async with serving(FileHost(content, compressed=compressed)) as host:
        sys.set_asyncgen_hooks(finalizer=lambda each: left.append(each.ag_code.co_filename))
        try:
            report = FetchReport()
            async with (
                FileDownload(host.url, hosts=STORAGE, policy=PATIENT, report=report) as download,
                aclosing(download.parts()) as parts,
            ):
                await anext(parts)
            del parts, download
            gc.collect()
        finally:
            sys.set_asyncgen_hooks(*before)
    ours = str(Path(connector_pipeline.__file__).parent)
    assert [each for each in left if each.startswith(ours)] == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
async def test_a_refused_file_is_the_adapters_to_judge(status: int) -> None:
    """FileRefused is raised without a retry, which would not help."""
    refusal = b"HTTP/1.1 %d No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status
    async with serving(FileHost(TEXT, answers=[refusal])) as host:
        with pytest.raises(FileRefused) as caught:
            await read(host)
    assert caught.value.status == status


async def test_passing_troubles_are_retried_and_lasting_ones_named() -> None:
    """The policy is that of the shop's own client."""
    busy = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    late = b"HTTP/1.1 429 Slow\r\nRetry-After: 999\r\nContent-Length: 0\r\n\r\n"
    async with serving(FileHost(TEXT, answers=[busy, busy])) as host:
        assert await read(host) == TEXT
        host.answers = [busy] * 3
        with pytest.raises(PlatformUnavailable, match="503"):
            await read(host)
        host.answers = [late]
        with pytest.raises(RateLimited):
            await read(host)


@pytest.mark.parametrize("target", ["//[::1", "http://a:80:80/", "http://1.1.1.1\x01/"])
async def test_a_redirect_to_no_address_is_named_at_once(target: str) -> None:
    """It is no broken answer, and no other answer is asked for."""
    moved = f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n"
    host = FileHost(TEXT, answers=[moved.encode()])
    async with serving(host):
        with pytest.raises(InvalidResponse, match="redirects to no readable address"):
            await read(host)
    assert len(host.heard) == 1


@pytest.mark.parametrize("target", ["same", "stranger"])
async def test_no_redirect_is_followed(target: str) -> None:
    """This holds even on the same host: a signed URL leads to the file itself."""
    async with serving(FileHost(TEXT)) as stranger, serving(FileHost(TEXT)) as host:
        location = {"same": host.url, "stranger": stranger.url}[target]
        moved = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
        host.answers = [moved.encode()]
        with pytest.raises(InvalidResponse, match="redirect"):
            await read(host)
    assert stranger.heard == []


@pytest.mark.parametrize(
    "url",
    [
        "http://storage.googleapis.com/f",
        "https://storage.googleapis.com.evil.example/f",
        "https://evil.example/storage.googleapis.com",
        "https://storage.googleapis.com:8443/f",
        "https://storage.googleapis.com@evil.example/f",
        "https://me:pw@storage.googleapis.com/f",
        "https://storage.googleapis.com./f",
        "https://storage.googleapis.com\\@evil.example/f",
        "https://xn--localhost-9za/f",
        "https://2130706433/f",
        "//storage.googleapis.com/f",
        "http://127.0.0.1:9/f",
        "http://localhost/f",
        "file:///etc/passwd",
        "/relative",
        "http://[::1",
        "",
    ],
)
def test_files_come_from_the_hosts_named_and_by_https_only(url: str) -> None:
    """A URL in Shopify's answer is checked before it is used."""
    with pytest.raises(InvalidResponse):
        FileDownload(url, hosts=STORAGE, policy=HttpPolicy(), report=FetchReport())


@pytest.mark.parametrize("url", ["http://10.0.0.1/f", "http://evil.example/f"])
def test_a_sandbox_may_be_on_loopback_and_nowhere_else(url: str) -> None:
    """ALLOW_PRIVATE_HOSTS opens no other host."""
    with pytest.raises(InvalidResponse):
        FileDownload(url, hosts=STORAGE, policy=PATIENT, report=FetchReport())


async def test_a_named_host_on_a_private_address_hears_nothing() -> None:
    """The owner of a host name could otherwise lead us into our own network."""
    async with FileDownload(
        "https://localhost/f", hosts=["localhost"], policy=HttpPolicy(), report=FetchReport()
    ) as download:
        with pytest.raises(InvalidResponse, match="private address"):
            [part async for part in download.parts()]


async def test_the_signature_is_in_no_message_and_no_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The URL gives access to the file, so no log of any library at any level has it."""
    caplog.set_level(logging.DEBUG)
    refusal = b"HTTP/1.1 403 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    shown: list[str] = []
    async with serving(FileHost(TEXT)) as host:
        assert await read(host) == TEXT
        for answer in (refusal, b"HTTP/1.1 302 F\r\nLocation: /\r\n\r\n", b"nonsense\r\n\r\n"):
            host.answers = [answer] * 3
            with pytest.raises((FileRefused, InvalidResponse, PlatformUnavailable)) as caught:
                await read(host)
            shown += traceback.format_exception(caught.value)
    assert SIGNATURE in host.heard[0]
    assert "127.0.0.1" in caplog.text
    assert SIGNATURE not in caplog.text + "".join(shown)


@given(
    content=st.binary(max_size=400),
    cuts=st.lists(st.integers(1, 200), max_size=6),
    ranges_known=st.booleans(),
    compressed=st.booleans(),
)
async def test_wherever_it_breaks_off_every_byte_comes_once(
    content: bytes, cuts: list[int], ranges_known: bool, compressed: bool
) -> None:
    """This holds for any file and any of these hosts."""
    if not ranges_known:
        # Each answer sends the file from its beginning, so only longer ones make progress.
        cuts = sorted(set(cuts))
    host = FileHost(content, cuts=cuts, ranges=ranges_known, compressed=compressed)
    async with serving(host):
        policy = HttpPolicy(allow_private_hosts=True, max_retries=20, retry_delay=0.0)
        async with FileDownload(
            host.url, hosts=STORAGE, policy=policy, report=FetchReport()
        ) as download:
            assert b"".join([part async for part in download.parts()]) == content
