"""Reads one page of a list of the REST API, with the list's length from its headers."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pydantic import JsonValue

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.http.client import Answer
from connector_pipeline.platforms.http.json_body import parse_json
from connector_pipeline.platforms.kit.json_values import value_at
from connector_pipeline.platforms.kit.list_bound import refuse_count
from connector_pipeline.platforms.woocommerce.mapping.normalize import object_id, objects_of

_NUMBER: Final = re.compile(r"[0-9]{1,4}")


@dataclass(frozen=True, slots=True)
class ListPage:
    """One page of a list: its objects, and the list's length as the page's headers state it.

    Pages of one list may have different sizes, so positions in the list are counted in objects.
    `facts` are those of the raw page.
    """

    number: int
    per_page: int
    total: int
    total_pages: int
    objects: list[dict[str, Any]]
    body: bytes
    facts: dict[str, JsonValue] = field(default_factory=dict[str, JsonValue])

    def closed(self) -> "ListPage":
        """The page without its objects, which takes a fraction of the memory."""
        return replace(self, objects=[])

    def opened(self) -> "ListPage":
        """A closed page with its objects again."""
        return replace(self, objects=objects_of(parse_json(self.body)))

    @property
    def name(self) -> str:
        """The page's name in a warning."""
        return f"page {self.number} of {self.total_pages}"

    @property
    def ids(self) -> Iterator[int | None]:
        """The ids of the page's objects."""
        return map(object_id, self.objects)

    @property
    def stop(self) -> int:
        """The position at which the next page starts."""
        return self.number * self.per_page

    @property
    def end(self) -> int:
        """The position at which the list ends. A short page may not be the last one.

        See docs/facts/woocommerce.md, Lists: order and totals. The last page may have room for
        more than the list has: the next pages may be smaller, and must not be read behind the end.
        """
        stop = self.total_pages * self.per_page
        return self.total if 0 <= stop - self.total < self.per_page else stop

    @property
    def allowed(self) -> int | None:
        """The size of the pages that the shop gives, where that is less than was asked for.

        A plugin may clamp `per_page`. Then the shop counts more pages than there would be.
        """
        if self.total_pages <= -(-self.total // self.per_page):
            return None
        # The size itself is no less than either, and a page may lack objects.
        return max(len(self.objects), -(-self.total // self.total_pages))


def allowed_by_refusal(answer: Answer, asked: int) -> int | None:
    """The size of pages that a refusal of `per_page` allows; None for another refusal.

    WordPress says "per_page must be between 1 (inclusive) and 50 (inclusive)" in its language.
    """
    said = value_at(answer.json, "data", "params", "per_page")
    if not isinstance(said, str):
        return None
    numbers = [int(each) for each in _NUMBER.findall(said)]
    return numbers[-1] if numbers and numbers[-1] < asked else asked // 2


def list_page(answer: Answer, number: int, endpoint: str, *, per_page: int = 100) -> ListPage:
    """Read page `number` of a list.

    Raises InvalidResponse for an answer that is no list, and for a list of impossible length.
    """
    total = _counted(answer.headers, "X-WP-Total", endpoint)
    refuse_count(endpoint, total)
    return ListPage(
        number=number,
        per_page=per_page,
        total=total,
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
            remedy="Only the next sync tries again. A cache or a security plugin of the shop may "
            "strip or rewrite headers: ask the merchant to leave /wp-json alone.",
        )
    return int(written)
