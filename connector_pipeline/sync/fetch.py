"""Fetch one shop into the raw archive: credentials, pages, manifest, and the sync's own record."""

import asyncio
import time
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from pydantic import BaseModel

from connector_pipeline.archive.manifest import SnapshotManifest
from connector_pipeline.archive.writer import SnapshotWriter
from connector_pipeline.credentials.refused import credential_digest
from connector_pipeline.model.errors import (
    ArchiveUnavailable,
    ConnectorError,
    DatabaseUnavailable,
    DeadlineExceeded,
    Defect,
    ShopBusy,
    ShopDisconnected,
    UnknownShop,
)
from connector_pipeline.model.shop import RegisteredShop, Shop
from connector_pipeline.model.sync import (
    RequestedSyncType,
    Sync,
    SyncStatus,
    SyncType,
    own_sync_id,
    planned_sync,
)
from connector_pipeline.platforms.adapters import adapter_of
from connector_pipeline.platforms.kit.contract import (
    CredentialSource,
    CredentialsT,
    FetchReport,
)
from connector_pipeline.state.registry import registered_shop
from connector_pipeline.sync.absence import Confirmed
from connector_pipeline.sync.confirmation import confirmed
from connector_pipeline.sync.interruptible import in_thread
from connector_pipeline.sync.log_context import log_as
from connector_pipeline.sync.run_identity import RunIdentity
from connector_pipeline.sync.services import SyncServices

_PROGRESS_EVERY: Final = 0.5

RESUMABLE_FOR: Final = timedelta(hours=6)
"""How old an interrupted sync may be to be gone on with: its first pages are that old, too."""


@dataclass(frozen=True, slots=True)
class _Remembered:
    """A credential source that remembers what it gave last: it may turn out to be refused."""

    source: CredentialSource
    given: dict[str, BaseModel | None]

    async def credentials(self, shop: Shop, model: type[CredentialsT]) -> CredentialsT:
        """As the source's; None is remembered where the Token Service has none."""
        self.given[shop.partition_key] = None
        given = await self.source.credentials(shop, model)
        self.given[shop.partition_key] = given
        return given


@dataclass(frozen=True, slots=True)
class ShopFetcher:
    """Fetches shops on behalf of one run. `deadline` is what reading one shop may take."""

    services: SyncServices
    run: RunIdentity
    sync_type: RequestedSyncType
    full_sync_every: timedelta
    deadline: timedelta
    _spent: dict[str, float] = field(default_factory=dict[str, float])
    _given: dict[str, BaseModel | None] = field(
        default_factory=dict[str, "BaseModel | None"], repr=False
    )

    async def fetch(self, partition_key: str) -> SnapshotManifest:
        """Fetch the shop's snapshot and keep it; again, go on after the pages that are there.

        The shop's `deadline` is for all attempts together. Raises nothing but ConnectorError;
        what becomes of the sync then is the caller's to say: `record_failure`, or another attempt.
        """
        began = time.monotonic()
        sync_id = self._sync_id(partition_key)
        log_as(sync_id, self.run.correlation_id or sync_id)
        try:
            return await self._attempt(partition_key)
        except Exception as error:
            named = _named(error).of(partition_key)
            if named is error:
                raise
            raise named from error
        finally:
            spent = time.monotonic() - began
            self._spent[partition_key] = self._spent.get(partition_key, 0.0) + spent

    def record_failure(self, partition_key: str, error: ConnectorError) -> None:
        """Record that the shop's sync failed: it will not be tried again by this run."""
        sync_id = self._sync_id(partition_key)
        # Where the database is what failed, the partition's own failure still says so.
        with suppress(DatabaseUnavailable, UnknownShop):
            if isinstance(error, ShopBusy):
                shop = registered_shop(self.services.registry, partition_key)
                sync = self._new_sync(shop, sync_id, datetime.now(UTC))
                self.services.registry.refuse_sync(sync, shop, error, self.run.run_id)
            else:
                self.services.registry.fail_sync(
                    sync_id, error, refused=self._refused(partition_key, error)
                )

    async def _attempt(self, partition_key: str) -> SnapshotManifest:
        shop = await in_thread(registered_shop, self.services.registry, partition_key)
        sync_id = self._sync_id(partition_key)
        now = datetime.now(UTC)
        interrupted = await in_thread(self._interrupted, partition_key, sync_id, now)
        if isinstance(interrupted, SnapshotManifest):
            return interrupted
        sync = interrupted or self._new_sync(shop, sync_id, now)
        await in_thread(self.services.registry.start_sync, sync, shop, self.run.run_id)
        return await self._fetch(shop, sync, resumed=interrupted is not None)

    def _refused(self, partition_key: str, error: ConnectorError) -> str | None:
        given = self._given.get(partition_key)
        if given is None or not isinstance(error, ShopDisconnected):
            return None
        return credential_digest(given)

    def _sync_id(self, partition_key: str) -> str:
        return self.run.requested_sync_id or own_sync_id(self.run.root_run_id, partition_key)

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
            correlation_id=self.run.correlation_id or sync_id,
            started_at=now,
            since=plan.since,
        )

    def _interrupted(
        self, partition_key: str, sync_id: str, now: datetime
    ) -> SnapshotManifest | Sync | None:
        """What an earlier attempt at this sync left: its snapshot, its pages, or nothing of use.

        A snapshot is of use while its sync is on record as running, because the run that made it
        crashed, or if that run is retried and had published it. Whoever else runs a sync again
        that ended wants the shop as it is now.
        """
        finished = self.services.raw_archive.finished(partition_key, sync_id)
        if finished is not None:
            progress = self.services.registry.progress(sync_id)
            of_use = progress is not None and (
                progress.status == SyncStatus.RUNNING
                or (self.run.retried and progress.published_by == self.run.root_run_id)
            )
            fresh = now - finished.sync.started_at < RESUMABLE_FOR
            return finished if of_use and fresh else None
        sync = self.services.raw_archive.unfinished(partition_key, sync_id)
        fresh = sync is not None and now - sync.started_at < RESUMABLE_FOR
        return sync if fresh else None

    async def _fetch(self, shop: RegisteredShop, sync: Sync, *, resumed: bool) -> SnapshotManifest:
        report = FetchReport()
        gone = Confirmed()
        writer = self.services.raw_archive.write(sync)
        left = self.deadline.total_seconds() - self._spent.get(shop.partition_key, 0.0)
        deadline = asyncio.timeout(left)
        try:
            async with (
                deadline,
                self.services.token_service.open(sync.correlation_id) as token_service,
            ):
                credential_source = _Remembered(token_service, self._given)
                await self._read(shop, sync, credential_source, writer, report, resumed=resumed)
                if sync.sync_type is SyncType.FULL or report.read_in_full:
                    if report.complete:
                        gone = await self._confirmed(shop, credential_source, writer, report)
                    if not report.complete:
                        # The merchant may have been at work: a second reading agrees more often
                        # than not.
                        report = report.for_another_reading()
                        await self._read(shop, sync, credential_source, writer, report)
                        report.details["readings"] = 2
                        gone = await self._confirmed(shop, credential_source, writer, report)
        except TimeoutError:
            if not deadline.expired():
                raise
            raise DeadlineExceeded(
                f"it was not read within {self.deadline.total_seconds():.0f} s: "
                f"{writer.pages} pages in {report.requests} requests, "
                f"{report.waited_seconds:.0f} s of it spent waiting as the platform asked."
            ) from None
        manifest = await in_thread(
            partial(
                writer.finish,
                report,
                gone=gone.gone,
                absences_confirmed=gone.every_absence,
            )
        )
        await in_thread(
            self._record_progress, sync, writer, report, fetched_at=manifest.finished_at
        )
        await in_thread(self.services.raw_archive.retain, shop.partition_key)
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
            await in_thread(writer.begin)
        told = time.monotonic()
        adapter = adapter_of(shop, self.services.adapters)
        pages = adapter.fetch(
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
                await in_thread(writer.write, page)
                if time.monotonic() - told >= _PROGRESS_EVERY:
                    told = time.monotonic()
                    await in_thread(self._record_progress, sync, writer, report)

    async def _confirmed(
        self,
        shop: RegisteredShop,
        credential_source: CredentialSource,
        writer: SnapshotWriter,
        report: FetchReport,
    ) -> Confirmed:
        adapter = adapter_of(shop, self.services.adapters)
        return await confirmed(
            self.services.database, adapter, shop, credential_source, writer, report
        )

    def _record_progress(
        self,
        sync: Sync,
        writer: SnapshotWriter,
        report: FetchReport,
        fetched_at: datetime | None = None,
    ) -> None:
        self.services.registry.record_progress(
            sync.sync_id, pages=writer.pages, requests=report.requests, fetched_at=fetched_at
        )


def _named(error: Exception) -> ConnectorError:
    """The error as an operator is told of it: whatever it is, it is this shop's alone."""
    if isinstance(error, ConnectorError):
        return error
    if isinstance(error, OSError):
        return ArchiveUnavailable(
            f"the raw archive cannot be written ({type(error).__name__}: {error.strerror})."
        )
    return Defect.from_exception(error)
