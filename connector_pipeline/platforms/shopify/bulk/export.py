"""Reads a large shop's catalog by one bulk operation, and goes back to paging where that fails.

The operation costs 10 points for a shop of any size. But it waits in Shopify's own queue, and a
small shop is read by pages before it would begin.
"""

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta
from typing import Final

from connector_pipeline.model.errors import PlatformUnavailable
from connector_pipeline.platforms.http.download import FileDownload, FileRefused
from connector_pipeline.platforms.http.retrying import HttpPolicy
from connector_pipeline.platforms.kit.contract import FetchReport, RawPage
from connector_pipeline.platforms.kit.resume import ArchivedPages
from connector_pipeline.platforms.shopify.asking import Asks
from connector_pipeline.platforms.shopify.bulk.download import (
    PAGE_BYTES,
    BulkDownload,
    ReadSoFar,
)
from connector_pipeline.platforms.shopify.bulk.operation import (
    BULK_OPERATION,
    LAST_OPERATION,
    BulkOperation,
    BulkOperations,
    BulkPatience,
    NoBulkResult,
    created_at,
    operation_of,
)
from connector_pipeline.platforms.shopify.bulk.queries import CATALOG
from connector_pipeline.platforms.shopify.queries import SHOP
from connector_pipeline.platforms.shopify.reading.counts import (
    Created,
    VariantsCount,
    created_since,
)
from connector_pipeline.platforms.shopify.reading.deletions import NOT_NAMED_SINCE, Deletions
from connector_pipeline.platforms.shopify.reading.shop_page import ShopPage

BULK_THRESHOLD: Final = 20_000
"""A full sync of more products than this is read by a bulk operation.

The number comes from `bench/shopify_bulk_threshold.py`: from the cost of PRODUCTS, the restore
rates of the plans and an assumed speed of Shopify. If a bulk operation takes 20 s to begin and then
writes 2,500 objects a second, it overtakes paging at 16,000 to 25,000 products with up to 10
variants each, and at 38,000 with 30. On the larger plans, whose points hardly limit paging, it
overtakes later than on Standard. Below that number an operation certainly loses its start, and
above it gains little by little. But it cannot be throttled, and it leaves the shop's points to
other apps. The details of a shop's syncs show its true speed.
"""

_ANOTHER_HOST: Final = "If Shopify keeps its files there now, add the host to SHOPIFY_BULK_HOSTS."

_CLOCK_MARGIN: Final = timedelta(minutes=1)
"""How much earlier than its creation an operation is taken to have looked at the shop."""

_log: Final = logging.getLogger(__name__)


class BulkExport:
    """One reading of one shop by a bulk operation, after its `shop` page.

    It fills in the report's currency, completeness, warnings and details. It yields a page
    `bulk_operation` (the operation that was started or adopted), pages `bulk` (lines of its
    result), and `shop` once more at the end if the count of products disagrees.

    A result that lacks what Shopify counts is not complete, and the next reading is by pages. What
    was created while the operation ran is no gap: Shopify is asked for the newest products, and
    the next increment brings them.
    """

    def __init__(
        self,
        client: Asks,
        partition_key: str,
        *,
        variants_count: VariantsCount,
        threshold: int,
        hosts: tuple[str, ...],
        policy: HttpPolicy,
        patience: BulkPatience,
        report: FetchReport,
        page_bytes: int = PAGE_BYTES,
    ):
        self._client = client
        self._partition_key = partition_key
        self._operations = BulkOperations(client, CATALOG, patience=patience, report=report)
        self._variants_count = variants_count
        self._threshold = threshold
        self._hosts = hosts
        self._policy = policy
        self._report = report
        self._page_bytes = page_bytes
        self._pages = 1
        self.finished = False
        """Whether the whole catalog was read; if not, it has to be read page by page."""

    def wins(self, shop: RawPage) -> bool:
        """Whether the shop has so many products that a bulk operation is faster."""
        count = ShopPage.in_page(shop).products
        return isinstance(count, int) and count > self._threshold

    async def pages(self, page: RawPage, archived: ArchivedPages) -> AsyncGenerator[RawPage]:
        """Yield the pages after the `shop` page. The first of them may be in `archived`.

        After the last page, `finished` says whether they are the whole catalog. Raises
        InvalidResponse, PlatformUnavailable, and what the client raises.
        """
        shop = ShopPage.in_page(page)
        started: RawPage | None = None
        left = await archived.peek()
        if left is not None and left.kind == BULK_OPERATION:
            await archived.answer(lambda page: page)
            following = await archived.peek()
            if following is not None and following.kind == "products":
                # The interrupted attempt went back to paging, and so does this one.
                yield self._counted(left)
                return
            if await self._operations.adoptable(left):
                self._report.details["bulk_adopted"] = True
                started = left
        elif left is not None:
            # The interrupted attempt paged, by other settings or because the shop was smaller.
            return
        try:
            if started is None:
                archived.stop()
                with self._report.awaiting():
                    started = await self._operations.adopt_or_start(self._report.published_at)
            yield self._counted(started)
            gid = operation_of(started)
            self._report.details["bulk_operation"] = gid
            # Shopify's queue and its work take time without anything being read.
            with self._report.awaiting():
                operation = await self._operations.result(gid)
            self._note(started)
        except NoBulkResult as failed:
            self._fall_back(f"{failed}")
            return
        read = ReadSoFar()
        try:
            async with aclosing(self._result(operation, read, archived)) as pages:
                async for page in pages:
                    yield self._counted(page, read)
        except FileRefused as refused:
            if read.pages:
                raise PlatformUnavailable(
                    "Shopify's host refuses the result of the bulk operation now "
                    f"({refused.status}), after a part of it was read."
                ) from refused
            self._fall_back(f"the host of the result of the bulk operation {refused}")
            return
        self._report.currency = shop.currency
        counted_again = not shop.counts(read.root_objects) or bool(
            await self._variants_count.missing(read.variants)
        )
        if counted_again:
            # The merchant may have added or deleted products meanwhile: ask once more.
            answer = await self._client.ask(SHOP, {})
            again = RawPage("shop", answer.body)
            yield self._counted(again, read)
            shop = ShopPage.in_page(again)
        self._report_details(read)
        await self._judge(operation, shop, read, edited=counted_again)
        self.finished = True

    async def _result(
        self, operation: BulkOperation, read: ReadSoFar, archived: ArchivedPages
    ) -> AsyncGenerator[RawPage]:
        if operation.url is None:
            # The operation is completed and found no product.
            return
        async with FileDownload(
            operation.url,
            hosts=self._hosts,
            policy=self._policy,
            report=self._report,
            remedy=_ANOTHER_HOST,
        ) as download:
            result = BulkDownload(download, operation.gid, read, page_bytes=self._page_bytes)
            async with aclosing(result.pages(archived)) as pages:
                async for page in pages:
                    yield page

    def _counted(self, page: RawPage, read: ReadSoFar | None = None) -> RawPage:
        self._pages += 1
        self._report.details["pages"] = self._pages
        if read is not None:
            self._report_details(read)
        return page

    def _report_details(self, read: ReadSoFar) -> None:
        self._report.details.update(
            products=read.root_objects,
            variants=read.variants,
            bulk_bytes=read.bytes,
        )

    def _fall_back(self, reason: str) -> None:
        self._report.details["bulk_fallback"] = reason
        self._report.warnings.append(f"Read page by page instead of in bulk: {reason}.")
        _log.warning("%s: read page by page instead of in bulk: %s.", self._partition_key, reason)

    def _note(self, started: RawPage) -> None:
        """Remember the operation, and of which time its result is if an earlier sync started it."""
        self._report.learned[LAST_OPERATION] = operation_of(started)
        created = created_at(started)
        if created is not None:
            self._report.details["bulk_adopted"] = True
            self._report.as_of = created - _CLOCK_MARGIN

    async def _judge(
        self, operation: BulkOperation, shop: ShopPage, read: ReadSoFar, *, edited: bool
    ) -> None:
        """Set `complete` and `all_read` by what Shopify counts, and warn of what is missing."""
        problems: list[str] = []
        if (read.objects, read.root_objects) != (operation.objects, operation.root_objects):
            problems.append(
                f"Shopify's bulk operation counts {operation.objects} objects "
                f"({operation.root_objects} products), but {read.objects} ({read.root_objects}) "
                "were read."
            )
        if read.unreadable:
            problems.append(
                f"The result of Shopify's bulk operation has {read.unreadable} lines that are no "
                "objects."
            )
        created, deleted = Created(), 0
        if edited:
            created = await created_since(self._client, operation.created_at, read.products)
            deleted = await self._deleted(operation, read)
        missing = await self._variants_count.missing(read.variants + created.variants)
        if missing:
            problems.append(
                f"Shopify counts {read.variants + created.variants + missing} variants, but "
                f"{read.variants} were read: {missing} are missing."
            )
        disagreement = shop.disagreement(read.root_objects, deleted, created.products)
        self._report.complete = not problems and disagreement is None
        if self._report.complete:
            # Absences show all deletions.
            self._report.learned.pop(NOT_NAMED_SINCE, None)
        there = read.root_objects + created.products - deleted
        self._report.all_read = not problems and not shop.missing(there)
        if disagreement is not None:
            problems.append(disagreement)
        self._report.warnings += problems

    async def _deleted(self, operation: BulkOperation, read: ReadSoFar) -> int:
        """How many of the products that were read were deleted since the operation began."""
        if operation.created_at is None:
            return 0
        since = operation.created_at - _CLOCK_MARGIN
        return await Deletions(self._client, since, ArchivedPages()).among(read.products)
