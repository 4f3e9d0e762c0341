"""Fetch one shop into the raw archive: credentials, pages, manifest, and the sync's own record."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from connector_pipeline.archive.manifest import SnapshotManifest
from connector_pipeline.archive.raw_archive import RawArchive
from connector_pipeline.archive.writer import SnapshotWriter
from connector_pipeline.assets.absence import Absence, Confirmed, absence
from connector_pipeline.catalog.read import live_variants
from connector_pipeline.database import Database
from connector_pipeline.model.errors import (
    ArchiveUnavailable,
    ConnectorError,
    Defect,
    InvalidShop,
    SyncInterrupted,
    UnknownShop,
)
from connector_pipeline.model.shop import PlatformName, RegisteredShop, parse_partition_key
from connector_pipeline.model.sync import (
    RequestedSyncType,
    Sync,
    SyncStatus,
    SyncType,
    own_sync_id,
    planned_sync,
)
from connector_pipeline.platforms.platform import CredentialSource, FetchReport, Platform
from connector_pipeline.registry import ShopRegistry
from connector_pipeline.token_service import TokenService

_PROGRESS_EVERY: Final = 0.5

RESUMABLE_FOR: Final = timedelta(hours=6)
"""How old an interrupted sync may be to be gone on with: its first pages are that old, too."""


@dataclass(frozen=True, slots=True)
class ShopFetcher:
    """Fetches shops on behalf of one run; `requested_sync_id` is of a run over a single shop."""

    registry: ShopRegistry
    database: Database
    token_service: TokenService
    raw_archive: RawArchive
    platforms: Mapping[PlatformName, Platform]
    sync_type: RequestedSyncType
    full_sync_every: timedelta
    run_id: str
    root_run_id: str
    requested_sync_id: str | None = None
    correlation_id: str | None = None

    async def fetch(self, partition_key: str) -> SnapshotManifest:
        """Fetch the shop's snapshot and keep it. Raises nothing but ConnectorError."""
        shop = await asyncio.to_thread(registered_shop, self.registry, partition_key)
        sync_id = self.requested_sync_id or own_sync_id(self.root_run_id, partition_key)
        now = datetime.now(UTC)
        interrupted = await asyncio.to_thread(self._interrupted, partition_key, sync_id, now)
        if isinstance(interrupted, SnapshotManifest):
            return interrupted
        sync = interrupted or self._new_sync(shop, sync_id, now)
        await asyncio.to_thread(self.registry.start_sync, sync, shop, self.run_id)
        try:
            return await self._fetch(shop, sync, resumed=interrupted is not None)
        except asyncio.CancelledError:
            # Not awaited: a cancelled task gets no more turns of the loop to rely on.
            self.registry.fail_sync(sync_id, SyncInterrupted("the fetch was cancelled."))
            raise
        except Exception as error:
            named = _named(error).of(partition_key)
            await asyncio.to_thread(self.registry.fail_sync, sync_id, named)
            if named is error:
                raise
            raise named from error

    def _new_sync(self, shop: RegisteredShop, sync_id: str, now: datetime) -> Sync:
        plan = planned_sync(
            self.sync_type,
            high_water_mark=shop.high_water_mark,
            last_full_sync_at=shop.last_full_sync_at,
            full_sync_every=self.full_sync_every,
            now=now,
        )
        return Sync(
            sync_id=sync_id,
            partition_key=shop.partition_key,
            sync_type=plan.sync_type,
            correlation_id=self.correlation_id or sync_id,
            started_at=now,
            since=plan.since,
        )

    def _interrupted(
        self, partition_key: str, sync_id: str, now: datetime
    ) -> SnapshotManifest | Sync | None:
        """What an earlier attempt at this sync left: its snapshot, its pages, or nothing of use.

        A snapshot is of use only while its sync is on record as running: the run that made it
        crashed. Whoever runs a sync again that ended wants the shop as it is now.
        """
        finished = self.raw_archive.finished(partition_key, sync_id)
        if finished is not None:
            progress = self.registry.progress(sync_id)
            running = progress is not None and progress.status == SyncStatus.RUNNING
            fresh = now - finished.sync.started_at < RESUMABLE_FOR
            return finished if running and fresh else None
        sync = self.raw_archive.unfinished(partition_key, sync_id)
        fresh = sync is not None and now - sync.started_at < RESUMABLE_FOR
        return sync if fresh else None

    async def _fetch(self, shop: RegisteredShop, sync: Sync, *, resumed: bool) -> SnapshotManifest:
        report = FetchReport()
        confirmed = Confirmed()
        writer = self.raw_archive.write(sync)
        async with self.token_service.open(sync.correlation_id) as credential_source:
            await self._read(shop, sync, credential_source, writer, report, resumed=resumed)
            if sync.sync_type is SyncType.FULL or report.read_in_full:
                if report.complete:
                    confirmed = await self._confirmed(shop, credential_source, writer, report)
                if not report.complete:
                    # The merchant may have been at work: a second reading agrees more often than
                    # not.
                    report = report.for_another_reading()
                    await self._read(shop, sync, credential_source, writer, report)
                    report.details["readings"] = 2
                    confirmed = await self._confirmed(shop, credential_source, writer, report)
        manifest = await asyncio.to_thread(
            partial(
                writer.finish,
                report,
                gone=confirmed.gone,
                absences_confirmed=confirmed.every_absence,
            )
        )
        await asyncio.to_thread(
            self._record_progress, sync, writer, report, fetched_at=manifest.finished_at
        )
        await asyncio.to_thread(self.raw_archive.retain, shop.partition_key)
        return manifest

    async def _read(
        self,
        shop: RegisteredShop,
        sync: Sync,
        credential_source: CredentialSource,
        writer: SnapshotWriter,
        report: FetchReport,
        *,
        resumed: bool = False,
    ) -> None:
        """Read the shop from its first page to its last; what was read before is discarded.

        Unless it is `resumed`: then the pages archived by an interrupted attempt are gone on from.
        """
        if not resumed:
            await asyncio.to_thread(writer.begin)
        told = time.monotonic()
        platform = self.platforms[shop.platform_name]
        pages = platform.fetch(
            shop,
            credential_source,
            since=sync.since,
            report=report,
            archived=writer.resume() if resumed else (),
        )
        # Closed here and now when something fails: its connections must not wait for the garbage
        # collector.
        async with aclosing(pages):
            async for page in pages:
                await asyncio.to_thread(writer.write, page)
                if time.monotonic() - told >= _PROGRESS_EVERY:
                    told = time.monotonic()
                    await asyncio.to_thread(self._record_progress, sync, writer, report)

    async def _confirmed(
        self,
        shop: RegisteredShop,
        credential_source: CredentialSource,
        writer: SnapshotWriter,
        report: FetchReport,
    ) -> Confirmed:
        """The live variants that the snapshot lacks and the platform, asked by id, says are gone.

        The answers are archived. Where asking fails none is, and the report warns of it. A snapshot
        is not complete, after all, that lacks what is still there, or may.
        """
        platform = self.platforms[shop.platform_name]
        if report.complete and not platform.lists_may_skip:
            return Confirmed()
        missing = await asyncio.to_thread(self._missing, shop, writer, report)
        report.details |= {"absent": len(missing.absent), "gone": 0}
        if not missing.absent:
            return Confirmed(every_absence=True)
        if missing.witness is None:
            if report.complete:
                # An empty shop by its own counts; the guard has the last word on it.
                return Confirmed()
            report.warnings.append(
                f"{_absent(missing)} and has none to hold the platform's answers "
                "against: none is deleted by this sync."
            )
            return Confirmed()
        gone: list[str] = []
        lookups = platform.look_up(
            shop, credential_source, absent=missing.absent, witness=missing.witness, report=report
        )
        try:
            async with aclosing(lookups):
                async for lookup in lookups:
                    await asyncio.to_thread(writer.write, lookup.page)
                    gone += lookup.gone
        except ConnectorError as error:
            report.complete = False
            report.warnings.append(
                f"{_absent(missing)} and asking for them by id failed ({error.code}: "
                f"{error.message}) Items are added and updated, none is deleted by this sync."
            )
            return Confirmed()
        report.details["gone"] = len(gone)
        if report.complete and len(gone) < len(missing.absent):
            report.complete = False
            report.warnings.append(
                f"{_absent(missing)}, of which the shop still has {len(missing.absent) - len(gone)}"
                ": it was edited while it was read."
            )
        return Confirmed(tuple(gone), every_absence=len(gone) == len(missing.absent))

    def _missing(
        self, shop: RegisteredShop, writer: SnapshotWriter, report: FetchReport
    ) -> Absence:
        with self.database.connect() as connection:
            live = live_variants(connection, shop.partition_key)
        if not live:
            return Absence({}, None)
        # What a reading that ended has: `finish` raises where it has no currency.
        currency = report.currency or ""
        platform = self.platforms[shop.platform_name]
        return absence(live, platform.normalize(shop, currency, writer.written()))

    def _record_progress(
        self,
        sync: Sync,
        writer: SnapshotWriter,
        report: FetchReport,
        fetched_at: datetime | None = None,
    ) -> None:
        self.registry.record_progress(
            sync.sync_id, pages=writer.pages, requests=report.requests, fetched_at=fetched_at
        )


def _absent(missing: Absence) -> str:
    return f"The snapshot lacks {len(missing.absent)} live items of the catalog"


def _named(error: Exception) -> ConnectorError:
    """The error as an operator is told of it: whatever it is, it is this shop's alone."""
    if isinstance(error, ConnectorError):
        return error
    if isinstance(error, OSError):
        return ArchiveUnavailable(
            f"the raw archive cannot be written ({type(error).__name__}: {error.strerror})."
        )
    return Defect.from_exception(error)


def registered_shop(registry: ShopRegistry, partition_key: str) -> RegisteredShop:
    """The shop of a partition. Raises UnknownShop, for a malformed key too."""
    try:
        parse_partition_key(partition_key)
    except InvalidShop as error:
        raise UnknownShop(f"{error}.", partition_key=partition_key) from None
    return registry.get(partition_key)
