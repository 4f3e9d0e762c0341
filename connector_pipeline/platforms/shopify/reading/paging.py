"""The walk through a shop's catalog: products page by page, and each product's variants whole.

A page that breaks the contract is yielded before the walk fails because of it: it is in the archive
for inspection then.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final, Generic, Protocol, TypeVar

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.kit.contract import FetchReport, RawPage
from connector_pipeline.platforms.kit.json_values import (
    is_object,
    list_at,
    object_at,
    value_at,
)
from connector_pipeline.platforms.kit.resume import ArchivedPages
from connector_pipeline.platforms.shopify.cost import largest_of_equal_cost, requested_cost
from connector_pipeline.platforms.shopify.gid import numeric_id
from connector_pipeline.platforms.shopify.queries import (
    PRODUCTS,
    VARIANTS,
    VARIANTS_PER_PAGE,
    VARIANTS_PER_PRODUCT,
    changed_since,
)
from connector_pipeline.platforms.shopify.reading.questions import (
    Client,
    Question,
    Questions,
    Reply,
    Thrift,
)
from connector_pipeline.platforms.shopify.reading.shop_page import ShopPage

_ANSWER: Final = "Shopify's answer"

PRODUCTS_AT_ONCE: Final = 4
"""Large products whose variants are asked for at once.

Their pages cost few points, so a shop of many would be read at the pace of its answers and not of
its points; a handful makes up for that, and leaves other apps their turn.
"""


class CatalogWalk:
    """One walk. Fills in the report's currency, completeness, warnings and details as it goes.

    Pages: `shop` (first, and once more at the end if the count of products disagrees), `products`
    (facts: `after`, the cursor it was asked with), each followed by the `variants` pages (facts:
    `product_id`, `after`) of those of its products that have more variants than fit on it. The next
    products page is asked for while the one before is still being archived.

    With `since`, only the products changed since then (facts: `changed`, the search), each with all
    its variants. One that is changed while it is read comes again, later and newer.
    """

    def __init__(
        self,
        client: Client,
        *,
        batch_size: int,
        report: FetchReport,
        since: datetime | None = None,
        archived: ArchivedPages,
    ):
        self._archived = archived
        self._questions = Questions(client, batch_size=batch_size, archived=archived)
        self._report = report
        self._changed = None if since is None else changed_since(since)
        self._pages = 0
        self._products = 0
        self._variants = 0
        self._most_variants = 1
        self._batch_size = batch_size
        self._last_id = 0
        self._ids_ascend = True
        self._empty_page_of: str | None = None

    async def pages(self) -> AsyncGenerator[RawPage, None]:
        """Yield every page. Raises InvalidResponse, and what the client raises."""
        async with self._questions:
            reply = await self._questions.answer(Question("shop"), ShopPage.of)
            yield self._page(reply)
            shop = ShopPage.of(reply.data)
            self._report.currency = shop.currency

            chain = _Chain("products", _ProductsPage.of)
            while chain.more:
                question = self._products_after(chain.cursor)
                reply = await self._questions.answer(question, chain.read)
                try:
                    products = chain.read(reply.data)
                except InvalidResponse:
                    yield self._page(reply)
                    raise
                chain.follow(products)
                self._count(products)
                if chain.more:
                    following = self._products_after(chain.cursor)
                    self._questions.ahead(following, self._thrift(shop))
                yield self._page(reply)
                async with aclosing(self._rest_of(products)) as rest:
                    async for page in rest:
                        yield page

            if self._changed is None and not shop.counts(self._products):
                # The merchant may have added or deleted products meanwhile: ask once more.
                reply = await self._questions.answer(Question("shop"), ShopPage.of)
                yield self._page(reply)
                shop = ShopPage.of(reply.data)
        self._report.complete = self._vouched_for(shop)

    def _products_after(self, cursor: str | None) -> Question:
        return Question("products", after=cursor, changed=self._changed)

    def _thrift(self, shop: ShopPage) -> Thrift | None:
        """How small a page may be that by the count is one of the last two.

        A page has to wait for what it requests, and what it does not use comes back: to the pages
        after it, of which the last ones have too few. A shop of 900 products is read from a bucket
        of 400 points in less than half the time.
        """
        left = shop.products - self._products if isinstance(shop.products, int) else 0
        if self._changed is not None or not shop.exact or not 0 < left <= 2 * self._batch_size:
            return None
        sizes = {"first": left, "variants": largest_of_equal_cost(self._most_variants)}
        return Thrift(sizes, _cheaper_than_a_page)

    async def _rest_of(self, products: "_ProductsPage") -> AsyncGenerator[RawPage, None]:
        """The variants pages of those products of a page that have more than fit on it."""
        chains = [
            (
                product.number,
                _Chain(
                    f"variants of product {product.number}",
                    partial(_variants_page, number=product.number),
                    product.following,
                ),
            )
            for product in products.products
            if product.following is not None
        ]
        for place, (number, chain) in enumerate(chains):
            for other_number, other in chains[place : place + PRODUCTS_AT_ONCE]:
                self._questions.ahead(Question("variants", other.cursor, other_number))
            while chain.more:
                question = Question("variants", chain.cursor, number)
                reply = await self._questions.answer(question, chain.read)
                yield self._page(reply)
                variants = chain.read(reply.data)
                if variants is None:
                    # Deleted since its products page was read: there is no rest to read.
                    self._report.warnings.append(
                        f"Product {number} was deleted while it was being read."
                    )
                    break
                self._count_variants(number, variants)
                chain.follow(variants)

    def _page(self, reply: Reply) -> RawPage:
        self._pages += 1
        self._report.details.update(
            pages=self._pages, products=self._products, variants=self._variants
        )
        if self._archived.taken:
            self._report.details["pages_from_archive"] = self._archived.taken
        return reply.page

    def _count(self, page: "_ProductsPage") -> None:
        if not page.products and page.following is not None:
            self._empty_page_of = "products"
        for product in page.products:
            # Ids that ascend are distinct, without memory of them all.
            self._ids_ascend = self._ids_ascend and int(product.number) > self._last_id
            self._last_id = int(product.number)
            self._products += 1
            self._most_variants = max(self._most_variants, product.variants)
            self._count_variants(product.number, product)

    def _count_variants(self, number: str, page: "_VariantsPage") -> None:
        self._variants += page.variants
        if not page.variants and page.following is not None:
            self._empty_page_of = f"variants of product {number}"

    def _vouched_for(self, shop: ShopPage) -> bool:
        self._report.details.update(products=self._products, variants=self._variants)
        if self._empty_page_of is not None:
            # Whatever the count says: a broken page with status 200 looks just like this.
            self._report.warnings.append(
                f"Shopify sent an empty page of {self._empty_page_of} that was not the last."
            )
            return False
        if self._changed is not None:
            # Nothing counts the changes, and in their order ids do not ascend: every chain was
            # followed to its end, and a search that Shopify warns of is an error.
            return True
        if not self._ids_ascend:
            self._report.warnings.append(
                "Shopify sent products out of the order of their ids: some may be missing."
            )
            return False
        disagreement = shop.disagreement(self._products)
        if disagreement is not None:
            self._report.warnings.append(disagreement)
        return disagreement is None


@dataclass(frozen=True, slots=True)
class _VariantsPage:
    """How many variants a page has of a product, and the cursor to more of them."""

    variants: int
    following: str | None

    @classmethod
    def of(cls, product: object, number: str) -> "_VariantsPage":
        connection = object_at(product, "variants", of=_ANSWER)
        what = f"variants of product {number}"
        return cls(len(_nodes(connection, what)), _following(connection, what))


@dataclass(frozen=True, slots=True)
class _ProductOnPage(_VariantsPage):
    """A product with the variants that came along."""

    number: str


@dataclass(frozen=True, slots=True)
class _ProductsPage:
    products: tuple[_ProductOnPage, ...]
    following: str | None

    @classmethod
    def of(cls, data: object) -> "_ProductsPage":
        connection = object_at(data, "products", of=_ANSWER)
        products = tuple(_product(node) for node in _nodes(connection, "products"))
        return cls(products, _following(connection, "products"))


def _cheaper_than_a_page(data: object) -> bool:
    """Whether the rest of a page's products costs less than the page at its usual size would."""
    try:
        page = _ProductsPage.of(data)
    except InvalidResponse:
        return True
    cut = sum(product.following is not None for product in page.products)
    rest = cut * requested_cost(VARIANTS, {"variants": VARIANTS_PER_PAGE})
    usual = {"first": len(page.products), "variants": VARIANTS_PER_PRODUCT}
    return rest <= requested_cost(PRODUCTS, usual)


def _product(node: object) -> _ProductOnPage:
    number = numeric_id(value_at(node, "id"), "Product")
    if number is None:
        raise InvalidResponse("A product of Shopify's has no id of the form it promises.")
    variants = _VariantsPage.of(node, number)
    return _ProductOnPage(variants.variants, variants.following, number)


def _variants_page(data: object, number: str) -> _VariantsPage | None:
    """None if the product is there no more."""
    if is_object(data) and data.get("product", False) is None:
        return None
    return _VariantsPage.of(object_at(data, "product", of=_ANSWER), number)


class _Leading(Protocol):
    """A page that leads to the next of its chain, or is the last."""

    @property
    def following(self) -> str | None: ...


PageT = TypeVar("PageT", bound=_Leading | None)


class _Chain(Generic[PageT]):
    """The pages of one connection, which must end: no cursor comes twice."""

    def __init__(self, what: str, page_of: Callable[[object], PageT], cursor: str | None = None):
        self._what = what
        self._page_of = page_of
        self._seen: set[str] = set() if cursor is None else {cursor}
        self.cursor = cursor
        self.more = True

    def read(self, data: object) -> PageT:
        """The page that `data` is. Raises InvalidResponse if it leads nowhere, or back."""
        page = self._page_of(data)
        if page is not None and page.following in self._seen:
            raise InvalidResponse(f"Shopify's cursor through the {self._what} does not move on.")
        return page

    def follow(self, page: _Leading) -> None:
        """Go on where a page leads that was read."""
        self.cursor = page.following
        self.more = page.following is not None
        if page.following is not None:
            self._seen.add(page.following)


def _following(connection: dict[str, Any], what: str) -> str | None:
    page_info = object_at(connection, "pageInfo", of=_ANSWER)
    more, cursor = page_info.get("hasNextPage"), page_info.get("endCursor")
    if not isinstance(more, bool):
        raise InvalidResponse(f"Shopify does not say whether there are more {what}.")
    if not more:
        return None
    if not isinstance(cursor, str) or not cursor:
        raise InvalidResponse(f"Shopify says there are more {what}, but gives no cursor to them.")
    return cursor


def _nodes(connection: dict[str, Any], what: str) -> list[Any]:
    return list_at(connection, "nodes", of=f"Shopify's page of {what}")
