"""Does a list vouch for being whole? The length it states and the ids it gives, held together."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol


class CountedPage(Protocol):
    """One page of a list, as far as it is counted."""

    @property
    def name(self) -> str:
        """How a warning calls it, e.g. "page 2 of 3"."""
        ...

    @property
    def total(self) -> int | None:
        """The length of the list as the page states it; None where it states none."""
        ...

    @property
    def ids(self) -> Iterable[Any]:
        """Its objects' ids: all of them integers or all of them text; None for one without."""
        ...


@dataclass(slots=True)
class Tally:
    """What one list stated of its length against what it gave, page by page in order.

    `distinct` counts the ids that rise. Rising ids are distinct without a set of them all. A list
    in another order falls short of its total, rightly: pages of such a list shift while objects
    are added and deleted.
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
        """Why this list does not vouch for being whole; None when it does."""
        if self.first_total != self.last_total:
            return (
                f"the shop counted {self.first_total} on the first page and {self.last_total} on "
                "the last, so one may have been skipped while they were read"
            )
        if self._goes_on_after_empty:
            # Whatever the totals say: a broken page with status 200 looks just like this.
            return f"{self._empty} was empty"
        if self.last_total is not None and self.distinct != self.last_total:
            return (
                f"the shop counts {self.last_total} and gave {self.distinct} (what it cannot load "
                "it counts and leaves out; what it repeats or gives out of order is not counted)"
            )
        return None
