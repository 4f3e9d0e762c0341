"""Lists that leave objects out although Shopify counts them, as users have reported."""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from connector_pipeline.sandbox.shopify.paging import (
    Connection,
    Key,
    decode_cursor,
    page_of,
)


class InvalidShortLists(ValueError):
    """Short lists that cannot be played, with the reason."""


@dataclass(frozen=True, slots=True)
class ShortLists:
    """How the lists of products and variants are short. Counts stay right.

    `hidden` are the places (from 0) of products that no list has. The `last_page`-th page of
    products says that it is the last one, and the `empty_page`-th one has no products. With
    `repeats` each page has the products of the page before it, and with `ignores_first` twice as
    many as were asked for. `nested_variants` is how many variants of a product come with it before
    the connection says that there are no more; with `alone_too` also where the product is asked for
    alone.
    """

    hidden: tuple[int, ...] = ()
    last_page: int | None = None
    empty_page: int | None = None
    repeats: bool = False
    ignores_first: bool = False
    nested_variants: int | None = None
    alone_too: bool = False

    @property
    def any(self) -> bool:
        return self != ShortLists()

    def products(
        self, keys: Sequence[Key], load: Callable[[int], Any], arguments: Mapping[str, Any]
    ) -> Connection:
        """A page of products, as `page_of` makes it, made short."""
        hidden = set(self.hidden)
        keys = [key for place, key in enumerate(keys) if place not in hidden]
        size = arguments.get("first") or 0
        after = arguments.get("after")
        low = 0 if after is None else bisect_right(keys, decode_cursor(after))
        asked = {**arguments, "first": size * 2} if self.ignores_first else arguments
        page = page_of(keys, load, **asked)
        number = low // size + 1 if size else 1
        if self.repeats and low:
            before = keys[max(0, low - size) : low]
            page = replace(page, nodes=[load(key[1]) for key in before])
        if number == self.empty_page:
            page = replace(page, nodes=[])
        if number == self.last_page:
            page = replace(page, has_next_page=False)
        return page

    def variants(self, keys: Sequence[Key], *, alone: bool) -> Sequence[Key]:
        """The variants of a product that its connection has."""
        if self.nested_variants is None or (alone and not self.alone_too):
            return keys
        return keys[: self.nested_variants]


def short_lists_from_json(body: Mapping[str, Any]) -> ShortLists:
    """Read short lists sent over HTTP. Raises InvalidShortLists."""
    unknown = sorted(body.keys() - {each.name for each in fields(ShortLists)})
    if unknown:
        raise InvalidShortLists(f"unknown: {', '.join(unknown)}")
    given: dict[str, Any] = dict(body)
    given["hidden"] = tuple(given.get("hidden", ()))
    return ShortLists(**given)
