"""Asks for the first pages of a walk's next lists while the list before them ends.

A list's first page states its length, so no other page can be asked for beside it. A walk over
several lists would wait for each of these pages alone: a whole answer's time for each status, and
for the variations.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from pydantic import JsonValue

from connector_pipeline.platforms.kit.rest.pace import counted_as_alone
from connector_pipeline.platforms.woocommerce.reading.endpoints import (
    VARIATIONS_OF_PRODUCT,
    Endpoints,
)
from connector_pipeline.platforms.woocommerce.reading.list_page import ListPage
from connector_pipeline.platforms.woocommerce.reading.lists import ListReader
from connector_pipeline.platforms.woocommerce.reading.shop_lists import products, variations

ResultT = TypeVar("ResultT")

Variations = tuple[str | None, list[ListPage]]
"""The endpoint that lists all of a shop's variations, if any, with its first page."""


class Openings:
    """The first pages of the lists that one walk reads, of which some are asked for early.

    Leaving the block ends what is asked. Nothing is asked for early while pages come from the
    archive: they follow each other in the order in which the walk read them.
    """

    def __init__(self, reader: ListReader, endpoints: Endpoints):
        self._reader = reader
        self._endpoints = endpoints
        self._products: Final[dict[str, asyncio.Task[list[ListPage]]]] = {}
        self._variations: asyncio.Task[Variations] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        tasks: list[asyncio.Task[Any]] = [*self._products.values()]
        if self._variations is not None:
            tasks.append(self._variations)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def is_time(self, page: ListPage) -> bool:
        """Whether the list ends soon enough after this page for the next lists to be asked for.

        Not after the first of several pages: the others are not asked for yet, and by their answers
        the pace learns how many requests the shop can answer at once.
        """
        left = page.end - page.stop
        return left <= 0 or (page.number > 1 and left <= 2 * self._reader.ahead * page.per_page)

    def ask(self, statuses: Iterable[str], *, with_variations: bool) -> None:
        """Ask for the products of these statuses, and for variations, unless that was done."""
        if not self._reader.archived.exhausted:
            return
        for status in statuses:
            if status not in self._products:
                self._products[status] = _begun(lambda at=status: self._first_products(at))
        if with_variations and self._variations is None and not self._endpoints.whole_list_fails:
            self._variations = _begun(self._first_variations)

    async def products(self, status: str) -> list[ListPage]:
        """The first page of a status, or its parts; nothing if it was not asked for early."""
        task = self._products.get(status)
        return [] if task is None else await task

    async def variations(self) -> Variations:
        """The best shop-wide endpoint with its first page. Raises as `shop_wide_variations`."""
        task = self._variations
        return await (self._first_variations() if task is None else task)

    async def _first_products(self, status: str) -> list[ListPage]:
        return await self._reader.first(products(status))

    async def _first_variations(self) -> Variations:
        return await shop_wide_variations(self._reader, self._endpoints)


def _begun(ask: Callable[[], Awaitable[ResultT]]) -> asyncio.Task[ResultT]:
    async def asked() -> ResultT:
        with counted_as_alone():
            return await ask()

    return asyncio.create_task(asked())


async def shop_wide_variations(
    reader: ListReader,
    endpoints: Endpoints,
    params: dict[str, str] | None = None,
    question: dict[str, JsonValue] | None = None,
) -> tuple[str | None, list[ListPage]]:
    """The best shop-wide endpoint of the shop, with its first page; None if there is none.

    The endpoint that was found is kept in `endpoints`. Raises ListFails where the shop has one and
    cannot answer it.
    """
    for endpoint in endpoints.to_ask():
        first = await reader.first(variations(endpoint, params, question))
        if first:
            endpoints.variations = endpoint
            return endpoint, first
    endpoints.variations = VARIATIONS_OF_PRODUCT
    return None, []
