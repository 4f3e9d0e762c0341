"""The walk over a shop's catalog: products page by page, and all variants of each product.

A page of a wrong form is yielded before the walk raises its error. So it is in the raw archive,
where somebody can inspect it.
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
"""How many large products' variants are asked for at once.

Their pages cost few points. One at a time, the shop's answers would limit a shop of many large
products, and not its points. A handful at once avoids that, and leaves points to other apps.
"""


class CatalogWalk:
    """One walk. It fills in the report's currency, completeness, warnings and details.

    It yields a page `shop` first, and once more at the end if the count of products disagrees. It
    yields pages `products` (facts: `after`, the cursor they were asked for with), and after each
    the pages `variants` (facts: `product_id`, `after`) of its products with more variants than fit
    on it. It asks for the next products page while the one before is being archived.

    With `since`, it reads only the products that changed since then (facts: `changed`, the search),
    each with all its variants. A product that changes during the reading comes again.
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
        self._questions = Questions(client, batch_size=batch_size, report=report, archived=archived)
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
        self._report.complete = self._is_complete(shop)

    def _products_after(self, cursor: str | None) -> Question:
        return Question("products", after=cursor, changed=self._changed)

    def _thrift(self, shop: ShopPage) -> Thrift | None:
        """The smaller sizes for a page that is one of the last two by the shop's count.

        A page waits until the bucket holds the points that it requests. The points that it does
        not use come back, but only later pages profit from them, and there are few or none left. A
        shop of 900 products is read from a bucket of 400 points in less than half the time.
        """
        left = shop.products - self._products if isinstance(shop.products, int) else 0
        if self._changed is not None or not shop.exact or not 0 < left <= 2 * self._batch_size:
            return None
        sizes = {"first": left, "variants": largest_of_equal_cost(self._most_variants)}
        return Thrift(sizes, _cheaper_than_a_page)

    async def _rest_of(self, products: "_ProductsPage") -> AsyncGenerator[RawPage, None]:
        """Yield the variants pages of products that have more variants than fit on the page."""
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
        for position, (number, chain) in enumerate(chains):
            for other_number, other in chains[position : position + PRODUCTS_AT_ONCE]:
                self._questions.ahead(Question("variants", other.cursor, other_number))
            while chain.more:
                question = Question("variants", chain.cursor, number)
                reply = await self._questions.answer(question, chain.read)
                yield self._page(reply)
                variants = chain.read(reply.data)
                if variants is None:
                    # The product was deleted after its products page was read. No rest can be read.
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
            # Ids that ascend are distinct, without a set of them all.
            self._ids_ascend = self._ids_ascend and int(product.number) > self._last_id
            self._last_id = int(product.number)
            self._products += 1
            self._most_variants = max(self._most_variants, product.variants)
            self._count_variants(product.number, product)

    def _count_variants(self, number: str, page: "_VariantsPage") -> None:
        self._variants += page.variants
        if not page.variants and page.following is not None:
            self._empty_page_of = f"variants of product {number}"

    def _is_complete(self, shop: ShopPage) -> bool:
        self._report.details.update(products=self._products, variants=self._variants)
        if self._empty_page_of is not None:
            # This holds even if the count agrees: a broken page with status 200 looks the same.
            self._report.warnings.append(
                f"Shopify sent an empty page of {self._empty_page_of} that was not the last."
            )
            return False
        if self._changed is not None:
            # Shopify does not count changes, and their ids do not ascend. Every chain was followed
            # to its end, and a search with a warning from Shopify raised an error.
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
    """The number of a product's variants on a page, and the cursor to more of them."""

    variants: int
    following: str | None

    @classmethod
    def of(cls, product: object, number: str) -> "_VariantsPage":
        connection = object_at(product, "variants", of=_ANSWER)
        what = f"variants of product {number}"
        return cls(len(_nodes(connection, what)), _following(connection, what))


@dataclass(frozen=True, slots=True)
class _ProductOnPage(_VariantsPage):
    """A product with the variants that came with it."""

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
    """Whether the missing variants of a small page cost no more than the page at its usual size."""
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
    """The variants on a page; None if the product is gone."""
    if is_object(data) and data.get("product", False) is None:
        return None
    return _VariantsPage.of(object_at(data, "product", of=_ANSWER), number)


class _Leading(Protocol):
    """A page with the cursor to the next page of its chain; None on the last page."""

    @property
    def following(self) -> str | None: ...


PageT = TypeVar("PageT", bound=_Leading | None)


class _Chain(Generic[PageT]):
    """Follows the cursors of one connection. It must end, so no cursor may come twice."""

    def __init__(self, what: str, page_of: Callable[[object], PageT], cursor: str | None = None):
        self._what = what
        self._page_of = page_of
        self._seen: set[str] = set() if cursor is None else {cursor}
        self.cursor = cursor
        self.more = True

    def read(self, data: object) -> PageT:
        """The page in `data`. Raises InvalidResponse if it leads nowhere, or back."""
        page = self._page_of(data)
        if page is not None and page.following in self._seen:
            raise InvalidResponse(f"Shopify's cursor through the {self._what} does not move on.")
        return page

    def follow(self, page: _Leading) -> None:
        """Go on with the page that follows this one."""
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
