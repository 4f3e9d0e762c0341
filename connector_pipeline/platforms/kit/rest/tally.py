"""Compares the length that a list states with the ids that it gives."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol


class CountedPage(Protocol):
    """One page of a list, as far as a tally needs it."""

    @property
    def name(self) -> str:
        """The page's name in a warning, e.g. "page 2 of 3"."""
        ...

    @property
    def total(self) -> int | None:
        """The length of the list as the page states it; None where it states none."""
        ...

    @property
    def ids(self) -> Iterable[Any]:
        """The objects' ids, all integers or all text; None for an object without an id."""
        ...


@dataclass(slots=True)
class Tally:
    """Counts one list's objects, page by page, and remembers the lengths that the list stated.

    `distinct` counts the ids that rise: rising ids are distinct, without a set of them all. A list
    in another order does not reach its total, and rightly so, because the pages of such a list
    shift while objects are added and deleted.
    """

    first_total: int | None = None
    last_total: int | None = None
    distinct: int = 0
    _pages: int = 0
    _last_id: Any = None
    _empty: str | None = None
    _goes_on_after_empty: bool = False

    def add(self, page: CountedPage) -> None:
        """Count the next page."""
        if not self._pages:
            self.first_total = page.total
        self.last_total = page.total
        self._pages += 1
        is_empty = True
        for own_id in page.ids:
            is_empty = False
            if own_id is not None and self._rises(own_id):
                self.distinct += 1
                self._last_id = own_id
        if self._empty is not None:
            self._goes_on_after_empty = True
        elif is_empty:
            self._empty = page.name

    def _rises(self, own_id: Any) -> bool:
        last = self._last_id
        return last is None or (type(own_id) is type(last) and own_id > last)

    def disagreement(self) -> str | None:
        """Why the counts of this list do not agree; None when they do."""
        if self.first_total != self.last_total:
            return (
                f"the shop counted {self.first_total} on the first page and {self.last_total} on "
                "the last, so one may have been skipped while they were read"
            )
        if self._goes_on_after_empty:
            # This holds even if the totals agree: a broken page with status 200 looks the same.
            return f"{self._empty} was empty"
        if self.last_total is not None and self.distinct != self.last_total:
            return (
                f"the shop counts {self.last_total} and gave {self.distinct} (what it cannot load "
                "it counts and leaves out; what it repeats or gives out of order is not counted)"
            )
        return None
