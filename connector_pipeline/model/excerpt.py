"""A bounded excerpt of JSON that a stranger sent: it stays JSON, and marks what was cut.

The work is bounded, too: of 10 MB no more is looked at than the excerpt can hold.
"""

import json
from collections.abc import Iterable
from math import isfinite
from typing import Any, Final, cast

from pydantic import JsonValue

_LONGEST_TEXT: Final = 256
_DEEPEST: Final = 8
_AROUND: Final = 4
"""Bytes of JSON around an entry at most: its comma, its colon and the spaces after them."""
_MARK: Final = 48
"""Bytes that are kept free for the mark of a cut, in ASCII."""
_LARGEST_NUMBER: Final = 10**40


def excerpt(value: Any, *, most_bytes: int) -> JsonValue:
    """The value as JSON of at most so many bytes in ASCII; a value that fits stays whole.

    Where something was cut, the mark `…` stands in its place and says how much: at the end of a
    text, as the last entry of a list, or as the key `…` of an object. Entries that come first are
    kept first. Numbers that are no small integer become text.
    """
    whole = _Excerpt(most_bytes, longest_text=most_bytes, deepest=_DEEPEST * 4)
    found = whole.of(value, 0)
    if not whole.cut and _size(found) <= most_bytes:
        return found
    # A mark costs bytes that only the writing shows; so the room shrinks until the result fits.
    room = most_bytes
    while room > _MARK:
        found = _Excerpt(room, longest_text=_LONGEST_TEXT, deepest=_DEEPEST).of(value, 0)
        if _size(found) <= most_bytes:
            return found
        room = room * 3 // 4
    return "…"


def bounded_lines(lines: Iterable[str], *, most: int, most_bytes: int) -> list[str]:
    """At most so many lines of at most so many bytes each; a last line counts those left out."""
    kept: list[str] = []
    left_out = 0
    for line in lines:
        if len(kept) < most:
            kept.append(_cut(line, most_bytes, ascii_only=False))
        else:
            left_out += 1
    if left_out:
        kept[-1] = f"… and {left_out + 1} more of these."
    return kept


class _Excerpt:
    """Copies a value until its room is used up."""

    def __init__(self, room: int, *, longest_text: int, deepest: int):
        self._room = room
        self._longest_text = longest_text
        self._deepest = deepest
        self.cut = False

    def of(self, value: Any, depth: int) -> JsonValue:
        if value is None or isinstance(value, bool):
            self._room -= 5
            return value
        if isinstance(value, int) and abs(value) < _LARGEST_NUMBER:
            self._room -= len(str(value))
            return value
        if isinstance(value, float) and isfinite(value):
            self._room -= len(str(value))
            return value
        if isinstance(value, list | tuple | dict):
            if depth >= self._deepest:
                return self._mark("nested deeper than is shown")
            self._room -= 2
            if isinstance(value, dict):
                return self._object(cast("dict[object, Any]", value), depth)
            return self._list(cast("list[Any]", value), depth)
        return self._text(value)

    def _list(self, value: "list[Any] | tuple[Any, ...]", depth: int) -> list[JsonValue]:
        kept: list[JsonValue] = []
        for each in value:
            if self._room <= _MARK:
                kept.append(self._mark(f"{len(value) - len(kept)} more entries"))
                break
            self._room -= _AROUND
            kept.append(self.of(each, depth + 1))
        return kept

    def _object(self, value: dict[object, Any], depth: int) -> dict[str, JsonValue]:
        kept: dict[str, JsonValue] = {}
        for name, each in value.items():
            if self._room <= _MARK:
                kept["…"] = self._mark(f"{len(value) - len(kept)} more fields")
                break
            self._room -= _AROUND
            kept[self._text(name)] = self.of(each, depth + 1)
        return kept

    def _text(self, value: object) -> str:
        most = max(_MARK, min(self._longest_text, self._room))
        text = value if isinstance(value, str) else _written(value)
        shown = _cut(text, most)
        self.cut |= shown is not text
        self._room -= _size(shown)
        return shown

    def _mark(self, what: str) -> str:
        self.cut = True
        self._room -= _MARK
        return f"… ({what})"


def _written(value: object) -> str:
    if isinstance(value, int):
        # Python refuses to write numbers of many digits.
        return f"a number of about {value.bit_length() * 3 // 10} digits"
    return str(value)


def _cut(text: str, most_bytes: int, *, ascii_only: bool = True) -> str:
    """The text itself if it fits, else its beginning with a mark that has its length."""
    if len(text) <= most_bytes and _size(text, ascii_only) <= most_bytes:
        return text
    mark = f"… ({len(text)} characters)"
    room = most_bytes - _size(mark)
    kept = text[: max(room, 0)]
    while kept and _size(kept, ascii_only) > room:
        kept = kept[: len(kept) * 3 // 4]
    return kept + mark


def _size(value: object, ascii_only: bool = True) -> int:
    if isinstance(value, str) and not ascii_only:
        return len(value.encode(errors="replace"))
    return len(json.dumps(value))
