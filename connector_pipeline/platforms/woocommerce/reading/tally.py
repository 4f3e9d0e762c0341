"""Does a list of the REST API vouch for being whole? Its headers and ids against each other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import JsonValue

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.http.client import Answer
from connector_pipeline.platforms.woocommerce.mapping.normalize import object_id, objects_of


@dataclass(frozen=True, slots=True)
class ListPage:
    """One page of a list: its objects, and the list's length as the page's headers state it.

    Pages of one list may be of different sizes, so places in it are counted in objects. `facts`
    are those of the raw page.
    """

    number: int
    per_page: int
    total: int
    total_pages: int
    objects: list[dict[str, Any]]
    body: bytes
    facts: dict[str, JsonValue] = field(default_factory=dict[str, JsonValue])

    @property
    def start(self) -> int:
        """How many objects of the list are on the pages before this one."""
        return (self.number - 1) * self.per_page

    @property
    def stop(self) -> int:
        """Where the next page starts."""
        return self.number * self.per_page

    @property
    def end(self) -> int:
        """Where the last page stops. A short page is not the last one (FACTS 1)."""
        return self.total_pages * self.per_page


def list_page(answer: Answer, number: int, endpoint: str, *, per_page: int = 100) -> ListPage:
    """Read page `number` of a list. Raises InvalidResponse where headers or body are no list's."""
    return ListPage(
        number=number,
        per_page=per_page,
        total=_counted(answer.headers, "X-WP-Total", endpoint),
        total_pages=_counted(answer.headers, "X-WP-TotalPages", endpoint),
        objects=objects_of(answer.json),
        body=answer.body,
    )


def _counted(headers: Mapping[str, str], name: str, endpoint: str) -> int:
    written = headers.get(name)
    if written is None or not (written.isascii() and written.isdigit() and len(written) < 10):
        shown = "no header" if written is None else f"{written[:40]!r} in the header"
        raise InvalidResponse(
            f"{endpoint} answered a list with {shown} {name}.",
            remedy="Not retried. A cache or a security plugin of the shop may strip or rewrite "
            "headers: ask the merchant to leave /wp-json alone.",
        )
    return int(written)


@dataclass(slots=True)
class Tally:
    """What a list said of its length against what it gave, page by page in order.

    `distinct` counts the ids that rise. Rising ids are distinct without a set of them all, and a
    list in another order falls short of its total, rightly: such an order drifts (FACTS 2).
    `empty` is the first page without objects, `last` the last page read.
    """

    first_total: int | None = None
    last_total: int = 0
    distinct: int = 0
    last_id: int = 0
    empty: ListPage | None = None
    last: ListPage | None = None

    def add(self, page: ListPage) -> None:
        """Count the next page."""
        if self.first_total is None:
            self.first_total = page.total
        self.last_total = page.total
        self.last = page
        if not page.objects and self.empty is None:
            self.empty = page
        for row in page.objects:
            own_id = object_id(row)
            if own_id is not None and own_id > self.last_id:
                self.distinct += 1
                self.last_id = own_id

    def disagreement(self) -> str | None:
        """Why this list does not vouch for being whole; None when it does."""
        if self.first_total is not None and self.first_total != self.last_total:
            return (
                f"the shop counted {self.first_total} on the first page and {self.last_total} on "
                "the last, so one may have been skipped while they were read"
            )
        if self.empty is not None and self.last is not None and self.empty.start < self.last.start:
            # Whatever the totals say: a broken page with status 200 looks just like this.
            return f"page {self.empty.number} of {self.last.number} was empty"
        if self.distinct != self.last_total:
            return (
                f"the shop counts {self.last_total} and gave {self.distinct} (what it cannot load "
                "it counts and leaves out; what it repeats or gives out of order is not counted)"
            )
        return None
