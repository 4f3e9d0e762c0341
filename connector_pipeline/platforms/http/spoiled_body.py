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

# PHP's words for its messages, with and without html_errors, and WordPress's for its database's.
# Each has its end within so many bytes.
_MESSAGE_BEGINS: Final = re.compile(
    rb"\b(?:Warning|Notice|Deprecated|Strict Standards|(?:Recoverable |Catchable )?Fatal error|"
    rb"Parse error)\b(?:</b>)?:\s"
)
_MESSAGE_ENDS: Final = re.compile(rb"\bon line\b")
_OF_DATABASE: Final = b"WordPress database error"
_LONGEST_MESSAGE: Final = 4000
# A page has these, and a message has not: the scripts of a page may hold whole JSON too.
_PAGE: Final = re.compile(rb"<!doctype|<html|<body|<script", re.IGNORECASE)
_FOLDER: Final = re.compile(
    rb"[/\\](mu-plugins|plugins|themes)[/\\]([A-Za-z0-9][A-Za-z0-9._-]{0,79})"
)
# Caches and optimizers add such a comment at the end of what they take for a page.
_COMMENT_BEGINS: Final = b"<!--"
_COMMENT_ENDS: Final = b"-->"
_LONGEST_COMMENT: Final = 4000
_MARKS: Final = re.compile(rb"(?:\s*\xef\xbb\xbf)+")
# JSON begins a line, or follows the tag or the number that ends a message.
_BEGINNING: Final = re.compile(rb"(?:\A|\n|>|\bon line [0-9]{1,7})[ \t\r\xef\xbb\xbf]*([\[{])")
_MOST_BEGINNINGS: Final = 20
_SEARCHED: Final = 1024 * 1024
_TRIED_IN_VAIN: Final = 4 * 1024 * 1024
"""No more characters are parsed of texts that turn out not to be JSON."""


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
    in_vain = 0
    for begins in _beginnings(text):
        before = text[:begins]
        if not _is_messages(before):
            continue
        found = _whole_json(text[begins:])
        if isinstance(found, int):
            in_vain += found
            if in_vain > _TRIED_IN_VAIN:
                return None
            continue
        part, after = found
        if not _is_messages(after):
            in_vain += len(part)
            continue
        try:
            parsed = parse_json(part)
        except ValueError:
            continue
        noise = _without_comments(_without_marks(before + after))
        return FoundJson(part, parsed, _words(noise) if noise.strip() else None)
    return None


def printed_messages(body: bytes) -> str | None:
    """The words for the PHP messages in a body that is no JSON; None where it has none."""
    searched = body[:_SEARCHED]
    return _words(searched) if _has_message(searched) else None


def _without_marks(body: bytes) -> bytes:
    # Each PHP file that was saved with a byte order mark prints one.
    marks = _MARKS.match(body)
    return body if marks is None else body[marks.end() :]


def _without_comments(text: bytes) -> bytes:
    """The text without its comments. Not by an expression: a text may begin a million of them."""
    kept: list[bytes] = []
    done = begins = 0
    while (begins := text.find(_COMMENT_BEGINS, begins)) >= 0:
        inside = begins + len(_COMMENT_BEGINS)
        ends = text.find(_COMMENT_ENDS, inside)
        if ends < 0:
            break
        if ends - inside > _LONGEST_COMMENT:
            # Whatever begins farther from this end is too long, too.
            begins = max(inside, ends - _LONGEST_COMMENT - len(_COMMENT_BEGINS))
            continue
        kept.append(text[done:begins])
        done = begins = ends + len(_COMMENT_ENDS)
    return b"".join((*kept, text[done:]))


def _has_message(text: bytes) -> bool:
    """Whether a message is in a text. Its end is looked for once, not for each beginning."""
    ends: re.Match[bytes] | None = None
    for begins in _MESSAGE_BEGINS.finditer(text):
        if ends is None or ends.start() <= begins.end():
            ends = _MESSAGE_ENDS.search(text, begins.end() + 1)
        if ends is None:
            break
        if ends.start() - begins.end() <= _LONGEST_MESSAGE:
            return True
    return _OF_DATABASE in text


def _beginnings(text: bytes) -> list[int]:
    found: list[int] = []
    for match in _BEGINNING.finditer(text, 0, _SEARCHED):
        found.append(match.start(1))
        if len(found) == _MOST_BEGINNINGS:
            break
    return found


def _is_messages(noise: bytes) -> bool:
    noise = _without_comments(_without_marks(noise))
    return not noise.strip() or (_has_message(noise) and _PAGE.search(noise) is None)


def _whole_json(text: bytes) -> tuple[bytes, bytes] | int:
    """The first JSON value of a text and the rest; the bytes read in vain where there is none."""
    try:
        decoded = text.decode()
    except ValueError:
        return len(text)
    try:
        _, end = json.JSONDecoder().raw_decode(decoded)
    except json.JSONDecodeError as error:
        return error.pos
    except (ValueError, RecursionError):
        return len(text)
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
