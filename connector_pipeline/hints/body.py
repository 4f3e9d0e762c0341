"""Reads the bodies of requests, within bounds of bytes and of time."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

MOST_BYTES: Final = 8 * 2**20
"""Of one body: a product may come with two thousand variants, of a kilobyte or two each."""
MOST_BYTES_AT_ONCE: Final = 64 * 2**20
"""Of all bodies that are being read or checked in this process."""
MOST_SECONDS: Final = 10.0
"""From the first byte of a body to its last one. No platform sends a body so slowly."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]


class TooLarge(Exception):
    """The body has more than MOST_BYTES."""


class TooSlow(Exception):
    """The body took more than MOST_SECONDS."""


class TooMany(Exception):
    """The bodies of all requests together have more than MOST_BYTES_AT_ONCE."""


class Aborted(Exception):
    """The client left before the end of the body."""


@dataclass(slots=True)
class Held:
    """The bytes of a body that is held in memory."""

    body: bytes = b""
    counted: int = 0


class Bodies:
    """The bodies that a process holds in memory."""

    def __init__(self, *, most_seconds: float = MOST_SECONDS):
        self._most_seconds = most_seconds
        self._bytes = 0

    async def read(self, receive: Receive, length: str | None, held: Held) -> bytes:
        """Read the body to its end; `length` is the header Content-Length.

        Counts in `held` what is held until `release`. Raises TooLarge, TooSlow, TooMany, Aborted.
        """
        if length is not None and (not length.isdecimal() or int(length[:20]) > MOST_BYTES):
            raise TooLarge
        try:
            async with asyncio.timeout(self._most_seconds):
                return await self._read(receive, held)
        except TimeoutError:
            raise TooSlow from None

    def release(self, held: Held) -> None:
        """Forget a body that is not held any more."""
        self._bytes -= held.counted
        held.counted = 0

    async def _read(self, receive: Receive, held: Held) -> bytes:
        chunks: list[bytes] = []
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Aborted
            chunk: bytes = message.get("body", b"")
            if held.counted + len(chunk) > MOST_BYTES:
                raise TooLarge
            held.counted += len(chunk)
            self._bytes += len(chunk)
            if self._bytes > MOST_BYTES_AT_ONCE:
                raise TooMany
            chunks.append(chunk)
            if not message.get("more_body", False):
                return b"".join(chunks)
