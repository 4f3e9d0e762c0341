"""Fetch the shops of a run into the raw archive, each attempt bounded, each failure recorded."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, Self

from pydantic import BaseModel

from connector_pipeline.archive.manifest import SnapshotManifest
from connector_pipeline.credentials.refused import credential_digest
from connector_pipeline.credentials.remembering import RememberingSource
from connector_pipeline.credentials.token_service import TokenServiceConnections
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
from connector_pipeline.model.sync import ShopToSync
from connector_pipeline.platforms.kit.contract import FetchReport
from connector_pipeline.state import sync_queue
from connector_pipeline.state.refusals import Refusal, Share
from connector_pipeline.state.registry import registered_shop
from connector_pipeline.sync.announcements import Announcements
from connector_pipeline.sync.beginning import Beginning, Begun
from connector_pipeline.sync.interruptible import in_thread
from connector_pipeline.sync.log_context import log_as, logging_as
from connector_pipeline.sync.outcomes import as_connector_error
from connector_pipeline.sync.reading import Reading
from connector_pipeline.sync.run_identity import RunIdentity
from connector_pipeline.sync.services import SyncServices
from connector_pipeline.sync.shop_clock import ShopClocks

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ShopFetcher:
    """Fetches the shops of one run, by partition key, each within the deadline of its clock.

    `token_service` is open meanwhile.
    """

    services: SyncServices
    run: RunIdentity
    shops: Mapping[str, ShopToSync]
    beginning: Beginning
    clocks: ShopClocks
    token_service: TokenServiceConnections
    _given: dict[str, BaseModel | None] = field(repr=False)

    @classmethod
    def of(
        cls,
        services: SyncServices,
        shops: Mapping[str, ShopToSync],
        *,
        run: RunIdentity,
        full_sync_every: timedelta,
        deadline: timedelta,
    ) -> Self:
        """The fetcher of a run. `deadline`: how long reading one shop may take."""
        given: dict[str, BaseModel | None] = {}
        beginning = Beginning(services, run, shops, full_sync_every, given)
        token_service = TokenServiceConnections(services.token_service)
        return cls(services, run, shops, beginning, ShopClocks(deadline), token_service, given)

    async def fetch(self, partition_key: str) -> SnapshotManifest:
        """Fetch the shop's snapshot and keep it. A second call goes on after the archived pages.

        The deadline is for all attempts at the shop together, without the time that the platform
        worked for the adapter (`FetchReport.awaiting`). Raises nothing but ConnectorError;
        the caller then either calls `record_failure` or makes another attempt.
        """
        sync_id = self.beginning.sync_id(partition_key)
        log_as(
            sync_id,
            self.beginning.correlation_id(partition_key),
            shop=partition_key,
            run_id=self.run.run_id,
        )
        try:
            with (
                self.clocks.running(partition_key),
                tracing.of_sync(sync_id),
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

    def record_failure(
        self, partition_key: str, error: ConnectorError, *, refused_in_run: Share | None = None
    ) -> ConnectorError:
        """Record that the shop's sync failed, and that this run does not try it again.

        A shop of the queue that another run reads just now waits on in the queue instead. Returns
        the error as recorded: a ShopDisconnected may not be believed yet. `refused_in_run` is the
        share of the platform's shops that this run found refused, None if it was cut off before.
        """
        sync_id = self.beginning.sync_id(partition_key)
        correlation_id = self.beginning.correlation_id(partition_key)
        with logging_as(sync_id, correlation_id, shop=partition_key, run_id=self.run.run_id):
            recorded = self._recorded(partition_key, error, refused_in_run)
            _log.info("the sync has failed: %s: %s", recorded.code, recorded)
        if isinstance(recorded, ShopBusy):
            # It goes on in another run, or waits for one.
            return recorded
        tracing.end_sync(
            sync_id,
            since=self.clocks.began(partition_key),
            error=recorded,
            shop=partition_key,
            correlation_id=correlation_id,
            run_id=self.run.run_id,
        )
        return recorded

    def _recorded(
        self, partition_key: str, error: ConnectorError, refused_in_run: Share | None
    ) -> ConnectorError:
        sync_id = self.beginning.sync_id(partition_key)
        # If the database is down, the failure of the shop's partition still reports the error.
        with suppress(DatabaseUnavailable, UnknownShop):
            if isinstance(error, ShopBusy):
                with self.services.database.connect() as connection:
                    if sync_queue.wait_on(connection, sync_id, run_id=self.run.root_run_id):
                        return error
                shop = registered_shop(self.services.registry, partition_key)
                sync = self.beginning.new_sync(shop, sync_id, datetime.now(UTC))
                self.services.sync_records.refuse(sync, shop, error, self.run.run_id)
            else:
                refusal = Refusal(self._refused(partition_key, error), refused_in_run)
                recorded = self.services.sync_records.fail(sync_id, error, refusal=refusal)
                return recorded.of(partition_key)
        return error

    def _refused(self, partition_key: str, error: ConnectorError) -> str | None:
        given = self._given.get(partition_key)
        if given is None or not isinstance(error, ShopDisconnected):
            return None
        return credential_digest(given)

    async def _attempt(self, partition_key: str) -> SnapshotManifest:
        begun = await in_thread(self.beginning.begin, partition_key)
        return begun if isinstance(begun, SnapshotManifest) else await self._fetch(begun)

    async def _fetch(self, begun: Begun) -> SnapshotManifest:
        shop = begun.shop
        deadline = self.clocks.timeout(shop.partition_key)
        report = FetchReport(
            page_sizes=dict(shop.page_sizes),
            learned=dict(shop.learned),
            published_at=_last_published(shop),
            awaiting=partial(self.clocks.stopped, shop.partition_key, deadline),
            announced=Announcements(self.services.database, shop.platform_name, shop.domain),
        )
        # A further reading of the shop replaces the report.
        reading: Reading | None = None
        try:
            async with deadline:
                token_service = self.token_service.client(begun.sync.correlation_id)
                source = RememberingSource(token_service, self._given)
                reading = Reading(self.services, self.beginning, begun, report, source)
                gone = await reading.read()
        except TimeoutError:
            if not deadline.expired():
                raise
            report = report if reading is None else reading.report
            pages = begun.writer.pages if reading is None else reading.begun.writer.pages
            raise DeadlineExceeded(
                f"it was not read within {self.clocks.deadline.total_seconds():.0f} s: "
                f"{pages} pages in {report.requests} requests, "
                f"{report.waited_seconds:.0f} s of it spent waiting as the platform asked."
            ) from None
        finally:
            # Further readings share the memory of the first one.
            if report.page_sizes != shop.page_sizes:
                self.services.registry.keep_page_sizes(shop.partition_key, report.page_sizes)
        return await reading.finish(gone)


def _last_published(shop: RegisteredShop) -> datetime | None:
    """When the shop's last published sync began, a hinted one, too."""
    times = (shop.last_successful_sync_at, shop.last_hinted_sync_at)
    return max((each for each in times if each is not None), default=None)


def _as_connector_error(error: Exception) -> ConnectorError:
    """The error as a ConnectorError. A disk may be full, or files too many, anywhere."""
    if isinstance(error, OSError):
        return ArchiveUnavailable(
            f"a file cannot be written ({type(error).__name__}: {error.strerror})."
        )
    return as_connector_error(error)
