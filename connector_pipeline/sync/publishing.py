"""Publish the newest snapshots of a run's shops, each shop in a transaction of its own."""

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from connector_pipeline.archive.manifest import SnapshotManifest
from connector_pipeline.catalog.publish import publish
from connector_pipeline.catalog.read import preview
from connector_pipeline.model.errors import ConnectorError, DatabaseUnavailable
from connector_pipeline.model.sync import Sync
from connector_pipeline.platforms.adapters import adapter_of
from connector_pipeline.state.registry import registered_shop
from connector_pipeline.state.sync_log import PublishCounts
from connector_pipeline.sync.log_context import log_as, log_as_none
from connector_pipeline.sync.outcomes import Outcomes, as_connector_error
from connector_pipeline.sync.run_identity import RunIdentity
from connector_pipeline.sync.services import SyncServices

PUBLISHED_AT_ONCE: Final = 2
"""Shops published at a time: one is normalized while Postgres compares the other. On two cores a
hundred shops of twenty variants take 2.3 s instead of 3.0 s; three at a time are no faster."""

_PREVIEW_ROWS: Final = 5


@dataclass(frozen=True, slots=True)
class Published:
    """A published snapshot: its manifest, the counts of its changes, and a few rows of the shop."""

    manifest: SnapshotManifest
    counts: PublishCounts
    preview: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class NotPublished:
    """The error of a shop that was not published; `sync` is None if no snapshot was found."""

    error: ConnectorError
    sync: Sync | None


@dataclass(frozen=True, slots=True)
class ShopPublisher:
    """Publishes shops on behalf of one run. `allow_shrink` turns the guard off for them."""

    services: SyncServices
    run: RunIdentity
    allow_shrink: bool

    def publish(self, partition_key: str) -> Published | NotPublished:
        """Publish the shop, unless the crashed run that this run retries has published it.

        Raises nothing: an error is returned as NotPublished.
        """
        sync = None
        log_as_none()
        try:
            shop = registered_shop(self.services.registry, partition_key)
            snapshot = self.services.raw_archive.latest(partition_key)
            manifest = snapshot.manifest
            sync = manifest.sync
            log_as(sync.sync_id, sync.correlation_id)
            counts = None
            if self.run.is_retry:
                # Published once more, all items would be counted as unchanged.
                counts = self.services.registry.published(sync.sync_id, self.run.root_run_id)
            adapter = adapter_of(shop, self.services.adapters)
            with self.services.database.connect() as connection:
                if counts is None:
                    counts = publish(
                        connection,
                        shop=shop,
                        sync=sync,
                        complete=manifest.complete,
                        gone=manifest.gone,
                        absences_confirmed=manifest.absences_confirmed,
                        rows=adapter.rows(shop, manifest.currency, snapshot.pages()),
                        whole_products=adapter.whole_products,
                        allow_shrink=self.allow_shrink,
                        published_by=self.run.root_run_id,
                    )
                rows = preview(connection, partition_key, limit=_PREVIEW_ROWS)
        except Exception as error:
            return NotPublished(as_connector_error(error), sync)
        return Published(manifest, counts, rows)

    def record_failure(self, failed: NotPublished) -> None:
        """Record that the shop's sync failed, and that this run does not try it again."""
        if failed.sync is not None:
            log_as(failed.sync.sync_id, failed.sync.correlation_id)
            # If the database is down, the failure of the shop's partition still reports the error.
            with suppress(DatabaseUnavailable):
                self.services.registry.fail_sync(failed.sync.sync_id, failed.error)


def publish_in_two_rounds(
    publisher: ShopPublisher,
    partition_keys: Sequence[str],
    outcomes: Outcomes[Published],
    *,
    again_after: float,
) -> None:
    """Publish every shop; try retryable failures once more, `again_after` seconds later."""
    postponed: list[str] = []
    for key, outcome in _each(publisher, partition_keys):
        if isinstance(outcome, Published):
            outcomes.succeed(key, outcome)
        elif outcome.error.retryable:
            outcomes.postpone(key, outcome.error)
            postponed.append(key)
        else:
            _fail(publisher, outcomes, key, outcome)
    if postponed:
        time.sleep(again_after)
    for key, outcome in _each(publisher, postponed):
        if isinstance(outcome, Published):
            outcomes.succeed(key, outcome)
        else:
            _fail(publisher, outcomes, key, outcome)
    log_as_none()


def _each(
    publisher: ShopPublisher, partition_keys: Sequence[str]
) -> Iterator[tuple[str, Published | NotPublished]]:
    """Publish the shops, PUBLISHED_AT_ONCE at a time; yield each one's outcome in their order."""
    with ThreadPoolExecutor(PUBLISHED_AT_ONCE, thread_name_prefix="publish") as threads:
        published = threads.map(publisher.publish, partition_keys)
        yield from zip(partition_keys, published, strict=True)


def _fail(
    publisher: ShopPublisher, outcomes: Outcomes[Published], key: str, failed: NotPublished
) -> None:
    publisher.record_failure(failed)
    outcomes.fail(key, failed.error)
    log_as_none()
