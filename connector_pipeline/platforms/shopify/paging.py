"""The walk through a shop's catalog: products page by page, and each product's variants whole.

A page is yielded before it is looked into, so that one that breaks the contract is in the archive
for inspection when the walk fails because of it.
"""

import re
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final, Protocol, cast

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.http import Answer
from connector_pipeline.platforms.platform import FetchReport, RawPage
from connector_pipeline.platforms.shopify.client import TooExpensiveError
from connector_pipeline.platforms.shopify.gid import numeric_id
from connector_pipeline.platforms.shopify.queries import (
    PRODUCTS,
    SHOP,
    VARIANTS,
    VARIANTS_PER_PAGE,
    VARIANTS_PER_PRODUCT,
)

_CURRENCY: Final = re.compile(r"[A-Z]{3}")


class Client(Protocol):
    """Who asks the shop."""

    async def ask(self, document: str, variables: Mapping[str, str | int | None]) -> Answer:
        """The answer with data. Raises TooExpensiveError if the page must be smaller."""
        ...


class CatalogWalk:
    """One walk. Fills in the report's currency, completeness, warnings and details as it goes.

    Pages: `shop` (first, and once more at the end if the count of products disagrees), `products`
    (facts: `after`, the cursor it was asked with), each followed by the `variants` pages (facts:
    `product_id`, `after`) of those of its products that have more variants than fit on it.
    """

    def __init__(self, client: Client, *, batch_size: int, report: FetchReport):
        self._client = client
        self._report = report
        # Sizes that turned out too expensive stay smaller for the rest of the walk.
        self._products_sizes = {"first": batch_size, "variants": VARIANTS_PER_PRODUCT}
        self._variants_sizes = {"variants": VARIANTS_PER_PAGE}
        self._pages = 0
        self._products = 0
        self._variants = 0
        self._last_id = 0
        self._ids_ascend = True
        self._empty_page_of: str | None = None

    async def pages(self) -> AsyncGenerator[RawPage, None]:
        """Yield every page. Raises InvalidResponse, and what the client raises."""
        answer = await self._ask(SHOP, {}, {})
        yield self._page("shop", answer, {})
        shop = _object(_data(answer), "shop")
        self._report.currency = _currency(shop)
        count = _Count(_data(answer).get("productsCount"))

        chain = _Chain("products")
        while chain.more:
            after = chain.cursor
            answer = await self._ask(PRODUCTS, self._products_sizes, {"after": after})
            yield self._page("products", answer, {"after": after})
            connection = _object(_data(answer), "products")
            self._note_if_empty(connection, "products")
            for product in _nodes(connection, "products"):
                product_id, variants = self._count_product(product)
                product_chain = _Chain(f"variants of product {product_id}")
                product_chain.follow(variants)
                while product_chain.more:
                    after = product_chain.cursor
                    answer = await self._ask(
                        VARIANTS, self._variants_sizes, {"id": product["id"], "after": after}
                    )
                    yield self._page("variants", answer, {"product_id": product_id, "after": after})
                    if _data(answer).get("product", False) is None:
                        # Deleted since its products page was read: there is no rest to read.
                        self._report.warnings.append(
                            f"Product {product_id} was deleted while it was being read."
                        )
                        break
                    variants = _object(_object(_data(answer), "product"), "variants")
                    self._note_if_empty(variants, f"variants of product {product_id}")
                    self._variants += len(_nodes(variants, "variants"))
                    product_chain.follow(variants)
            chain.follow(connection)

        if not count.agrees(self._products):
            # The merchant may have added or deleted products meanwhile: ask once more.
            answer = await self._ask(SHOP, {}, {})
            yield self._page("shop", answer, {})
            count = _Count(_data(answer).get("productsCount"))
        self._tell_details()
        self._report.complete = self._vouched_for(count)

    async def _ask(
        self, document: str, sizes: dict[str, int], variables: Mapping[str, str | int | None]
    ) -> Answer:
        while True:
            try:
                return await self._client.ask(document, {**sizes, **variables})
            except TooExpensiveError as error:
                name = next((name for name, size in sizes.items() if size > 1), None)
                if name is None:
                    raise InvalidResponse(
                        "Shopify finds even the smallest page too expensive."
                    ) from error
                sizes[name] //= 2

    def _page(self, kind: str, answer: Answer, facts: dict[str, Any]) -> RawPage:
        self._pages += 1
        self._tell_details()
        return RawPage(kind, answer.body, facts)

    def _tell_details(self) -> None:
        self._report.details.update(
            pages=self._pages, products=self._products, variants=self._variants
        )

    def _count_product(self, product: Any) -> tuple[str, dict[str, Any]]:
        """Count a product of a products page; its numeric id and its connection of variants."""
        variants = _object(product, "variants")
        number = numeric_id(product.get("id"), "Product")
        if number is None:
            raise InvalidResponse("A product of Shopify's has no id of the form it promises.")
        # Ids that ascend are distinct, without memory of them all.
        self._ids_ascend = self._ids_ascend and int(number) > self._last_id
        self._last_id = int(number)
        self._products += 1
        self._note_if_empty(variants, f"variants of product {number}")
        self._variants += len(_nodes(variants, "variants"))
        return number, variants

    def _note_if_empty(self, connection: dict[str, Any], what: str) -> None:
        page_info = _object(connection, "pageInfo")
        if not _nodes(connection, what) and page_info.get("hasNextPage") is True:
            self._empty_page_of = what

    def _vouched_for(self, count: "_Count") -> bool:
        if self._empty_page_of is not None:
            # Whatever the count says: a broken page with status 200 looks just like this.
            self._report.warnings.append(
                f"Shopify sent an empty page of {self._empty_page_of} that was not the last."
            )
            return False
        if not self._ids_ascend:
            self._report.warnings.append(
                "Shopify sent products out of the order of their ids: some may be missing."
            )
            return False
        if not count.agrees(self._products):
            self._report.warnings.append(
                f"Shopify counts {count.products} products, but {self._products} were read."
            )
            return False
        return True


class _Chain:
    """The pages of one connection, which must end: no cursor comes twice."""

    def __init__(self, what: str):
        self._what = what
        self._seen: set[str] = set()
        self.cursor: str | None = None
        self.more = True

    def follow(self, connection: dict[str, Any]) -> None:
        """Go on as `pageInfo` says. Raises InvalidResponse if it leads nowhere, or back."""
        page_info = _object(connection, "pageInfo")
        more, cursor = page_info.get("hasNextPage"), page_info.get("endCursor")
        if not isinstance(more, bool):
            raise InvalidResponse(f"Shopify does not say whether there are more {self._what}.")
        self.more = more
        if not more:
            return
        if not isinstance(cursor, str) or not cursor:
            raise InvalidResponse(
                f"Shopify says there are more {self._what}, but gives no cursor to them."
            )
        if cursor in self._seen:
            raise InvalidResponse(f"Shopify's cursor through the {self._what} does not move on.")
        self._seen.add(cursor)
        self.cursor = cursor


class _Count:
    """`productsCount`: `precision` AT_LEAST makes it a lower bound; null vouches for nothing."""

    def __init__(self, stated: object):
        count = cast("dict[str, Any]", stated) if isinstance(stated, dict) else {}
        self.products: object = count.get("count")
        self._exact = count.get("precision") == "EXACT"

    def agrees(self, products: int) -> bool:
        """Whether that many products read is what Shopify says there are."""
        if not isinstance(self.products, int):
            return self.products is None
        return products == self.products if self._exact else products >= self.products


def _data(answer: Answer) -> dict[str, Any]:
    return _object(answer.json, "data")


def _object(parent: object, name: str) -> dict[str, Any]:
    value = cast("dict[str, Any]", parent).get(name) if isinstance(parent, dict) else None
    if not isinstance(value, dict):
        raise InvalidResponse(f"Shopify's answer has no object {name!r}.")
    return cast("dict[str, Any]", value)


def _nodes(connection: dict[str, Any], what: str) -> list[Any]:
    nodes = connection.get("nodes")
    if not isinstance(nodes, list):
        raise InvalidResponse(f"Shopify's page of {what} has no list of nodes.")
    return cast("list[Any]", nodes)


def _currency(shop: dict[str, Any]) -> str:
    currency = shop.get("currencyCode")
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        raise InvalidResponse(f"Shopify's currencyCode is not an ISO 4217 code: {currency!r:.40}.")
    return currency
