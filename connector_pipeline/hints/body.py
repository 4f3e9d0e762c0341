"""Reads the bodies of requests, within bounds of bytes and of time."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

MOST_BYTES: Final = 8 * 2**20
"""Of one body: a product may come with two thousand variants, of a kilobyte or two each."""
MOST_BYTES_AT_ONCE: Final = 64 * 2**20
"""Of all bodies that are being read or checked in this process."""
MOST_BYTES_OF_A_SOURCE: Final = 2 * MOST_BYTES
"""Of those, from one address: some large bodies, sent slowly, must not have all others refused."""
MOST_SECONDS: Final = 10.0
"""From the first byte of a body to its last one. No platform sends a body so slowly."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]


class TooLarge(Exception):
    """The body has more than MOST_BYTES."""


class TooSlow(Exception):
    """The body took more than MOST_SECONDS."""


class TooMany(Exception):
    """The bodies of all requests together, or of this one's source, have more than they may."""


class Aborted(Exception):
    """The client left before the end of the body."""


@dataclass(slots=True)
class Held:
    """How many bytes of a body of this source are held in memory."""

    source: str
    counted: int = 0


class Bodies:
    """The bodies that a process holds in memory."""

    def __init__(self, *, most_seconds: float = MOST_SECONDS):
        self._most_seconds = most_seconds
        self._bytes = 0
        self._of_sources: Counter[str] = Counter()

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
        self._count(held, -held.counted)
        if not self._of_sources[held.source]:
            del self._of_sources[held.source]

    def _count(self, held: Held, number: int) -> None:
        held.counted += number
        self._bytes += number
        self._of_sources[held.source] += number

    async def _read(self, receive: Receive, held: Held) -> bytes:
        chunks: list[bytes] = []
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Aborted
            chunk: bytes = message.get("body", b"")
            if held.counted + len(chunk) > MOST_BYTES:
                raise TooLarge
            self._count(held, len(chunk))
            if self._bytes > MOST_BYTES_AT_ONCE:
                raise TooMany
            if self._of_sources[held.source] > MOST_BYTES_OF_A_SOURCE:
                raise TooMany
            chunks.append(chunk)
            if not message.get("more_body", False):
                return b"".join(chunks)
