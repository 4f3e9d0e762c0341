"""The sizes of the pages that a shop can answer, remembered from sync to sync.

A host may break over a page of 100 objects and answer one of 50 well (docs/facts/woocommerce.md,
Pages that fail). The size that works is remembered for the shop, one for its lists of products and
one for those of variations. A later sync tries one step more, so trouble that passed does not
shrink a shop's pages for ever. After each step in vain, twice as many syncs pass before the next.
"""

from collections.abc import MutableMapping
from typing import Final

SMALLEST: Final = 5
"""No list is read in smaller pages than this from its beginning to its end."""

_MOST_SYNCS_BETWEEN: Final = 32


def smaller(size: int) -> int:
    """The largest size below `size` that divides it; 1 for 1.

    With pages of such sizes no object is missed or read twice.
    """
    return size // next((each for each in range(2, size + 1) if size % each == 0), size)


def parts(size: int, at_most: int) -> int:
    """The size of the parts of a page of `size` that failed: smaller, and not over `at_most`."""
    if at_most < size and size % at_most == 0:
        return at_most
    less = smaller(size)
    while less > at_most:
        less = smaller(less)
    return less


class PageSizes:
    """The page sizes of one shop's lists, by the lists' kind.

    `memory` is `FetchReport.page_sizes`: by kind the size, the syncs that pass between two steps
    (`{kind}_syncs_between`), those that are left before the next (`{kind}_syncs_left`), and 1 after
    the first page that took too long (`{kind}_slow`).
    `largest` is the size of a shop that answers every page.
    """

    def __init__(self, memory: MutableMapping[str, int], largest: int):
        self._memory = memory
        self._largest = largest
        self._full: set[str] = set()
        self._slow: set[str] = set()

    def size(self, kind: str) -> int:
        """The size that works, as far as the shop is known."""
        return max(1, min(self._memory.get(kind, self._largest), self._largest))

    def first(self, kind: str) -> int:
        """The size for the first page of a list: one step more, when its time has come."""
        size = self.size(kind)
        if size == self._largest or self._memory.get(_left(kind), 0) > 0:
            return size
        # A page of such a size can be read in pages of the known size, if it fails.
        steps = (each for each in range(2 * size, self._largest, size) if self._largest % each == 0)
        return next(steps, self._largest)

    def passed(self, kind: str, size: int, objects: int) -> None:
        """Note that the shop answered a page of `size`, on which it counts so many objects."""
        works = self.size(kind)
        if size == works <= objects:
            self._full.add(kind)
        if size > works and objects > works:
            self._memory[kind] = size
            self._memory[_left(kind)] = self._memory.get(_between(kind), 1)

    def failed(self, kind: str, works: int) -> None:
        """Note that the shop fails with larger pages than those of size `works`."""
        between = self._memory.get(_between(kind), 0)
        self._memory[kind] = min(max(works, SMALLEST), self.size(kind))
        self._memory[_between(kind)] = min(max(1, 2 * between), _MOST_SYNCS_BETWEEN)
        self._memory[_left(kind)] = self._memory[_between(kind)]
        self._full.discard(kind)

    def slow(self, kind: str) -> None:
        """Note that a page took the shop too long.

        One slow page may have one heavy product. After two, in this sync and those before, the
        pages are one step smaller.
        """
        self._slow.add(kind)
        if self._memory.pop(_slow(kind), 0):
            self.failed(kind, smaller(self.size(kind)))
        else:
            self._memory[_slow(kind)] = 1

    def end_of_sync(self) -> None:
        """Count the sync, for each kind that had a full page of the size that works."""
        for kind in self._full:
            if kind not in self._slow:
                self._memory.pop(_slow(kind), None)
            if self._memory.get(kind, self._largest) >= self._largest:
                for name in (kind, _between(kind), _left(kind)):
                    self._memory.pop(name, None)
            elif left := self._memory.get(_left(kind), 0):
                self._memory[_left(kind)] = left - 1
        self._full.clear()
        self._slow.clear()


def _between(kind: str) -> str:
    return f"{kind}_syncs_between"


def _left(kind: str) -> str:
    return f"{kind}_syncs_left"


def _slow(kind: str) -> str:
    return f"{kind}_slow"
