"""Judges by the pages of a list whether the shop obeys the parameters that it was sent.

A cache that ignores the query string answers page 1 for every page. An nginx whose `try_files`
lacks `$args` drops every parameter (docs/facts/woocommerce.md, Lost parameters). Such a shop cannot
be read, and asking on is of no use.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.woocommerce.reading.list_page import ListPage

_REMEDY: Final = (
    "Nothing is published, and only the next sync tries again. The parameters of the question do "
    "not reach WooCommerce: ask the merchant to exclude /wp-json from every cache (a plugin's, the "
    "host's, a CDN's), because one that ignores the query string answers the same page to every "
    "question. On nginx, the line `try_files` must end with /index.php?$args."
)
# A product whose status the merchant changes between the query and the answer proves nothing.
_JUST_NOW: Final = timedelta(minutes=2)
_STATUSES: Final = frozenset({"publish", "draft", "pending", "private", "future", "trash"})

# Of so many objects, no edits between two requests make the second page repeat the first.
_ENOUGH_TO_PROVE: Final = 5
# Smaller pages prove it when so many in a row are the same.
_REPEATS: Final = 3


class PagingWorks:
    """Looks at one list's pages in their order. `status` is the one that was asked for, if any."""

    def __init__(self, endpoint: str, *, status: str | None = None):
        self._endpoint = endpoint
        self._status = status
        self._first: tuple[int, list[int | None]] | None = None
        self._before: tuple[int, list[int | None]] | None = None
        self._repeats = 0
        self._edited = f"{datetime.now(UTC) - _JUST_NOW:%Y-%m-%dT%H:%M:%S}"

    def check(self, page: ListPage) -> None:
        """Raise InvalidResponse for a page that proves that the shop ignores parameters."""
        self._check_size(page)
        self._check_status(page)
        self._check_repeat(page)
        self.remember(page)

    def remember(self, page: ListPage) -> None:
        """Keep a page to compare the next ones with."""
        self._before = page.total, list(page.ids)
        self._first = self._first or self._before

    def _check_size(self, page: ListPage) -> None:
        if len(page.objects) > page.per_page:
            raise self._ignored(
                f"gave {len(page.objects)} objects on a page of {page.per_page}", "per_page"
            )
        pages = -(-page.total // page.per_page)
        if page.total and page.total_pages != pages:
            raise self._ignored(
                f"counts {page.total} objects in {page.total_pages} pages, and in pages of "
                f"{page.per_page} they are {pages}",
                "per_page",
            )

    def _check_status(self, page: ListPage) -> None:
        if self._status is None:
            return
        for row in page.objects:
            found: Any = row.get("status")
            modified: Any = row.get("date_modified_gmt")
            if isinstance(modified, str) and modified[:19] >= self._edited:
                continue
            if found in _STATUSES and found != self._status:
                raise self._ignored(
                    f"gave an object of status {found} and was asked for {self._status}", "status"
                )

    def _check_repeat(self, page: ListPage) -> None:
        now = page.total, list(page.ids)
        if self._first is not None and now[1] and now in (self._before, self._first):
            self._repeats += 1
            if len(now[1]) >= _ENOUGH_TO_PROVE or self._repeats >= _REPEATS:
                raise self._ignored(f"gave on {page.name} the objects of a page before it", "page")
        else:
            self._repeats = 0

    def _ignored(self, observed: str, parameter: str) -> InvalidResponse:
        return InvalidResponse(
            f"{self._endpoint} {observed}: the shop ignores {parameter}.", remedy=_REMEDY
        )
