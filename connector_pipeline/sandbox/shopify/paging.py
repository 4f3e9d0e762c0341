"""Shopify's connections: their keyset cursors do not shift by inserts and deletes."""

import base64
import binascii
import json
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from graphql import GraphQLError

Key = tuple[Any, int]
"""The sort key of a connection: a value, and the id that decides between equal values."""


@dataclass(frozen=True, slots=True)
class Connection:
    """One page: the records, their cursors, and whether there is more on either side."""

    nodes: Sequence[Any]
    keys: Sequence[Key]
    has_next_page: bool
    has_previous_page: bool

    def edges(self) -> list["Edge"]:
        return [
            Edge(encode_cursor(key), node) for key, node in zip(self.keys, self.nodes, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Edge:
    """A record with its cursor."""

    cursor: str
    node: Any


def page_of(
    keys: Sequence[Key],
    load: Callable[[int], Any],
    *,
    first: int | None = None,
    last: int | None = None,
    after: str | None = None,
    before: str | None = None,
    reverse: bool = False,
) -> Connection:
    """The page of ascending `keys` that the arguments select; `load` turns an id into a record.

    Raises GraphQLError for a cursor that is not of this sort.
    """
    low, high = 0, len(keys)
    behind, ahead = (before, after) if reverse else (after, before)
    try:
        if behind is not None:
            low = bisect_right(keys, decode_cursor(behind))
        if ahead is not None:
            high = bisect_left(keys, decode_cursor(ahead))
    except (TypeError, ValueError):
        raise GraphQLError("Invalid cursor for current pagination sort.") from None
    high = max(low, high)
    # In the order of the answer, the page is a prefix for `first` and a suffix for `last`.
    wanted = first if first is not None else last or 0
    from_low_end = (first is not None) is not reverse
    start = low if from_low_end else max(low, high - wanted)
    stop = min(high, low + wanted) if from_low_end else high
    chosen = list(keys[start:stop])
    more_low, more_high = start > 0, stop < len(keys)
    if reverse:
        chosen.reverse()
        more_low, more_high = more_high, more_low
    return Connection([load(key[1]) for key in chosen], chosen, more_high, more_low)


def encode_cursor(key: Key) -> str:
    """A cursor, opaque to readers. It has the key to go on after, and no position in the list."""
    value, last_id = key
    cursor: dict[str, Any] = {"last_id": last_id, "last_value": value}
    if isinstance(value, datetime):
        cursor |= {"last_value": value.isoformat(), "is_time": True}
    text = json.dumps(cursor, separators=(",", ":"))
    return base64.b64encode(text.encode()).decode()


def decode_cursor(cursor: str) -> Key:
    """The key in a cursor. Raises ValueError for any other text."""
    try:
        found = json.loads(base64.b64decode(cursor, validate=True))
        value, last_id = found["last_value"], int(found["last_id"])
    except (binascii.Error, KeyError, TypeError, UnicodeDecodeError) as error:
        raise ValueError("not a cursor") from error
    return (datetime.fromisoformat(value) if found.get("is_time") else value), last_id
