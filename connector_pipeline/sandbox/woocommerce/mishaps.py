"""Troubles between a WooCommerce shop and its API, as data: caches, lost parameters, lost objects.

docs/facts/woocommerce.md, Lost parameters and Lists: order and totals.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, cast

from connector_pipeline.sandbox.woocommerce.query import ListQuery

_SEVERAL: Final = frozenset({"ignored", "unloadable", "left_out", "empty_pages"})
_LARGE: Final = 20


class InvalidMishaps(ValueError):
    """Troubles that no shop can have, with the reason."""


@dataclass(frozen=True, slots=True)
class Mishaps:
    """The mishaps of the lists whose path ends with `lists`; of all, if it is empty.

    - `ignored`: parameters that do not reach WooCommerce; `*` is every one, as behind an nginx
      without `$args`, and `page` alone is a cache that answers page 1 for every page
    - `largest_page`: a larger `per_page` counts as this one, or is refused if `refuses_larger`
    - `unloadable`: ids that are counted and never given
    - `left_out`: ids that are missing on pages of more than 20 objects, unless asked for by id
    - `empty_pages`: the numbers of pages that come empty
    - `cut_after`: no list gives more than so many objects, and the rest is counted
    - `total_short`: the headers, of an old answer, count so many objects too few
    """

    lists: str = ""
    ignored: tuple[str, ...] = ()
    largest_page: int | None = None
    refuses_larger: bool = False
    unloadable: tuple[int, ...] = ()
    left_out: tuple[int, ...] = ()
    empty_pages: tuple[int, ...] = ()
    cut_after: int | None = None
    total_short: int = 0

    def __post_init__(self) -> None:
        if self.largest_page is not None and not 1 <= self.largest_page <= 100:
            raise InvalidMishaps(f"largest_page {self.largest_page}: expected 1 to 100")
        if self.total_short < 0 or (self.cut_after or 0) < 0:
            raise InvalidMishaps("total_short and cut_after are not negative")

    def at(self, path: str) -> "Mishaps":
        """The mishaps of this path: these or none."""
        return self if path.endswith(self.lists) else NONE

    def reaching(self, given: Mapping[str, str]) -> dict[str, str]:
        """The parameters that reach WooCommerce."""
        lost = set(given) if "*" in self.ignored else set(self.ignored)
        reaching = {name: value for name, value in given.items() if name not in lost}
        asked = reaching.get("per_page", "10")
        clamps = self.largest_page is not None and not self.refuses_larger
        if clamps and asked.isdigit() and int(asked) > self.most_per_page:
            reaching["per_page"] = str(self.largest_page)
        return reaching

    @property
    def most_per_page(self) -> int:
        """The largest `per_page` that is not refused or clamped."""
        return self.largest_page or 100

    def given(self, ids: Sequence[int], query: ListQuery) -> Sequence[int]:
        """Of the ids of one page, those that come."""
        if query.offset is None and query.page in self.empty_pages:
            return []
        if self.cut_after is not None:
            ids = ids[: max(0, self.cut_after - query.start)]
        lost = set(self.unloadable)
        if query.per_page > _LARGE and not query.include:
            lost |= set(self.left_out)
        return [own_id for own_id in ids if own_id not in lost] if lost else ids

    def stated(self, total: int) -> int:
        """The total that the headers state."""
        return max(0, total - self.total_short)


NONE: Final = Mishaps()


def mishaps_from_json(body: Mapping[str, Any]) -> Mishaps:
    """Read mishaps sent over HTTP. Raises InvalidMishaps."""
    unknown = sorted(body.keys() - {each.name for each in fields(Mishaps)})
    if unknown:
        raise InvalidMishaps(f"unknown: {', '.join(unknown)}")
    values = {name: tuple(value) if name in _SEVERAL else value for name, value in body.items()}
    return Mishaps(**cast("dict[str, Any]", values))
