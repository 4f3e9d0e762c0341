"""A large shop's catalog by one bulk operation, and the way back to paging where that fails.

The operation costs 10 points and is not paced, however large the shop is; but it waits in Shopify's
own queue, and a small shop is read by pages sooner than it begins.
"""

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
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
    BulkOperation,
    BulkOperations,
    BulkPatience,
    NoBulkResult,
    operation_of,
)
from connector_pipeline.platforms.shopify.bulk.queries import CATALOG
from connector_pipeline.platforms.shopify.queries import SHOP
from connector_pipeline.platforms.shopify.reading.shop_page import ShopPage

BULK_THRESHOLD: Final = 20_000
"""Products above which a full sync goes by a bulk operation.

By `bench/shopify_bulk_threshold.py`, from the price of PRODUCTS, the plans' restore rates and what
is assumed of Shopify's own speed. If a bulk operation takes 20 s to begin and then does 2,500
objects a second, it overtakes paging at 16,000 to 25,000 products with up to 10 variants each, at
38,000 with 30; on the larger plans, whose points hardly bind, later than on Standard. Below the
crossing the lost start is certain, above it the gain is slow to come; but one request cannot be
throttled, and leaves the shop's points to others. A shop's true speed is in the details of its
syncs.
"""

_ANOTHER_HOST: Final = "If Shopify keeps its files there now, add the host to SHOPIFY_BULK_HOSTS."

_log: Final = logging.getLogger(__name__)


class BulkExport:
    """One reading of one shop by a bulk operation, once its `shop` page is there.

    Fills in the report's currency, completeness, warnings and details as it goes. Pages:
    `bulk_operation` (which operation was started), `bulk` (lines of its result), and `shop` once
    more at the end if the count of products disagrees.
    """

    def __init__(
        self,
        client: Asks,
        partition_key: str,
        *,
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
        self._threshold = threshold
        self._hosts = hosts
        self._policy = policy
        self._report = report
        self._page_bytes = page_bytes
        self._pages = 1
        self.finished = False
        """Whether the catalog has been read; otherwise the pages are still to be walked."""

    def wins(self, shop: RawPage) -> bool:
        """Whether the shop is so large that a bulk operation is worth its start."""
        count = ShopPage.in_page(shop).products
        return isinstance(count, int) and count > self._threshold

    async def pages(self, page: RawPage, archived: ArchivedPages) -> AsyncGenerator[RawPage]:
        """Yield the pages after the `shop` page, of which `archived` may hold the first.

        When none is left, `finished` says whether this was all of the catalog. Raises
        InvalidResponse, PlatformUnavailable, and what the client raises.
        """
        shop = ShopPage.in_page(page)
        started: RawPage | None = None
        left = await archived.peek()
        if left is not None and left.kind == BULK_OPERATION:
            await archived.answer(lambda page: page)
            following = await archived.peek()
            if following is not None and following.kind == "products":
                # That attempt had to go on with paging, and so does this one.
                yield self._counted(left)
                return
            if await self._operations.adoptable(left):
                self._report.details["bulk_adopted"] = True
                started = left
        elif left is not None:
            # It paged: by other settings, or its shop was smaller.
            return
        try:
            if started is None:
                archived.stop()
                started = await self._operations.start()
            yield self._counted(started)
            gid = operation_of(started)
            self._report.details["bulk_operation"] = gid
            operation = await self._operations.result(gid)
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
                    f"The result of the bulk operation is not given out any more ({refused.status})"
                    " although it was read in part."
                ) from refused
            self._fall_back(f"the host of the result of the bulk operation {refused}")
            return
        self._report.currency = shop.currency
        if not shop.counts(read.root_objects):
            # The merchant may have added or deleted products meanwhile: ask once more.
            answer = await self._client.ask(SHOP, {})
            again = RawPage("shop", answer.body)
            yield self._counted(again, read)
            shop = ShopPage.in_page(again)
        self._tell_details(read)
        self._report.complete = self._vouched_for(operation, shop, read)
        self.finished = True

    async def _result(
        self, operation: BulkOperation, read: ReadSoFar, archived: ArchivedPages
    ) -> AsyncGenerator[RawPage]:
        if operation.url is None:
            # Completed, and no row.
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
            self._tell_details(read)
        return page

    def _tell_details(self, read: ReadSoFar) -> None:
        self._report.details.update(
            products=read.root_objects,
            variants=read.objects - read.root_objects,
            bulk_bytes=read.bytes,
        )

    def _fall_back(self, reason: str) -> None:
        self._report.details["bulk_fallback"] = reason
        self._report.warnings.append(f"Read page by page instead of in bulk: {reason}.")
        _log.warning("%s: read page by page instead of in bulk: %s.", self._partition_key, reason)

    def _vouched_for(self, operation: BulkOperation, shop: ShopPage, read: ReadSoFar) -> bool:
        if (read.objects, read.root_objects) != (operation.objects, operation.root_objects):
            self._report.warnings.append(
                f"Shopify's bulk operation counts {operation.objects} objects "
                f"({operation.root_objects} products), but {read.objects} ({read.root_objects}) "
                "were read."
            )
            return False
        disagreement = shop.disagreement(read.root_objects)
        if disagreement is not None:
            self._report.warnings.append(disagreement)
        return disagreement is None
