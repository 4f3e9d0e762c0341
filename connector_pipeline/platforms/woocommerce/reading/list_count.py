"""Counts one list of products page by page, and says whether there is reason to doubt it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from connector_pipeline.platforms.kit.compact_ids import CompactIds
from connector_pipeline.platforms.woocommerce.reading.list_page import ListPage

_CLOCKS_DIFFER: Final = timedelta(minutes=2)


@dataclass(slots=True)
class ListCount:
    """The ids of one list, and the lengths that it stated."""

    ids: CompactIds = field(default_factory=CompactIds)
    first_total: int | None = None
    total: int = 0
    edited: bool = False
    """Whether the list changed length, or has objects that changed since the reading began.

    An object that was added hides in the totals that another one was deleted, and the list then
    skips one (docs/facts/woocommerce.md, Lists: order and totals).
    """
    stop: int = 0
    _changed_length: bool = False
    _empty: bool = False
    _empty_before_end: bool = False
    _last_page_is_full: bool = False

    def add(self, page: ListPage, *, began: datetime) -> None:
        """Count the next page. `began` is when the reading began, by our clock."""
        if self.first_total is None:
            self.first_total = page.total
        elif page.total != self.total:
            self.edited = self._changed_length = True
        self.total = page.total
        self.stop = page.stop
        self._empty_before_end |= self._empty
        self._empty |= not page.objects
        self._last_page_is_full = len(page.objects) == page.per_page
        fresh = f"{began.astimezone(UTC) - _CLOCKS_DIFFER:%Y-%m-%dT%H:%M:%S}"
        for row, own_id in zip(page.objects, page.ids, strict=True):
            if own_id is not None:
                self.ids.add(own_id)
            modified: Any = row.get("date_modified_gmt")
            if isinstance(modified, str) and modified[:19] >= fresh:
                self.edited = True

    @property
    def lacking(self) -> int:
        """How many objects the shop counts and did not give; negative if it gave more."""
        return self.total - len(self.ids)

    @property
    def agrees(self) -> bool:
        """Whether nothing about the list is doubtful."""
        return not (self.edited or self._empty_before_end or self.lacking)

    @property
    def as_long_as_stated(self) -> bool:
        """Whether the list had one length on all pages, and gave as many objects."""
        return not (self._changed_length or self._empty_before_end or self.lacking)

    @property
    def may_go_on(self) -> bool:
        """Whether the list may be longer than it states: its last page is full."""
        return self._last_page_is_full
