"""Decodes the body of an answer as it streams, in small pieces and within bounds.

We ask for gzip and for nothing else. httpx would decode deflate, brotli and zstd too, one within
the other, and each part whole, however large it becomes: 3 kB of zstd in zstd are 4.6 GB.
"""

import asyncio
import zlib
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from typing import Final, cast

import httpx

ACCEPTED: Final = "gzip"

PIECE: Final = 64 * 1024
"""The most bytes of one decoded piece."""

_PIECES_WITHOUT_A_PAUSE: Final = 8
"""After so many pieces, a few milliseconds of work, others have their turn."""

MOST_MEMBERS: Final = 1024
"""A gzip stream may be of several members (RFC 1952, 2.2). No server sends as many as these."""

_GZIP: Final = 31
"""zlib's word for gzip's header and trailer (https://docs.python.org/3/library/zlib.html)."""

# https://www.iana.org/assignments/http-parameters: what a server may call a coding. Another word,
# e.g. `utf-8` or `none`, is a server's mistake that says nothing of the body.
_GZIP_NAMES: Final = frozenset({"gzip", "x-gzip"})
_OTHERS: Final = frozenset(
    {"aes128gcm", "br", "compress", "dcb", "dcz", "deflate", "exi", "pack200-gzip", "x-compress"}
    | {"zstd"}
)


class UnaskedCoding(ValueError):
    """The body is coded in a way that was not asked for, or more than once."""


class SpoiledGzip(ValueError):
    """The body is not the gzip that its header announces, or only a part of it."""


def is_gzip(headers: Mapping[str, str]) -> bool:
    """Whether a body is gzip by its headers; if not, it is plain. Raises UnaskedCoding."""
    stated = headers.get("Content-Encoding", "")
    names = [name.strip().lower() for name in stated.split(",")]
    codings = [name for name in names if name in _GZIP_NAMES or name in _OTHERS]
    if not codings:
        return False
    if len(codings) > 1:
        raise UnaskedCoding(f"compressed {len(codings)} times")
    if codings[0] in _GZIP_NAMES:
        return True
    raise UnaskedCoding(f"compressed by {codings[0]!r}")


def decoded_parts(response: httpx.Response) -> AsyncGenerator[bytes]:
    """The decoded body of an unread answer, in parts, which wait for no more than they need.

    A part is empty where what came completes nothing, so that the reader can bound what comes.
    Raises UnaskedCoding at once; SpoiledGzip, and errors of httpx, while it is read.
    """
    return _gunzipped(response) if is_gzip(response.headers) else _plain(response)


def _raw(response: httpx.Response) -> AsyncGenerator[bytes]:
    # httpx promises an iterator, which is a generator.
    return cast("AsyncGenerator[bytes]", response.aiter_raw())


async def _plain(response: httpx.Response) -> AsyncGenerator[bytes]:
    async with aclosing(_raw(response)) as parts:
        async for part in parts:
            yield part


async def _gunzipped(response: httpx.Response) -> AsyncGenerator[bytes]:
    stream = Gunzip()
    async with aclosing(_raw(response)) as parts:
        async for part in parts:
            number = 0
            for number, piece in enumerate(stream.feed(part), start=1):
                yield piece
                if number % _PIECES_WITHOUT_A_PAUSE == 0:
                    await asyncio.sleep(0)
            if not number:
                yield b""
    stream.end()


_MAGIC: Final = b"\x1f\x8b"


class Gunzip:
    """Decodes one gzip stream, fed in parts of any size, to pieces of at most `PIECE` bytes.

    Zeros after a member are padding. Other bytes that begin no further member are left out, and so
    is what follows them, as gzip itself does.
    """

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(_GZIP)
        self._members = 0
        self._between = True
        self._start: bytes = b""
        self._over = False

    def feed(self, part: bytes) -> Iterator[bytes]:
        """The pieces that a part of the stream completes. Raises SpoiledGzip."""
        left = part
        while left and not self._over:
            if self._between:
                left = self._next_member(left)
                if self._between:
                    return
            piece = self._decompressed(left)
            if piece:
                yield piece
            left = self._stream.unconsumed_tail
            while len(piece) == PIECE and not left and not self._stream.eof:
                # zlib holds back output that it has no more input for.
                piece = self._decompressed(b"")
                if piece:
                    yield piece
            if self._stream.eof:
                left = self._stream.unused_data
                self._between = True

    def end(self) -> None:
        """Raise SpoiledGzip where the stream broke off in a member."""
        if not self._between:
            raise SpoiledGzip("is gzip that breaks off")

    def _decompressed(self, part: bytes) -> bytes:
        try:
            return self._stream.decompress(part, PIECE)
        except zlib.error:
            raise SpoiledGzip("is not the gzip that its header announces") from None

    def _next_member(self, left: bytes) -> bytes:
        """Begin the next member and return its first bytes, if they have come and are one's."""
        if self._members:
            left = self._start + (left if self._start else left.lstrip(b"\0"))
            self._start = b""
            if len(left) < len(_MAGIC) and _MAGIC.startswith(left):
                self._start = left
                return b""
            if not left.startswith(_MAGIC):
                self._over = True
                return b""
            self._stream = zlib.decompressobj(_GZIP)
        self._members += 1
        if self._members > MOST_MEMBERS:
            raise SpoiledGzip(f"is gzip of more than {MOST_MEMBERS} members")
        self._between = False
        return left
