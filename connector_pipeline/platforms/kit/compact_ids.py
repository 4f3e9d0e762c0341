"""A set of numeric ids in eight bytes each: a set of Python's integers takes ten times as much."""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Final

_TOO_LARGE: Final = 2**64


class CompactIds:
    """A set of ids. Adding is cheapest in ascending order, which is how lists give them."""

    def __init__(self, ids: Iterable[int] = ()):
        self._ids = array("Q")
        self._ascending = True
        for own_id in ids:
            self.add(own_id)

    def add(self, own_id: int) -> None:
        """Add an id. One that no platform gives, negative or beyond 64 bits, is left out."""
        if not 0 <= own_id < _TOO_LARGE:
            return
        if self._ids and own_id <= self._ids[-1]:
            if self._ascending and own_id in self:
                return
            self._ascending = False
        self._ids.append(own_id)

    @property
    def highest(self) -> int:
        """The highest id; 0 if there is none."""
        ids = self._sorted()
        return ids[-1] if ids else 0

    def __contains__(self, own_id: object) -> bool:
        if type(own_id) is not int or not 0 <= own_id < _TOO_LARGE:
            return False
        ids = self._sorted()
        place = bisect_left(ids, own_id)
        return place < len(ids) and ids[place] == own_id

    def __iter__(self) -> Iterator[int]:
        return iter(self._sorted())

    def __len__(self) -> int:
        return len(self._sorted())

    def _sorted(self) -> "array[int]":
        if not self._ascending:
            self._ids = array("Q", sorted(set(self._ids)))
            self._ascending = True
        return self._ids
