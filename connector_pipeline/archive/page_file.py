"""One raw page as a file: a zstd frame of a JSON line (kind, facts) and the body as received."""

import json
from typing import Final

import zstandard

from connector_pipeline.platforms.kit.contract import RawPage

MOST_BYTES: Final = 80 * 1024 * 1024
"""No page that was ever written is larger: platforms' answers were bounded by 64 MB at first."""


def encode_page(page: RawPage) -> bytes:
    """The content of the page's file."""
    head = json.dumps({"kind": page.kind, "facts": page.facts}, separators=(",", ":"))
    return zstandard.compress(head.encode() + b"\n" + page.body)


def decode_page(content: bytes) -> RawPage:
    """The page in a file's content.

    Raises ValueError if the content is no whole page, or one of more than MOST_BYTES.
    """
    try:
        # The size of the frame as `encode_page` has it stated in the frame's header.
        if zstandard.frame_content_size(content) > MOST_BYTES:
            raise ValueError(f"a page of more than {MOST_BYTES} bytes")
        head, newline, body = zstandard.decompress(content).partition(b"\n")
    except zstandard.ZstdError as error:
        raise ValueError(f"not a whole zstd frame: {error}") from None
    if not newline:
        raise ValueError("no head line")
    try:
        described = json.loads(head)
        return RawPage(kind=described["kind"], body=body, facts=described["facts"])
    except (KeyError, TypeError):
        raise ValueError("head line without kind and facts") from None
