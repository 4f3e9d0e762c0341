"""Read one shop's pages into the archive, and ask for what they lack, until a snapshot is made."""

import time
from collections.abc import AsyncGenerator, Collection, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Final

from pydantic import JsonValue

from connector_pipeline.archive.manifest import SnapshotManifest
from connector_pipeline.catalog.read import live_products
from connector_pipeline.model import tracing
from connector_pipeline.model.sync import SyncPlan, increment_of
from connector_pipeline.model.sync_type import SyncType
from connector_pipeline.platforms.adapters import adapter_of
from connector_pipeline.platforms.kit.contract import (
    Adapter,
    CredentialSource,
    FetchReport,
    RawPage,
)
from connector_pipeline.sync.absence import Confirmed
from connector_pipeline.sync.another_currency import AnotherCurrency, refuse_another_currency
from connector_pipeline.sync.beginning import Beginning, Begun
from connector_pipeline.sync.confirmation import confirmed, confirmed_in_increment
from connector_pipeline.sync.full_syncs import (
    MISSES_SOMETHING,
    counts_as_full,
    full_sync_warnings,
)
from connector_pipeline.sync.interruptible import in_thread
from connector_pipeline.sync.services import SyncServices

_PROGRESS_EVERY: Final = 2.0
"""Seconds. Most shops are read within them, and their end is recorded anyway."""


class _CannotAskByHints(Exception):
    """The adapter has no questions for the tokens of hints."""


@dataclass(slots=True)
class Reading:
    """The reading of a shop for one sync. `begun` and `report` are those of its last attempt."""

    services: SyncServices
    beginning: Beginning
    begun: Begun
    report: FetchReport
    _credentials: CredentialSource = field(repr=False)

    async def read(self) -> Confirmed:
        """Read the shop as planned, or more of it; return what the platform says is gone.

        A shop that charges in another currency than before is read in full. One whose adapter
        cannot ask for what hints named has an ordinary increment.
        """
        try:
            return await self._read_as_planned()
        except _CannotAskByHints:
            overlap = self.beginning.overlap(self.begun.shop)
            await self._begin_anew(increment_of(self.begun.shop, overlap=overlap))
            return await self.read()
        except AnotherCurrency as changed:
            await self._begin_anew(SyncPlan(SyncType.FULL, None))
            gone = await self._read_as_planned()
            self.report.warnings.append(f"{changed} Everything was read, not only the changes.")
            return gone

    async def finish(self, gone: Confirmed) -> SnapshotManifest:
        """Make a snapshot of the pages, and delete those that it replaces."""
        begun, report = self.begun, self.report
        report.warnings += full_sync_warnings(begun.shop, begun.sync, datetime.now(UTC))
        if begun.sync.sync_type is SyncType.FULL and not counts_as_full(report, gone):
            report.warnings.append(MISSES_SOMETHING)
        if report.currency is None and begun.writer.pages == 0:
            # Nothing is made of no page; a hint of what is gone may need none.
            report.currency = begun.shop.published_currency
        return await in_thread(self._finish, gone)

    def _finish(self, gone: Confirmed) -> SnapshotManifest:
        sync, writer, archive = self.begun.sync, self.begun.writer, self.services.raw_archive
        with tracing.span("archive", pages=writer.pages):
            manifest = writer.finish(
                self.report, gone=gone.gone, absences_confirmed=gone.every_absence
            )
            self._record_progress(fetched_at=manifest.finished_at)
            if sync.sync_type is SyncType.HINTED:
                archive.retain_hinted(sync.partition_key)
            else:
                archive.retain(sync.partition_key)
        return manifest

    async def _begin_anew(self, plan: SyncPlan) -> None:
        self.begun = await in_thread(self.beginning.begin_anew, self.begun, plan)
        self.report = self.report.for_another_reading()
        self.report.reading = 1

    async def _read_as_planned(self) -> Confirmed:
        """Read the shop, twice where the first reading misses something, and confirm absences."""
        begun = self.begun
        self.report.in_catalog = partial(self._in_catalog, begun.shop.partition_key)
        await self._read(begun.writer.resume() if begun.resumed else ())
        if begun.sync.sync_type is not SyncType.FULL and not self.report.read_in_full:
            return await confirmed_in_increment(
                self.services.database,
                self._adapter(),
                begun.shop,
                self._credentials,
                begun.writer,
                self.report,
                whole_products=self._adapter().has_whole_products(begun.sync.sync_type),
            )
        gone = Confirmed()
        if self.report.complete or self.report.all_read:
            gone = await self._confirmed()
        if not (self.report.complete or self.report.all_read):
            # Something is missing. A second reading usually has it.
            first_said: list[JsonValue] = [*self.report.warnings]
            self.report = self.report.for_another_reading()
            await in_thread(begun.writer.begin)
            await self._read()
            self.report.details |= {"readings": 2, "first_reading": first_said}
            gone = await self._confirmed()
        return gone

    async def _confirmed(self) -> Confirmed:
        return await confirmed(
            self.services.database,
            self._adapter(),
            self.begun.shop,
            self._credentials,
            self.begun.writer,
            self.report,
        )

    async def _read(self, archived: Iterable[RawPage] = ()) -> None:
        """Read the shop from its first page to its last, `archived` pages first."""
        last_recorded = time.monotonic()
        begun, report = self.begun, self.report
        pages = self._pages(archived)
        # Closed at once if something fails: its connections must not stay open until the garbage
        # collector comes.
        archiving = 0.0
        with tracing.span("read", reading=report.reading) as reading:
            async with aclosing(pages):
                async for page in pages:
                    refuse_another_currency(begun.shop, begun.sync, report)
                    began = time.monotonic()
                    await in_thread(begun.writer.write, page)
                    took = time.monotonic() - began
                    archiving += took
                    report.archive_seconds += took
                    if time.monotonic() - last_recorded >= _PROGRESS_EVERY:
                        last_recorded = time.monotonic()
                        await in_thread(self._record_progress)
            # An adapter may know the currency by its last page only.
            refuse_another_currency(begun.shop, begun.sync, report)
            reading.set(
                pages=begun.writer.pages, requests=report.requests, archive_seconds=archiving
            )

    def _pages(self, archived: Iterable[RawPage]) -> AsyncGenerator[RawPage, None]:
        begun, adapter = self.begun, self._adapter()
        if begun.sync.sync_type is not SyncType.HINTED:
            return adapter.fetch(
                begun.shop,
                self._credentials,
                since=begun.sync.since,
                report=self.report,
                archived=archived,
            )
        pages = adapter.fetch_hinted(
            begun.shop,
            self._credentials,
            tokens={token: each.changed_at for token, each in begun.tokens.items()},
            report=self.report,
        )
        if pages is None:
            raise _CannotAskByHints
        return pages

    def _adapter(self) -> Adapter:
        return adapter_of(self.begun.shop, self.services.adapters)

    async def _in_catalog(
        self, partition_key: str, product_ids: Collection[str]
    ) -> Collection[str]:
        def ask() -> Collection[str]:
            with self.services.database.connect() as connection:
                return live_products(connection, partition_key, product_ids)

        return await in_thread(ask)

    def _record_progress(self, fetched_at: datetime | None = None) -> None:
        self.services.sync_records.record_progress(
            self.begun.sync.sync_id,
            pages=self.begun.writer.pages,
            requests=self.report.requests,
            waited_seconds=self.report.waited_seconds,
            fetched_at=fetched_at,
        )
