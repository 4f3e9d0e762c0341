"""The walk over a shop's whole catalog: all pages of products, then all pages of variations."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Final

from pydantic import JsonValue

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.http.bounds import MEGABYTE
from connector_pipeline.platforms.kit.compact_ids import CompactIds
from connector_pipeline.platforms.kit.contract import FetchReport, RawPage
from connector_pipeline.platforms.kit.rest.in_order import in_order
from connector_pipeline.platforms.woocommerce.mapping.normalize import (
    GIVEN_BEFORE,
    PRODUCTS,
    VARIATIONS,
    id_of_parent,
)
from connector_pipeline.platforms.woocommerce.reading.broken import BrokenObject, ListFails
from connector_pipeline.platforms.woocommerce.reading.completeness import Completion, Verdict
from connector_pipeline.platforms.woocommerce.reading.deletions import first_look
from connector_pipeline.platforms.woocommerce.reading.endpoints import (
    VARIATIONS_OF_PRODUCT,
    Endpoints,
)
from connector_pipeline.platforms.woocommerce.reading.families import Families
from connector_pipeline.platforms.woocommerce.reading.list_count import ListCount
from connector_pipeline.platforms.woocommerce.reading.list_page import ListPage
from connector_pipeline.platforms.woocommerce.reading.lists import ListReader
from connector_pipeline.platforms.woocommerce.reading.openings import Openings
from connector_pipeline.platforms.woocommerce.reading.shop_lists import (
    products,
    variations,
    variations_of,
)

BEGAN: Final = "began"
"""The fact of the first page that says when the reading began; of an attempt that resumes, too."""


MOST_OF_ONE_PRODUCT: Final = 8 * MEGABYTE
"""The most bytes of one product's variations: 5,000 variations take half of it."""


class CatalogWalk:
    """One reading of a shop's whole catalog. `broken` has the objects whose pages fail, as found.

    Where the lists do not add up, the walk reads by other ways what they lack; see `Completion`.
    """

    def __init__(
        self,
        reader: ListReader,
        *,
        statuses: Iterable[str],
        endpoints: Endpoints,
        report: FetchReport,
        broken: Sequence[BrokenObject] = (),
    ):
        self._reader = reader
        self._statuses = tuple(statuses)
        self._endpoints = endpoints
        self._openings = Openings(reader, endpoints)
        self._report = report
        self._families = Families()
        self._verdict = Verdict()
        self._completion = Completion(reader, report=report, verdict=self._verdict, broken=broken)
        self._began = datetime.now(UTC)
        self._is_begun = False
        self._products_read = 0
        self._totals: dict[str, int] = {}
        self._all_variations = 0
        self._listed_at: str | None = None
        self._read = CompactIds()
        self._variations_left_out = 0

    async def pages(self) -> AsyncGenerator[RawPage]:
        """Yield every page of products, then of variations if any product has them.

        At the end `report.complete` says whether everything that the shop counts was read or its
        lack is explained, and `report.all_read` the same of a shop that was edited meanwhile.
        """
        # One list a status: only WooCommerce 9.6 and later know several statuses in one request
        # (docs/facts/woocommerce.md, Lists: statuses).
        async with self._openings:
            for place, status in enumerate(self._statuses, start=1):
                read = self._products(status, following=self._statuses[place:])
                async with aclosing(read) as pages:
                    async for page in pages:
                        yield page
            if self._families:
                async with aclosing(self._variations()) as pages:
                    async for page in pages:
                        yield page
        self._verdict.put_into(self._report)
        first_look(
            self._report,
            products=self._totals,
            endpoint=self._listed_at,
            variations=self._all_variations,
            highest=self._read.highest,
        )
        self._report.details |= {
            "products": self._products_read,
            "variations": len(self._read),
            "variations_left_out": self._variations_left_out,
        }

    async def _products(self, status: str, *, following: Sequence[str]) -> AsyncGenerator[RawPage]:
        count = ListCount()
        first = await self._openings.products(status)
        async with aclosing(self._reader.pages(products(status), first)) as pages:
            async for page in pages:
                began = self._facts_of_beginning(page)
                count.add(page, began=self._began)
                for product in page.objects:
                    self._families.add(product)
                if self._openings.is_time(page):
                    self._openings.ask(following, with_variations=bool(self._families))
                yield RawPage(PRODUCTS, page.body, page.facts | began)
        lacking = self._completion.products(status, count, self._families)
        async with aclosing(lacking) as raw_pages:
            async for raw in raw_pages:
                yield raw
        self._products_read += len(count.ids)
        self._totals[status] = count.total

    def _facts_of_beginning(self, page: ListPage) -> dict[str, JsonValue]:
        """The fact of the first page that says when the reading began, for one that resumes."""
        if self._is_begun:
            return {}
        self._is_begun = True
        if isinstance(stated := page.facts.get(BEGAN), str):
            self._began = datetime.fromisoformat(stated)
        return {BEGAN: self._began.isoformat()}

    async def _variations(self) -> AsyncGenerator[RawPage]:
        try:
            endpoint, first = await self._shop_wide()
            self._report.details["variations_endpoint"] = endpoint or VARIATIONS_OF_PRODUCT
            if endpoint is not None:
                async with aclosing(self._variations_of_shop(endpoint, first)) as pages:
                    async for page in pages:
                        yield page
                self._endpoints.whole_list_was_read()
                return
        except ListFails as fails:
            self._endpoints.whole_list_failed()
            self._report.details["variations_endpoint"] = VARIATIONS_OF_PRODUCT
            self._report.details["variations_read_by_product"] = fails.error.message
        async with aclosing(self._variations_by_parent()) as pages:
            async for page in pages:
                yield page

    async def _shop_wide(self) -> tuple[str | None, list[ListPage]]:
        """The endpoint that lists all of a shop's variations, if any, with its first page."""
        archived = await self._reader.archived.peek()
        if archived is not None and archived.kind == VARIATIONS:
            # An interrupted attempt found the endpoint.
            endpoint = str(archived.facts.get("endpoint"))
            return None if endpoint == VARIATIONS_OF_PRODUCT else endpoint, []
        if self._endpoints.whole_list_fails:
            return None, []
        return await self._openings.variations()

    async def _variations_of_shop(
        self, endpoint: str, first: list[ListPage]
    ) -> AsyncGenerator[RawPage]:
        total = 0
        async with aclosing(self._reader.pages(variations(endpoint), first)) as pages:
            async for page in pages:
                total = page.total
                self._count_variations(page)
                yield RawPage(VARIATIONS, page.body, page.facts)
        self._all_variations, self._listed_at = total, endpoint
        lacking = self._completion.variations(endpoint, self._families, self._read, total)
        async with aclosing(lacking) as raw_pages:
            async for raw in raw_pages:
                yield raw

    async def _variations_by_parent(self) -> AsyncGenerator[RawPage]:
        """Yield the pages of the products' lists, of which a list of all may have given some."""
        given = CompactIds(self._read)
        async with aclosing(by_parent(self._reader, self._families.parents)) as parents:
            async for _, pages in parents:
                for page in pages:
                    before: list[JsonValue] = [each for each in page.ids if each in given]
                    facts: dict[str, JsonValue] = {GIVEN_BEFORE: before} if before else {}
                    self._count_variations(page)
                    yield RawPage(VARIATIONS, page.body, page.facts | facts)
        lacking = self._completion.variations(None, self._families, self._read, None)
        async with aclosing(lacking) as raw_pages:
            async for raw in raw_pages:
                yield raw

    def _count_variations(self, page: ListPage) -> None:
        for variation, own_id in zip(page.objects, page.ids, strict=True):
            if own_id is not None:
                self._read.add(own_id)
            parent_id = id_of_parent(variation)
            if parent_id is not None and parent_id not in self._families:
                self._variations_left_out += 1


async def by_parent(
    reader: ListReader, parents: list[int]
) -> AsyncGenerator[tuple[int, list[ListPage]]]:
    """Yield these products with the whole lists of their variations, in the products' order.

    Raises InvalidResponse for a list of more than MOST_OF_ONE_PRODUCT.
    """

    async def all_of(parent_id: int) -> tuple[int, list[ListPage]]:
        wanted, pages, size = variations_of(parent_id), list[ListPage](), 0
        async with aclosing(reader.pages(wanted)) as read:
            async for page in read:
                # Several products' lists wait for the one before them.
                pages.append(page.closed())
                size += len(page.body)
                if size > MOST_OF_ONE_PRODUCT:
                    raise InvalidResponse(
                        f"{wanted.path} lists more than {MOST_OF_ONE_PRODUCT} bytes of variations."
                    )
        return parent_id, pages

    def opened(found: tuple[int, list[ListPage]]) -> tuple[int, list[ListPage]]:
        return found[0], [page.opened() for page in found[1]]

    remaining = iter(parents)
    # Archived pages come in a fixed order, so products are read one at a time here.
    while await reader.archived.peek() is not None:
        parent_id = next(remaining, None)
        if parent_id is None:
            return
        yield opened(await all_of(parent_id))
    # One product alone shows whether the shop answers at all: it may just have failed with a list.
    for parent_id in islice(remaining, 1):
        yield opened(await all_of(parent_id))
    readings = (partial(all_of, parent_id) for parent_id in remaining)
    async with aclosing(in_order(readings, reader.ahead)) as results:
        async for result in results:
            yield opened(result)
