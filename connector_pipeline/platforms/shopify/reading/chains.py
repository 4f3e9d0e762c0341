"""Reads pages of products and variants, and follows their cursors.

A page that shows that paging does not work is an error: it has products of the page before it, more
of them than were asked for, or a cursor that leads back.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Generic, Protocol, TypeVar

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.kit.json_values import (
    is_object,
    list_at,
    object_at,
    value_at,
)
from connector_pipeline.platforms.kit.list_bound import ListBound
from connector_pipeline.platforms.shopify.gid import numeric_id
from connector_pipeline.platforms.shopify.queries import VARIANTS_PER_PAGE

_ANSWER: Final = "Shopify's answer"

LONGEST_CURSOR: Final = 4096
"""A longer cursor is an error. Shopify's have a hundred or two characters."""

_MOST_EMPTY_PAGES: Final = 10
"""So many pages in a row without an object, each with a cursor to more, end a chain."""


@dataclass(frozen=True, slots=True)
class VariantsPage:
    """The number of a product's variants on a page, and the cursor to more of them.

    `ids` are those of the variants, where the chain of their pages goes on or went on. `end` is the
    cursor behind the last variant, also where Shopify says that there are no more.
    """

    variants: int
    following: str | None
    ids: frozenset[str]
    end: str | None

    @classmethod
    def of(cls, product: object, number: str, *, first: bool) -> "VariantsPage":
        """The variants of a product; `first` if they came with it. Raises InvalidResponse."""
        connection = object_at(product, "variants", of=_ANSWER)
        what = f"variants of product {number}"
        nodes = _nodes(connection, what)
        following, end = _cursors(connection, what)
        chained = not first or following is not None
        return cls(len(nodes), following, _ids_of(nodes, what) if chained else frozenset(), end)

    @property
    def size(self) -> int:
        return self.variants


@dataclass(frozen=True, slots=True)
class ProductOnPage(VariantsPage):
    """A product with the variants that came with it."""

    number: str


@dataclass(frozen=True, slots=True)
class ProductsPage:
    """The products on a page; `following` and `end` as in VariantsPage."""

    products: tuple[ProductOnPage, ...]
    following: str | None
    end: str | None

    @classmethod
    def of(cls, data: object) -> "ProductsPage":
        """The page in `data`. Raises InvalidResponse."""
        connection = object_at(data, "products", of=_ANSWER)
        products = tuple(product_on_page(node) for node in _nodes(connection, "products"))
        return cls(products, *_cursors(connection, "products"))

    @property
    def ids(self) -> frozenset[str]:
        return frozenset(product.number for product in self.products)

    @property
    def size(self) -> int:
        return len(self.products)


def variants_page(data: object, number: str) -> VariantsPage | None:
    """The variants on a page of their own; None if the product is gone. Raises InvalidResponse."""
    if is_object(data) and data.get("product", False) is None:
        return None
    return VariantsPage.of(object_at(data, "product", of=_ANSWER), number, first=False)


class _Leading(Protocol):
    """A page with the cursor to the next page of its chain; None on the last page."""

    @property
    def following(self) -> str | None: ...

    @property
    def ids(self) -> frozenset[str]: ...

    @property
    def size(self) -> int: ...


PageT = TypeVar("PageT", bound=_Leading | None)


class Chain(Generic[PageT]):
    """Follows the cursors of one connection. It must end, so no cursor may come twice.

    It begins after `cursor`, behind the page `before`, if there is one. A page may have `at_most`
    so many objects, and all pages together what `bound` allows. `may_come_again`: the order is that
    of changes, so a few objects may come again on the next page, but not all of a page.
    """

    def __init__(
        self,
        what: str,
        page_of: Callable[[object], PageT],
        cursor: str | None = None,
        *,
        at_most: int,
        bound: ListBound | None = None,
        before: _Leading | None = None,
        may_come_again: bool = False,
    ):
        self._what = what
        self._page_of = page_of
        self._at_most = at_most
        self._bound = bound or ListBound(what)
        self._may_come_again = may_come_again
        self._seen: set[str] = set() if cursor is None else {cursor}
        self._ids: frozenset[str] = frozenset() if before is None else before.ids
        self._empty = 0
        self.cursor = cursor
        self.more = True

    def read(self, data: object) -> PageT:
        """The page in `data`. Raises InvalidResponse if it leads nowhere, or back."""
        page = self._page_of(data)
        if page is None:
            return page
        if page.following is not None and not page.size and self._empty >= _MOST_EMPTY_PAGES:
            raise InvalidResponse(
                f"Shopify sent {self._empty} empty pages of the {self._what} in a row, and says "
                "that there are more."
            )
        if page.following in self._seen:
            raise InvalidResponse(f"Shopify's cursor through the {self._what} does not move on.")
        if page.size > self._at_most:
            raise InvalidResponse(
                f"Shopify sent {page.size} {self._what} where at most {self._at_most} were asked "
                "for: paging does not work there, because something on the way changes questions "
                "or answers."
            )
        again = len(page.ids & self._ids)
        allowed = self._may_come_again and (again < len(self._ids) or again < _NO_CHANCE)
        if again and not allowed:
            raise InvalidResponse(
                f"Shopify's page of {self._what} has {again} of the page before it again: paging "
                "does not work there, because something on the way ignores the cursor or answers "
                "from a cache."
            )
        return page

    def follow(self, page: _Leading) -> None:
        """Go on with the page that follows this one. Raises InvalidResponse past the bound."""
        self._bound.add(page.size)
        self.cursor = page.following
        self.more = page.following is not None
        self._empty = 0 if page.size else self._empty + 1
        self._ids = page.ids
        if page.following is not None:
            self._seen.add(page.following)


def variants_chain(number: str, page: VariantsPage | None = None) -> Chain[VariantsPage | None]:
    """The chain of a product's variants: from its beginning, or behind the page it came with."""
    return Chain(
        f"variants of product {number}",
        partial(variants_page, number=number),
        None if page is None else page.following,
        at_most=VARIANTS_PER_PAGE,
        bound=ListBound(f"variants of product {number}", VARIANTS_PER_PAGE),
        before=page,
    )


_NO_CHANCE: Final = 2
"""So many changed products, all of a page, do not all change again before the next page."""


def product_on_page(node: object) -> ProductOnPage:
    """A product with the variants that came with it. Raises InvalidResponse."""
    number = numeric_id(value_at(node, "id"), "Product")
    if number is None:
        raise InvalidResponse("A product of Shopify's has no id of the form it promises.")
    variants = VariantsPage.of(node, number, first=True)
    return ProductOnPage(variants.variants, variants.following, variants.ids, variants.end, number)


def _ids_of(nodes: list[Any], what: str) -> frozenset[str]:
    given = [value_at(node, "id") for node in nodes]
    ids = [each for each in given if isinstance(each, str)]
    if len(set(ids)) < len(ids):
        # It stands in the place of another, which would be absent although the counts agree.
        raise InvalidResponse(f"Shopify's page of {what} has one of them twice.")
    return frozenset(ids)


def _cursors(connection: dict[str, Any], what: str) -> tuple[str | None, str | None]:
    """The cursor to the next page, None if there is none, and the cursor behind this page."""
    page_info = object_at(connection, "pageInfo", of=_ANSWER)
    more, cursor = page_info.get("hasNextPage"), page_info.get("endCursor")
    if not isinstance(more, bool):
        raise InvalidResponse(f"Shopify does not say whether there are more {what}.")
    end = cursor if isinstance(cursor, str) and cursor else None
    if end is not None and len(end) > LONGEST_CURSOR:
        raise InvalidResponse(f"Shopify's cursor through the {what} has {len(end)} characters.")
    if more and end is None:
        raise InvalidResponse(f"Shopify says there are more {what}, but gives no cursor to them.")
    return (end if more else None), end


def _nodes(connection: dict[str, Any], what: str) -> list[Any]:
    return list_at(connection, "nodes", of=f"Shopify's page of {what}")
