"""The parts of a file: decoded within bounds, as long as they come fast enough."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

import httpx

from connector_pipeline.model.errors import InvalidResponse, PlatformUnavailable
from connector_pipeline.platforms.http.bounds import MEGABYTE
from connector_pipeline.platforms.http.content_coding import (
    SpoiledGzip,
    UnaskedCoding,
    decoded_parts,
)

LEAST_BYTES: Final = 64 * 1024
"""A host sends so many bytes while we wait for them for the policy's `read_timeout`, or more."""

# JSON lines become ten to thirty times as large, and gzip can become a thousand times as large.
_MOST_RATIO: Final = 250
_USUAL: Final = 32 * MEGABYTE


class BrokenOff(Exception):
    """Trouble that may pass. The rest is asked for again; after the last try `error` is raised."""

    def __init__(self, error: PlatformUnavailable, retry_after: float | None = None):
        super().__init__(str(error))
        self.error = error
        self.retry_after = retry_after


class NoSuchRange(BrokenOff):
    """The host says that the file ends before the range. It is shorter now, or was read whole."""


class TooSlow(BrokenOff):
    """The host drips. That each try brings a few bytes is no reason for another one."""


async def decoded(response: httpx.Response, where: str) -> AsyncGenerator[bytes]:
    """The body's decoded parts. Raises InvalidResponse for a coding nobody asked for."""
    read = 0
    try:
        parts = decoded_parts(response)
    except UnaskedCoding as error:
        raise InvalidResponse(
            f"{where} sent a file that is {error}, and gzip alone was asked for."
        ) from None
    try:
        async with aclosing(parts):
            async for part in parts:
                read += len(part)
                if read > _USUAL + _MOST_RATIO * response.num_bytes_downloaded:
                    raise InvalidResponse(
                        f"{where} sent a file that decompresses to more than "
                        f"{_MOST_RATIO} times of its size."
                    )
                yield part
    except SpoiledGzip as error:
        raise BrokenOff(PlatformUnavailable(f"{where} sent a file that {error}.")) from error


async def flowing(
    parts: AsyncGenerator[bytes], where: str, longest_wait: float
) -> AsyncGenerator[bytes]:
    """The parts, as long as they come fast enough. The time between two asks does not count."""
    now = asyncio.get_running_loop().time
    waited, received = 0.0, 0
    async with aclosing(parts):
        while True:
            began = now()
            try:
                async with asyncio.timeout(longest_wait - waited):
                    part = await anext(parts)
            except StopAsyncIteration:
                return
            except TimeoutError as error:
                raise TooSlow(
                    PlatformUnavailable(
                        f"{where} sends too slowly: {received} bytes in {longest_wait:g} s."
                    )
                ) from error
            waited += now() - began
            received += len(part)
            if received >= LEAST_BYTES:
                waited, received = 0.0, 0
            yield part
