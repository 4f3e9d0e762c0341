"""The walk over a shop's whole catalog: all pages of products, then all pages of variations."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from functools import partial
from typing import Final

from pydantic import JsonValue

from connector_pipeline.platforms.kit.contract import FetchReport, RawPage
from connector_pipeline.platforms.kit.rest.in_order import in_order
from connector_pipeline.platforms.kit.rest.tally import Tally
from connector_pipeline.platforms.woocommerce.mapping.normalize import (
    LATER_VARIATION_FIELDS,
    PRODUCT_FIELDS,
    PRODUCTS,
    SELLING_FIELDS,
    VARIATION_FIELDS,
    VARIATIONS,
    has_variations,
    object_id,
)
from connector_pipeline.platforms.woocommerce.reading.endpoints import (
    PRODUCTS_ENDPOINT,
    VARIATIONS_OF_PRODUCT,
    Endpoints,
)
from connector_pipeline.platforms.woocommerce.reading.list_page import ListPage
from connector_pipeline.platforms.woocommerce.reading.lists import ListOf, ListReader

_PRODUCT_FIELDS: Final = ",".join((*PRODUCT_FIELDS, *SELLING_FIELDS))
_VARIATION_FIELDS: Final = ",".join((*VARIATION_FIELDS, *SELLING_FIELDS, *LATER_VARIATION_FIELDS))


class CatalogWalk:
    """One reading of a shop's whole catalog."""

    def __init__(
        self,
        reader: ListReader,
        *,
        statuses: Iterable[str],
        endpoints: Endpoints,
        report: FetchReport,
    ):
        self._reader = reader
        self._statuses = tuple(statuses)
        self._endpoints = endpoints
        self._report = report
        self._parents: set[int] = set()
        self._disagreements: list[str] = []
        self._products_read = 0
        self._variations_read = 0
        self._variations_left_out = 0

    async def pages(self) -> AsyncGenerator[RawPage]:
        """Yield every page of products, then of variations if any product has them.

        At the end `report.complete` says whether the totals and ids of every list agree. Each list
        whose totals and ids disagree has a line in `report.warnings`.
        """
        # One list a status: only WooCommerce 9.6 and later know several statuses in one request
        # (docs/facts/woocommerce.md, Lists: statuses).
        for status in self._statuses:
            async with aclosing(self._products(status)) as pages:
                async for page in pages:
                    yield page
        if self._parents:
            async with aclosing(self._variations()) as pages:
                async for page in pages:
                    yield page
        self._report.warnings += self._disagreements
        self._report.complete = not self._disagreements
        self._report.details |= {
            "products": self._products_read,
            "variations": self._variations_read,
            "variations_left_out": self._variations_left_out,
        }

    async def _products(self, status: str) -> AsyncGenerator[RawPage]:
        tally = Tally()
        async with aclosing(self._reader.pages(products(status))) as pages:
            async for page in pages:
                tally.add(page)
                self._parents |= {
                    product_id
                    for product in page.objects
                    if (product_id := object_id(product)) is not None and has_variations(product)
                }
                yield RawPage(PRODUCTS, page.body, page.facts)
        self._products_read += tally.distinct
        self._compare(f"Products of status {status}", tally)

    async def _variations(self) -> AsyncGenerator[RawPage]:
        endpoint, first = await self._shop_wide()
        self._report.details["variations_endpoint"] = endpoint or VARIATIONS_OF_PRODUCT
        pages = (
            self._variations_by_parent()
            if endpoint is None
            else self._variations_of_shop(endpoint, first)
        )
        async with aclosing(pages):
            async for page in pages:
                yield page

    async def _shop_wide(self) -> tuple[str | None, list[ListPage]]:
        """The endpoint that lists all of a shop's variations, if any, with its first page."""
        archived = await self._reader.archived.peek()
        if archived is not None and archived.kind == VARIATIONS:
            # An interrupted attempt found the endpoint.
            endpoint = str(archived.facts.get("endpoint"))
            return None if endpoint == VARIATIONS_OF_PRODUCT else endpoint, []
        return await shop_wide_variations(self._reader, self._endpoints)

    async def _variations_of_shop(
        self, endpoint: str, first: list[ListPage]
    ) -> AsyncGenerator[RawPage]:
        tally = Tally()
        async with aclosing(self._reader.pages(variations(endpoint), first)) as pages:
            async for page in pages:
                tally.add(page)
                for variation in page.objects:
                    parent_id = variation.get("parent_id")
                    if isinstance(parent_id, int) and parent_id not in self._parents:
                        self._variations_left_out += 1
                yield RawPage(VARIATIONS, page.body, page.facts)
        self._variations_read += tally.distinct
        self._compare("Variations", tally)

    async def _variations_by_parent(self) -> AsyncGenerator[RawPage]:
        async with aclosing(by_parent(self._reader, sorted(self._parents))) as parents:
            async for parent_id, pages in parents:
                tally = Tally()
                for page in pages:
                    tally.add(page)
                    yield RawPage(VARIATIONS, page.body, page.facts)
                self._variations_read += tally.distinct
                self._compare(f"Variations of product {parent_id}", tally)

    def _compare(self, what: str, tally: Tally) -> None:
        disagreement = tally.disagreement()
        if disagreement is not None:
            self._disagreements.append(f"{what}: {disagreement}.")


def products(
    status: str, params: dict[str, str] | None = None, question: dict[str, JsonValue] | None = None
) -> ListOf:
    """The list of a shop's products of one status. `params` narrow it; `question` states them."""
    return ListOf(
        PRODUCTS,
        PRODUCTS_ENDPOINT,
        PRODUCTS_ENDPOINT,
        {"status": status, "_fields": _PRODUCT_FIELDS, **(params or {})},
        {"status": status, **(question or {})},
    )


def variations(
    endpoint: str,
    params: dict[str, str] | None = None,
    question: dict[str, JsonValue] | None = None,
) -> ListOf:
    """The list of variations at a shop-wide endpoint."""
    return ListOf(
        VARIATIONS,
        endpoint,
        endpoint,
        {"_fields": _VARIATION_FIELDS, **(params or {})},
        question or {},
    )


def variations_of(parent_id: int) -> ListOf:
    """The list of one product's variations."""
    return ListOf(
        VARIATIONS,
        VARIATIONS_OF_PRODUCT,
        VARIATIONS_OF_PRODUCT.format(id=parent_id),
        {"_fields": _VARIATION_FIELDS},
        # Before WooCommerce 8.3, a variation does not name its parent.
        {"parent_id": parent_id},
    )


async def shop_wide_variations(
    reader: ListReader,
    endpoints: Endpoints,
    params: dict[str, str] | None = None,
    question: dict[str, JsonValue] | None = None,
) -> tuple[str | None, list[ListPage]]:
    """The best shop-wide endpoint of the shop, with its first page; None if there is none.

    The endpoint that was found is kept in `endpoints`.
    """
    for endpoint in endpoints.to_ask():
        first = await reader.first(variations(endpoint, params, question))
        if first:
            endpoints.variations = endpoint
            return endpoint, first
    endpoints.variations = VARIATIONS_OF_PRODUCT
    return None, []


async def by_parent(
    reader: ListReader, parents: list[int]
) -> AsyncGenerator[tuple[int, list[ListPage]]]:
    """Yield these products with the whole lists of their variations, in the products' order."""

    async def all_of(parent_id: int) -> tuple[int, list[ListPage]]:
        async with aclosing(reader.pages(variations_of(parent_id))) as pages:
            return parent_id, [page async for page in pages]

    remaining = iter(parents)
    # Archived pages come in a fixed order, so products are read one at a time here.
    while await reader.archived.peek() is not None:
        parent_id = next(remaining, None)
        if parent_id is None:
            return
        yield await all_of(parent_id)
    readings = (partial(all_of, parent_id) for parent_id in remaining)
    async with aclosing(in_order(readings, reader.ahead)) as results:
        async for result in results:
            yield result
