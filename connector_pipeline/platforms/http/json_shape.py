"""Bounds what JSON costs before it is parsed: its memory, and how deep its values are nested.

Nothing here checks that the text is JSON. Text that is none may be called too deep, and never costs
more than what is said of it: a parser gives up where it stops being JSON.
"""

import re
from itertools import accumulate
from typing import Final

MOST_DEPTH: Final = 100
"""Platforms nest by ten or twenty. Deeper values would break what reads or writes them later."""

# What a value of each kind takes at most beside the bytes of its text, with its place in a list or
# an object (CPython 3.11 to 3.14): a Decimal of three digits 104, an object of one key 184. A
# character of text takes at most four bytes.
_VALUE: Final = 112
_OBJECT: Final = 192
_LIST: Final = 72
_CHARACTER: Final = 4

_ALL: Final = bytes(range(256))
_BUT_STRUCTURE: Final = _ALL.translate(None, b",:[{")
_BUT_STRINGS_AND_STRUCTURE: Final = _ALL.translate(None, b'"[]{},:')
_BUT_STRINGS_AND_BRACKETS: Final = _ALL.translate(None, b'"[]{}')
_BEGINNING: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s*[\[{]")
_STRING: Final = re.compile(rb'"[^"]*"?')
_STEP: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}

_DEAREST: Final = 160
"""No byte of JSON is estimated higher: that is half of `{}`."""

_SHORT: Final = 16 * 1024
_USUAL_DEPTH: Final = 10


def takes_more(body: bytes, most: int) -> bool:
    """Whether the parsed JSON may take more than so many bytes.

    Cheaper to find than `most_memory`, because most bodies are far from any bound.
    """
    if len(body) <= most // _DEAREST:
        return False
    # Commas and brackets inside of texts count too, here.
    if _memory(body, body.translate(None, _BUT_STRUCTURE)) <= most:
        return False
    return most_memory(body) > most


def most_memory(body: bytes) -> int:
    """The most bytes that the parsed JSON takes."""
    return _memory(body, _outside_strings(body, _BUT_STRINGS_AND_STRUCTURE))


def begins_as_json(body: bytes) -> bool:
    """Whether text begins as JSON of an object or a list does."""
    return _BEGINNING.match(body) is not None


def is_too_deep(body: bytes) -> bool:
    """Whether values are nested by more than MOST_DEPTH, in text that begins as JSON would."""
    # Lines of bulk results are short and many.
    if len(body) <= _SHORT and body.count(b"[") + body.count(b"{") <= MOST_DEPTH:
        return False
    if not begins_as_json(body):
        return False
    brackets = left = _outside_strings(body, _BUT_STRINGS_AND_BRACKETS)
    # Each step takes the innermost values away. Usual JSON is gone after a few.
    for _ in range(_USUAL_DEPTH):
        left = left.replace(b"[]", b"").replace(b"{}", b"")
        if not left:
            return False
    return max(accumulate(map(_STEP.__getitem__, brackets))) > MOST_DEPTH


def _memory(body: bytes, structure: bytes) -> int:
    objects, lists = structure.count(b"{"), structure.count(b"[")
    values = structure.count(b",") + structure.count(b":") + 1
    return _CHARACTER * len(body) + _VALUE * values + _OBJECT * objects + _LIST * lists


def _outside_strings(body: bytes, dropped: bytes) -> bytes:
    """The text outside of strings, without the `dropped` bytes."""
    # A search for one byte is much faster than one for two.
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    kept = body.translate(None, dropped).replace(b'""', b"")
    # The few strings that are left have brackets or commas in them.
    return _STRING.sub(b"", kept) if b'"' in kept else kept
