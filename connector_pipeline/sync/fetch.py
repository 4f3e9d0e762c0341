"""Fetch one shop into the raw archive, and keep the record of its sync up to date."""

import asyncio
import logging
import time
from collections.abc import Collection, Generator, Iterable, Mapping
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from pydantic import BaseModel, JsonValue

from connector_pipeline.archive.manifest import SnapshotManifest
from connector_pipeline.archive.writer import SnapshotWriter
from connector_pipeline.catalog.read import live_products
from connector_pipeline.credentials.refused import credential_digest
from connector_pipeline.credentials.remembering import RememberingSource
from connector_pipeline.model import tracing
from connector_pipeline.model.errors import (
    ArchiveUnavailable,
    ConnectorError,
    DatabaseUnavailable,
    DeadlineExceeded,
    ShopBusy,
    ShopDisconnected,
    UnknownShop,
)
from connector_pipeline.model.shop import RegisteredShop
from connector_pipeline.model.sync import (
    ShopToSync,
    Sync,
    SyncStatus,
    SyncType,
    own_sync_id,
    planned_sync,
)
from connector_pipeline.platforms.adapters import adapter_of
from connector_pipeline.platforms.kit.contract import (
    Credentials,
    CredentialSource,
    FetchReport,
    RawPage,
)
from connector_pipeline.state import sync_queue
from connector_pipeline.state.refusals import Refusal, Share
from connector_pipeline.state.registry import registered_shop
from connector_pipeline.sync.absence import Confirmed
from connector_pipeline.sync.another_currency import AnotherCurrency, refuse_another_currency
from connector_pipeline.sync.confirmation import confirmed, confirmed_in_increment
from connector_pipeline.sync.full_syncs import (
    MISSES_SOMETHING,
    counts_as_full,
    full_sync_warnings,
)
from connector_pipeline.sync.interruptible import in_thread
from connector_pipeline.sync.log_context import log_as, logging_as
from connector_pipeline.sync.outcomes import as_connector_error
from connector_pipeline.sync.run_identity import RunIdentity
from connector_pipeline.sync.services import SyncServices

_PROGRESS_EVERY: Final = 0.5

_log: Final = logging.getLogger(__name__)

RESUMABLE_FOR: Final = timedelta(hours=6)
"""An interrupted sync that is older than this is not resumed: its first pages are as old."""


@dataclass(frozen=True, slots=True)
class _Begun:
    """A sync that is recorded as running, with the writer of its pages.

    `resumed`: an interrupted attempt left pages, and the writer goes on after them.
    """

    shop: RegisteredShop
    sync: Sync
    writer: SnapshotWriter
    resumed: bool


@dataclass(frozen=True, slots=True)
class ShopFetcher:
    """Fetches the shops of one run, by partition key. `deadline`: how long reading one may take."""

    services: SyncServices
    run: RunIdentity
    shops: Mapping[str, ShopToSync]
    full_sync_every: timedelta
    deadline: timedelta
    _spent: dict[str, float] = field(default_factory=dict[str, float])
    _awaited: dict[str, float] = field(default_factory=dict[str, float])
    _began: dict[str, datetime] = field(default_factory=dict[str, datetime])
    _given: dict[str, BaseModel | None] = field(
        default_factory=dict[str, "BaseModel | None"], repr=False
    )

    async def fetch(self, partition_key: str) -> SnapshotManifest:
        """Fetch the shop's snapshot and keep it. A second call goes on after the archived pages.

        The `deadline` is for all attempts at the shop together, without the time that the platform
        worked for the adapter (`FetchReport.awaiting`). Raises nothing but ConnectorError;
        the caller then either calls `record_failure` or makes another attempt.
        """
        began = time.monotonic()
        log_as(
            self._sync_id(partition_key),
            self._correlation_id(partition_key),
            shop=partition_key,
            run_id=self.run.run_id,
        )
        self._began.setdefault(partition_key, datetime.now(UTC))
        try:
            with (
                tracing.of_sync(self._sync_id(partition_key)),
                tracing.span("fetch", shop=partition_key) as fetching,
            ):
                manifest = await self._attempt(partition_key)
                fetching.set(
                    sync_type=manifest.sync.sync_type.value,
                    requests=manifest.requests,
                    waited_seconds=manifest.waited_seconds,
                    complete=manifest.complete,
                )
                return manifest
        except Exception as error:
            failure = _as_connector_error(error).of(partition_key)
            if failure is error:
                raise
            raise failure from error
        finally:
            spent = time.monotonic() - began - self._awaited.pop(partition_key, 0.0)
            self._spent[partition_key] = self._spent.get(partition_key, 0.0) + spent

    def record_failure(
        self, partition_key: str, error: ConnectorError, *, refused_in_run: Share | None = None
    ) -> ConnectorError:
        """Record that the shop's sync failed, and that this run does not try it again.

        A shop of the queue that another run reads just now waits on in the queue instead. Returns
        the error as recorded: a ShopDisconnected may not be believed yet. `refused_in_run` is the
        share of the platform's shops that this run found refused, None if it was cut off before.
        """
        with logging_as(
            self._sync_id(partition_key),
            self._correlation_id(partition_key),
            shop=partition_key,
            run_id=self.run.run_id,
        ):
            recorded = self._recorded(partition_key, error, refused_in_run)
            _log.info("the sync has failed: %s: %s", recorded.code, recorded)
        if isinstance(recorded, ShopBusy):
            # It goes on in another run, or waits for one.
            return recorded
        tracing.end_sync(
            self._sync_id(partition_key),
            since=self._began.get(partition_key) or datetime.now(UTC),
            error=recorded,
            shop=partition_key,
            correlation_id=self._correlation_id(partition_key),
            run_id=self.run.run_id,
        )
        return recorded

    def _recorded(
        self, partition_key: str, error: ConnectorError, refused_in_run: Share | None
    ) -> ConnectorError:
        sync_id = self._sync_id(partition_key)
        # If the database is down, the failure of the shop's partition still reports the error.
        with suppress(DatabaseUnavailable, UnknownShop):
            if isinstance(error, ShopBusy):
                with self.services.database.connect() as connection:
                    if sync_queue.wait_on(connection, sync_id, run_id=self.run.root_run_id):
                        return error
                shop = registered_shop(self.services.registry, partition_key)
                sync = self._new_sync(shop, sync_id, datetime.now(UTC))
                self.services.registry.refuse_sync(sync, shop, error, self.run.run_id)
            else:
                refusal = Refusal(self._refused(partition_key, error), refused_in_run)
                recorded = self.services.registry.fail_sync(sync_id, error, refusal=refusal)
                return recorded.of(partition_key)
        return error

    async def _attempt(self, partition_key: str) -> SnapshotManifest:
        begun = await in_thread(self._begin, partition_key)
        return begun if isinstance(begun, SnapshotManifest) else await self._fetch(begun)

    def _begin(self, partition_key: str) -> "SnapshotManifest | _Begun":
        """Record that the sync runs; return its snapshot if an earlier attempt finished it."""
        shop = registered_shop(self.services.registry, partition_key)
        sync_id = self._sync_id(partition_key)
        now = datetime.now(UTC)
        try:
            interrupted = self._interrupted(partition_key, sync_id, now)
        except (OSError, ArchiveUnavailable):
            # A sync that is not recorded cannot be recorded as failed.
            self.services.registry.start_sync(
                self._new_sync(shop, sync_id, now), shop, self.run.run_id
            )
            raise
        if isinstance(interrupted, SnapshotManifest):
            return interrupted
        sync = interrupted or self._new_sync(shop, sync_id, now)
        self.services.registry.start_sync(sync, shop, self.run.run_id)
        # One interrupted sync of a shop stays: the newest, which is this one.
        self.services.raw_archive.forget_interrupted(partition_key, but=sync_id)
        writer = self._writer(sync)
        if interrupted is None:
            writer.begin()
        return _Begun(shop, sync, writer, resumed=interrupted is not None)

    def _writer(self, sync: Sync) -> SnapshotWriter:
        def secrets() -> Iterable[str]:
            given = self._given.get(sync.partition_key)
            return given.secrets() if isinstance(given, Credentials) else ()

        return self.services.raw_archive.write(sync, secrets=secrets)

    def _refused(self, partition_key: str, error: ConnectorError) -> str | None:
        given = self._given.get(partition_key)
        if given is None or not isinstance(error, ShopDisconnected):
            return None
        return credential_digest(given)

    def _sync_id(self, partition_key: str) -> str:
        given = self.shops[partition_key].sync_id
        return given or own_sync_id(self.run.root_run_id, partition_key)

    def _correlation_id(self, partition_key: str) -> str:
        return self.shops[partition_key].correlation_id or self._sync_id(partition_key)

    def _new_sync(self, shop: RegisteredShop, sync_id: str, now: datetime) -> Sync:
        plan = planned_sync(
            self.shops[shop.partition_key].sync_type,
            shop,
            overlap=self._overlap(shop),
            full_sync_every=self.full_sync_every,
            now=now,
        )
        return Sync(
            sync_id=sync_id,
            partition_key=shop.partition_key,
            sync_type=plan.sync_type,
            correlation_id=self._correlation_id(shop.partition_key),
            started_at=now,
            since=plan.since,
        )

    def _overlap(self, shop: RegisteredShop) -> timedelta:
        adapter = self.services.adapters.get(shop.platform_name)
        return timedelta(0) if adapter is None else adapter.overlap

    def _interrupted(
        self, partition_key: str, sync_id: str, now: datetime
    ) -> SnapshotManifest | Sync | None:
        """Find the snapshot or the pages that an earlier attempt at this sync left.

        Returns the manifest of a finished snapshot, the sync whose pages can be resumed, or None. A
        snapshot is used again while its sync is recorded as running or pending again, because the
        run that made it crashed, or if that run published it and this run is its retry. Anybody
        else who runs a sync again that has ended wants the shop as it is now.
        """
        finished = self.services.raw_archive.finished(partition_key, sync_id)
        if finished is not None:
            progress = self.services.registry.progress(sync_id)
            usable = progress is not None and (
                progress.status in (SyncStatus.RUNNING, SyncStatus.PENDING)
                or (self.run.is_retry and progress.published_by == self.run.root_run_id)
            )
            fresh = now - finished.sync.started_at < RESUMABLE_FOR
            return finished if usable and fresh else None
        sync = self.services.raw_archive.unfinished(partition_key, sync_id)
        fresh = sync is not None and now - sync.started_at < RESUMABLE_FOR
        return sync if fresh else None

    async def _fetch(self, begun: "_Begun") -> SnapshotManifest:
        shop = begun.shop
        left = self.deadline.total_seconds() - self._spent.get(shop.partition_key, 0.0)
        deadline = asyncio.timeout(left)
        report = FetchReport(
            page_sizes=dict(shop.page_sizes),
            learned=dict(shop.learned),
            in_catalog=partial(self._in_catalog, shop.partition_key),
            published_at=shop.last_successful_sync_at,
            awaiting=partial(self._without_deadline, shop.partition_key, deadline),
        )
        try:
            async with (
                deadline,
                self.services.token_service.open(begun.sync.correlation_id) as token_service,
            ):
                credential_source = RememberingSource(token_service, self._given)
                try:
                    report, gone = await self._read_as_planned(begun, credential_source, report)
                except AnotherCurrency as changed:
                    begun, report = await in_thread(self._begin_in_full, begun, report)
                    report, gone = await self._read_as_planned(begun, credential_source, report)
                    report.warnings.append(f"{changed} Everything was read, not only the changes.")
        except TimeoutError:
            if not deadline.expired():
                raise
            raise DeadlineExceeded(
                f"it was not read within {self.deadline.total_seconds():.0f} s: "
                f"{begun.writer.pages} pages in {report.requests} requests, "
                f"{report.waited_seconds:.0f} s of it spent waiting as the platform asked."
            ) from None
        finally:
            if report.page_sizes != shop.page_sizes:
                self.services.registry.keep_page_sizes(shop.partition_key, report.page_sizes)
        report.warnings += full_sync_warnings(begun.shop, begun.sync, datetime.now(UTC))
        if begun.sync.sync_type is SyncType.FULL and not counts_as_full(report, gone):
            report.warnings.append(MISSES_SOMETHING)
        return await in_thread(self._finish, begun.sync, begun.writer, report, gone)

    @contextmanager
    def _without_deadline(self, partition_key: str, deadline: asyncio.Timeout) -> Generator[None]:
        """Stop the shop's clock while the block runs."""
        clock = asyncio.get_running_loop().time
        began, until = clock(), deadline.when()
        if until is None or deadline.expired():
            # The block is inside of another one, or the deadline has come.
            yield
            return
        deadline.reschedule(None)
        try:
            yield
        finally:
            awaited = clock() - began
            deadline.reschedule(until + awaited)
            self._awaited[partition_key] = self._awaited.get(partition_key, 0.0) + awaited

    async def _read_as_planned(
        self, begun: "_Begun", credential_source: CredentialSource, report: FetchReport
    ) -> tuple[FetchReport, Confirmed]:
        """Read the shop, twice where the first reading misses something, and confirm absences."""
        shop, sync, writer = begun.shop, begun.sync, begun.writer
        archived = writer.resume() if begun.resumed else ()
        await self._read(shop, sync, credential_source, writer, report, archived)
        if sync.sync_type is not SyncType.FULL and not report.read_in_full:
            return report, await confirmed_in_increment(
                self.services.database,
                adapter_of(shop, self.services.adapters),
                shop,
                credential_source,
                writer,
                report,
            )
        gone = Confirmed()
        if report.complete or report.all_read:
            gone = await self._confirmed(shop, credential_source, writer, report)
        if not (report.complete or report.all_read):
            # Something is missing. A second reading usually has it.
            first_said: list[JsonValue] = [*report.warnings]
            report = report.for_another_reading()
            await in_thread(writer.begin)
            await self._read(shop, sync, credential_source, writer, report)
            report.details |= {"readings": 2, "first_reading": first_said}
            gone = await self._confirmed(shop, credential_source, writer, report)
        return report, gone

    async def _in_catalog(
        self, partition_key: str, product_ids: Collection[str]
    ) -> Collection[str]:
        def ask() -> Collection[str]:
            with self.services.database.connect() as connection:
                return live_products(connection, partition_key, product_ids)

        return await in_thread(ask)

    def _begin_in_full(self, begun: "_Begun", report: FetchReport) -> "tuple[_Begun, FetchReport]":
        """Begin the increment anew as a full sync of the same id."""
        sync = begun.sync.model_copy(update={"sync_type": SyncType.FULL, "since": None})
        self.services.registry.start_sync(sync, begun.shop, self.run.run_id)
        writer = self._writer(sync)
        writer.begin()
        again = report.for_another_reading()
        again.reading = 1
        return _Begun(begun.shop, sync, writer, resumed=False), again

    def _finish(
        self, sync: Sync, writer: SnapshotWriter, report: FetchReport, gone: Confirmed
    ) -> SnapshotManifest:
        """Make a snapshot of the pages, and delete those that it replaces."""
        with tracing.span("archive", pages=writer.pages):
            manifest = writer.finish(report, gone=gone.gone, absences_confirmed=gone.every_absence)
            self._record_progress(sync, writer, report, fetched_at=manifest.finished_at)
            self.services.raw_archive.retain(sync.partition_key)
        return manifest

    async def _read(
        self,
        shop: RegisteredShop,
        sync: Sync,
        credential_source: CredentialSource,
        writer: SnapshotWriter,
        report: FetchReport,
        archived: Iterable[RawPage] = (),
    ) -> None:
        """Read the shop from its first page to its last, `archived` pages first."""
        last_recorded = time.monotonic()
        adapter = adapter_of(shop, self.services.adapters)
        pages = adapter.fetch(
            shop, credential_source, since=sync.since, report=report, archived=archived
        )
        # Closed at once if something fails: its connections must not stay open until the garbage
        # collector comes.
        archiving = 0.0
        with tracing.span("read", reading=report.reading) as reading:
            async with aclosing(pages):
                async for page in pages:
                    refuse_another_currency(shop, sync, report)
                    began = time.monotonic()
                    await in_thread(writer.write, page)
                    archiving += time.monotonic() - began
                    if time.monotonic() - last_recorded >= _PROGRESS_EVERY:
                        last_recorded = time.monotonic()
                        await in_thread(self._record_progress, sync, writer, report)
            reading.set(pages=writer.pages, requests=report.requests, archive_seconds=archiving)

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
            sync.sync_id,
            pages=writer.pages,
            requests=report.requests,
            waited_seconds=report.waited_seconds,
            fetched_at=fetched_at,
        )


def _as_connector_error(error: Exception) -> ConnectorError:
    """The error as a ConnectorError. A disk may be full, or files too many, anywhere."""
    if isinstance(error, OSError):
        return ArchiveUnavailable(
            f"a file cannot be written ({type(error).__name__}: {error.strerror})."
        )
    return as_connector_error(error)
