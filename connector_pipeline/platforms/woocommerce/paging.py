"""The walk over a shop's catalog: products, then variations, page by page to the last.

Pages are ordered by id, ascending: the default order (date, newest first) repeats and skips items
while products are added (FACTS 2). A short page is not the last one (FACTS 1): the walk goes to the
page that `X-WP-TotalPages` names.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from functools import partial
from itertools import islice
from typing import Final, TypeVar

from connector_pipeline.platforms.http import Answer
from connector_pipeline.platforms.platform import FetchReport, RawPage
from connector_pipeline.platforms.woocommerce.normalize import (
    ANALYTICS_VARIATIONS,
    LATER_VARIATION_FIELDS,
    PRODUCT_FIELDS,
    PRODUCTS,
    VARIATION_FIELDS,
    VARIATIONS,
    has_variations,
    object_id,
)
from connector_pipeline.platforms.woocommerce.session import (
    WooCommerceSession,
    error_code,
    error_of,
)
from connector_pipeline.platforms.woocommerce.tally import ListPage, Tally, list_page

PRODUCTS_ENDPOINT: Final = "/wc/v3/products"
ALL_VARIATIONS: Final = "/wc/v3/variations"
VARIATIONS_OF_PRODUCT: Final = "/wc/v3/products/{id}/variations"

# A PHP shop on two cores gains little past two requests at a time (FACTS, measured).
STARTING_CONCURRENCY: Final = 2
_NOT_HERE: Final = frozenset({400, 404})

ResultT = TypeVar("ResultT")


class CatalogWalk:
    """One reading of a shop's catalog; `batch_size` is objects a page, 1 to 100."""

    def __init__(
        self,
        session: WooCommerceSession,
        *,
        batch_size: int,
        statuses: Iterable[str],
        max_concurrency: int,
        report: FetchReport,
    ):
        self._session = session
        self._batch_size = batch_size
        self._statuses = tuple(statuses)
        self._at_once = min(STARTING_CONCURRENCY, max_concurrency)
        self._report = report
        self._parents: set[int] = set()
        self._disagreements: list[str] = []
        self._products_read = 0
        self._variations_read = 0
        self._variations_left_out = 0

    async def pages(self) -> AsyncGenerator[RawPage]:
        """Yield every page of products, then of variations if any product has them.

        At the end `report.complete` says whether every list's totals and ids agree; each that does
        not has its line in `report.warnings`.
        """
        # One series a status: a list of statuses in one request is understood from WooCommerce 9.6
        # only (woocommerce issue 52773).
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
        params = {"status": status, "_fields": ",".join(PRODUCT_FIELDS)}
        tally = Tally()
        first = await self._page(PRODUCTS_ENDPOINT, params, 1)
        async with aclosing(self._from(first, PRODUCTS_ENDPOINT, params)) as pages:
            async for page in pages:
                tally.add(page)
                for product in page.objects:
                    product_id = object_id(product)
                    if product_id is not None and has_variations(product):
                        self._parents.add(product_id)
                yield _raw_page(PRODUCTS, page, endpoint=PRODUCTS_ENDPOINT, status=status)
        self._products_read += tally.distinct
        self._compare(f"Products of status {status}", tally)

    async def _variations(self) -> AsyncGenerator[RawPage]:
        params = {"_fields": ",".join((*VARIATION_FIELDS, *LATER_VARIATION_FIELDS))}
        for endpoint in (ALL_VARIATIONS, ANALYTICS_VARIATIONS):
            first = await self._first_if_served(endpoint, params)
            if first is not None:
                pages = self._variations_of_shop(first, endpoint, params)
                break
        else:
            endpoint = VARIATIONS_OF_PRODUCT
            pages = self._variations_by_parent(params)
        self._report.details["variations_endpoint"] = endpoint
        async with aclosing(pages):
            async for page in pages:
                yield page

    async def _first_if_served(self, endpoint: str, params: Mapping[str, str]) -> ListPage | None:
        """The list's first page, or None where this shop's version has no such endpoint."""
        answer = await self._get(endpoint, params, 1, accept=_NOT_HERE)
        if answer.status == 404 or error_code(answer) == "rest_no_route":
            return None
        if answer.status != 200:
            raise error_of(answer, endpoint)
        return list_page(answer, 1, endpoint)

    async def _variations_of_shop(
        self, first: ListPage, endpoint: str, params: Mapping[str, str]
    ) -> AsyncGenerator[RawPage]:
        tally = Tally()
        async with aclosing(self._from(first, endpoint, params)) as pages:
            async for page in pages:
                tally.add(page)
                for variation in page.objects:
                    parent_id = variation.get("parent_id")
                    if isinstance(parent_id, int) and parent_id not in self._parents:
                        self._variations_left_out += 1
                yield _raw_page(VARIATIONS, page, endpoint=endpoint)
        self._variations_read += tally.distinct
        self._compare("Variations", tally)

    async def _variations_by_parent(self, params: Mapping[str, str]) -> AsyncGenerator[RawPage]:
        readings = (partial(self._all_of, parent_id, params) for parent_id in sorted(self._parents))
        async with aclosing(in_order(readings, self._at_once)) as parents:
            async for parent_id, pages in parents:
                tally = Tally()
                for page in pages:
                    tally.add(page)
                    yield _raw_page(
                        VARIATIONS, page, endpoint=VARIATIONS_OF_PRODUCT, parent_id=parent_id
                    )
                self._variations_read += tally.distinct
                self._compare(f"Variations of product {parent_id}", tally)

    async def _all_of(
        self, parent_id: int, params: Mapping[str, str]
    ) -> tuple[int, list[ListPage]]:
        endpoint = VARIATIONS_OF_PRODUCT.format(id=parent_id)
        pages = [await self._page(endpoint, params, 1)]
        while pages[-1].number < pages[-1].total_pages:
            pages.append(await self._page(endpoint, params, pages[-1].number + 1))
        return parent_id, pages

    async def _from(
        self, first: ListPage, endpoint: str, params: Mapping[str, str]
    ) -> AsyncGenerator[ListPage]:
        """`first` and every page after it. The end moves while it is read, if the list grows."""
        last = first
        yield first
        while last.number < last.total_pages:
            numbers = range(last.number + 1, last.total_pages + 1)
            readings = (partial(self._page, endpoint, params, number) for number in numbers)
            async with aclosing(in_order(readings, self._at_once)) as pages:
                async for page in pages:
                    last = page
                    yield page

    async def _page(self, endpoint: str, params: Mapping[str, str], number: int) -> ListPage:
        return list_page(await self._get(endpoint, params, number), number, endpoint)

    async def _get(
        self,
        endpoint: str,
        params: Mapping[str, str],
        number: int,
        accept: frozenset[int] = frozenset(),
    ) -> Answer:
        paging = {"per_page": self._batch_size, "page": number, "orderby": "id", "order": "asc"}
        return await self._session.get(endpoint, {**params, **paging}, accept=accept)

    def _compare(self, what: str, tally: Tally) -> None:
        disagreement = tally.disagreement()
        if disagreement is not None:
            self._disagreements.append(f"{what}: {disagreement}.")


async def in_order(
    calls: Iterable[Callable[[], Awaitable[ResultT]]], at_once: int
) -> AsyncGenerator[ResultT]:
    """The calls' results in the calls' order, with at most `at_once` of them under way.

    A call that fails, or a caller who stops, cancels those under way.
    """
    remaining = iter(calls)
    under_way: deque[asyncio.Task[ResultT]] = deque()
    try:
        while True:
            for call in islice(remaining, at_once - len(under_way)):
                under_way.append(asyncio.ensure_future(_started(call)))
            if not under_way:
                return
            result = await under_way[0]
            under_way.popleft()
            yield result
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def _started(call: Callable[[], Awaitable[ResultT]]) -> ResultT:
    return await call()


def _raw_page(kind: str, page: ListPage, **facts: str | int) -> RawPage:
    counts = {"page": page.number, "total": page.total, "total_pages": page.total_pages}
    return RawPage(kind, page.body, {**counts, **facts})
