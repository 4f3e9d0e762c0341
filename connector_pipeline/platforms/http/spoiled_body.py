"""Reads the JSON of bodies that a host spoiled: compressed without a header, with text around it.

PHP prints its messages into an answer where `display_errors` is on, and caches sign theirs with an
HTML comment. The JSON beside them is whole (docs/facts/woocommerce.md, Answers by others).
"""

import json
import re
import zlib
from dataclasses import dataclass
from typing import Any, Final

from connector_pipeline.platforms.http.json_body import parse_json

# The first bytes of gzip, and of zlib at each of its levels (HTTP's "deflate").
_COMPRESSED: Final = (b"\x1f\x8b\x08", b"x\x01", b"x\x5e", b"x\x9c", b"x\xda")
_EITHER_WINDOW: Final = 47
"""zlib's word for gzip's header or its own (https://docs.python.org/3/library/zlib.html)."""

_BOM: Final = b"\xef\xbb\xbf"

# PHP's words for its messages, with and without html_errors, and WordPress's for its database's.
_MESSAGE: Final = re.compile(
    rb"(?:\b(?:Warning|Notice|Deprecated|Strict Standards|(?:Recoverable |Catchable )?Fatal error|"
    rb"Parse error)\b(?:</b>)?:\s.{1,4000}?\bon line\b)|WordPress database error",
    re.DOTALL,
)
# A page has these, and a message has not: the scripts of a page may hold whole JSON too.
_PAGE: Final = re.compile(rb"<!doctype|<html|<body|<script", re.IGNORECASE)
_FOLDER: Final = re.compile(
    rb"[/\\](mu-plugins|plugins|themes)[/\\]([A-Za-z0-9][A-Za-z0-9._-]{0,79})"
)
# Caches and optimizers add such a comment at the end of what they take for a page.
_COMMENT: Final = re.compile(rb"<!--.{0,4000}?-->", re.DOTALL)
# JSON begins a line, or follows the tag or the number that ends a message.
_BEGINNING: Final = re.compile(rb"(?:\A|\n|>|\bon line [0-9]{1,7})[ \t\r\xef\xbb\xbf]*([\[{])")
_MOST_BEGINNINGS: Final = 20
_SEARCHED: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class FoundJson:
    """The part of a body that is JSON, its parsed form, and the words for what stands around it.

    `around` is None for nothing but white space and byte order marks.
    """

    body: bytes
    json: Any
    around: str | None


def unzipped(body: bytes, most_bytes: int) -> bytes:
    """A body that is gzip or zlib although no header said so, decompressed; another as it is.

    At most `most_bytes` and one more are decompressed. No JSON begins with these first bytes.
    """
    if not body.startswith(_COMPRESSED):
        return body
    stream = zlib.decompressobj(_EITHER_WINDOW)
    try:
        content = stream.decompress(body, most_bytes + 1)
    except zlib.error:
        return body
    return content if stream.eof or len(content) > most_bytes else body


def json_among_messages(body: bytes) -> FoundJson | None:
    """The JSON of a body in which PHP's messages stand before or after it; None where it has none.

    It is found only where everything around it is PHP's messages, comments or white space.
    """
    text = _without_marks(body)
    for begins in _beginnings(text):
        before = text[:begins]
        if not _is_messages(before):
            continue
        found = _whole_json(text[begins:])
        if found is None:
            continue
        part, after = found
        if not _is_messages(after):
            continue
        try:
            parsed = parse_json(part)
        except ValueError:
            continue
        noise = _COMMENT.sub(b"", _without_marks(before + after))
        return FoundJson(part, parsed, _words(noise) if noise.strip() else None)
    return None


def printed_messages(body: bytes) -> str | None:
    """The words for the PHP messages in a body that is no JSON; None where it has none."""
    searched = body[:_SEARCHED]
    return _words(searched) if _MESSAGE.search(searched) else None


def _without_marks(body: bytes) -> bytes:
    # Each PHP file that was saved with a byte order mark prints one.
    while (stripped := body.lstrip()).startswith(_BOM):
        body = stripped[len(_BOM) :]
    return body


def _beginnings(text: bytes) -> list[int]:
    found: list[int] = []
    for match in _BEGINNING.finditer(text, 0, _SEARCHED):
        found.append(match.start(1))
        if len(found) == _MOST_BEGINNINGS:
            break
    return found


def _is_messages(noise: bytes) -> bool:
    noise = _COMMENT.sub(b"", _without_marks(noise))
    return not noise.strip() or (_MESSAGE.search(noise) is not None and _PAGE.search(noise) is None)


def _whole_json(text: bytes) -> tuple[bytes, bytes] | None:
    """The first JSON value of a text and the rest; None where the text begins with none."""
    try:
        decoded = text.decode()
        _, end = json.JSONDecoder().raw_decode(decoded)
    except (ValueError, RecursionError):
        return None
    part = decoded[:end].encode()
    return part, text[len(part) :]


def _words(noise: bytes) -> str:
    folders = {
        f"{match[1].decode().removeprefix('mu-').removesuffix('s')} {match[2].decode()}": None
        for match in _FOLDER.finditer(noise[:_SEARCHED])
    }
    culprits = list(folders)[:3]
    return (
        f"PHP's messages about the {' and the '.join(culprits)}" if culprits else "PHP's messages"
    )
