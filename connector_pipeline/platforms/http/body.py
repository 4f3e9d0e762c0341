"""Reads the body of an answer as far as it is wanted."""

from contextlib import aclosing
from typing import Final

import httpx

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.http.content_coding import UnaskedCoding, decoded_parts
from connector_pipeline.platforms.http.judging import Judge

_MOST_OF_GZIP: Final = 64 * 1024
"""By so many bytes gzip may be longer than what is in it: headers, trailers and what is stored."""
_REMEDY_OF_CODING: Final = (
    "Only the next sync tries again. A cache or a server before the shop answers with what others "
    "asked for: ask the merchant to have it heed Accept-Encoding, or to exclude the API from it."
)


async def body_of(response: httpx.Response, judge: Judge) -> bytes:
    """The decoded body of an unread answer; of a refusal, its beginning.

    Raises TooLarge where more comes than the judge reads, InvalidResponse for a coding that nobody
    asked for, SpoiledGzip, and errors of httpx.
    """
    status = response.status_code
    try:
        decoded = decoded_parts(response)
    except UnaskedCoding as error:
        if status >= 400:
            # The status says enough.
            return b""
        raise InvalidResponse(
            f"{judge.where} sent a body that is {error}, and gzip alone was asked for.",
            remedy=_REMEDY_OF_CODING,
        ) from None
    most = judge.most_bytes(status)
    parts = bytearray()
    async with aclosing(decoded):
        async for part in decoded:
            parts += part
            if len(parts) > most or response.num_bytes_downloaded > most + _MOST_OF_GZIP:
                if status < 400:
                    raise judge.too_large()
                return bytes(parts[:most])
    return bytes(parts)
