"""Publish the newest snapshots of a run's shops, each shop in a transaction of its own."""

import logging
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any, Final, Self

from connector_pipeline.archive.manifest import SnapshotManifest
from connector_pipeline.catalog.examples import Examples, ShopAfter
from connector_pipeline.catalog.publish import publish
from connector_pipeline.catalog.read import live_count, preview
from connector_pipeline.model import tracing
from connector_pipeline.model.errors import ConnectorError, DatabaseUnavailable, SnapshotMissing
from connector_pipeline.model.sync import Sync
from connector_pipeline.model.sync_type import SyncType
from connector_pipeline.platforms.adapters import adapter_of
from connector_pipeline.platforms.kit.remarks import Remarks
from connector_pipeline.state import freshness
from connector_pipeline.state.freshness import Freshness
from connector_pipeline.state.registry import shop_on_record
from connector_pipeline.state.sync_log import PublishCounts
from connector_pipeline.sync.log_context import log_as, log_as_none
from connector_pipeline.sync.outcomes import Outcomes, as_connector_error
from connector_pipeline.sync.run_identity import RunIdentity
from connector_pipeline.sync.services import SyncServices

PUBLISHED_AT_ONCE: Final = 2
"""Shops published at a time: one is normalized while Postgres compares the other. On two cores a
hundred shops of twenty variants take 2.3 s instead of 3.0 s; three at a time are no faster."""

_PREVIEW_ROWS: Final = 5

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Published:
    """A published snapshot: its manifest, the counts of its changes, and a few rows of the shop.

    `warnings` are those of normalizing, and of deletions that an increment does not make. The
    warnings of the fetch are in the manifest. `freshness` is None if nothing states it. `live` is
    the number of the shop's live rows, and `seconds` is how long normalizing and publishing took.
    """

    manifest: SnapshotManifest
    counts: PublishCounts
    preview: Sequence[Mapping[str, Any]]
    warnings: Sequence[str] = ()
    freshness: Freshness | None = None
    live: int = 0
    examples: Examples = field(default_factory=Examples)
    seconds: float = 0.0
    admin_url: str | None = None


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

    def publish(
        self, partition_key: str, fetched: SnapshotManifest | None = None
    ) -> Published | NotPublished:
        """Publish the shop's newest snapshot, unless the run that this run retries has done so.

        A hinted snapshot is published by the run that made it alone: the newest one is always of
        the whole shop, or of its changes.

        `fetched` is the snapshot that this run has just made: an older one is not published in its
        place. Raises nothing: an error is returned as NotPublished.
        """
        sync = None if fetched is None else fetched.sync
        began = time.monotonic()
        log_as_none()
        try:
            archive = self.services.raw_archive
            if fetched is not None and fetched.sync.sync_type is SyncType.HINTED:
                snapshot = archive.snapshot(fetched)
            else:
                snapshot = archive.latest(partition_key)
            manifest = snapshot.manifest
            if fetched is not None and manifest.finished_at < fetched.finished_at:
                raise SnapshotMissing(
                    "the raw archive has lost the manifest of the snapshot "
                    f"{fetched.sync.sync_id}, which this run has just written.",
                    partition_key=partition_key,
                    remedy="See whether another program deletes files there; sync the shop again.",
                )
            sync = manifest.sync
            self._log_as(sync)
            with tracing.of_sync(sync.sync_id), tracing.span("publish") as publishing:
                counts = None
                if self.run.is_retry:
                    # Published once more, all items would be counted as unchanged.
                    counts = self.services.sync_records.publish_counts(
                        sync.sync_id, self.run.root_run_id
                    )
                remarks, refused, after = Remarks(), list[str](), list[ShopAfter]()
                with self.services.database.connect_for_statements() as connection:
                    shop = shop_on_record(connection, partition_key)
                    adapter = adapter_of(shop, self.services.adapters)
                    if counts is None:
                        counts = publish(
                            connection,
                            shop=shop,
                            sync=sync,
                            complete=manifest.complete,
                            all_read=manifest.all_read,
                            currency=manifest.currency,
                            learned=manifest.learned,
                            as_of=manifest.as_of,
                            gone=manifest.gone,
                            absences_confirmed=manifest.absences_confirmed,
                            not_yet=manifest.not_yet,
                            rows=adapter.rows(shop, manifest.currency, snapshot.pages(), remarks),
                            whole_products=adapter.has_whole_products(sync.sync_type),
                            allow_shrink=self.allow_shrink,
                            published_by=self.run.root_run_id,
                            warn=refused.append,
                            note=after.append,
                        )
                    if not after:
                        after.append(ShopAfter(live_count(connection, partition_key), Examples()))
                    fresh = freshness.of_sync(connection, sync.sync_id)
                    rows = preview(connection, partition_key, limit=_PREVIEW_ROWS)
                publishing.set(**asdict(counts))
        except Exception as error:
            return NotPublished(as_connector_error(error), sync)
        _log.info("the sync is published: %s", counts)
        self._end_trace(sync, counts=counts)
        return Published(
            manifest,
            counts,
            rows,
            [*remarks.warnings(), *refused],
            fresh,
            live=after[-1].live,
            examples=after[-1].examples,
            seconds=time.monotonic() - began,
            admin_url=adapter.admin_url(shop),
        )

    def record_failure(self, failed: NotPublished) -> None:
        """Record that the shop's sync failed, and that this run does not try it again."""
        if failed.sync is not None:
            self._log_as(failed.sync)
            # If the database is down, the failure of the shop's partition still reports the error.
            with suppress(DatabaseUnavailable):
                self.services.sync_records.fail(failed.sync.sync_id, failed.error)
            _log.info("the sync has failed: %s: %s", failed.error.code, failed.error)
            self._end_trace(failed.sync, error=failed.error)

    def _end_trace(
        self, sync: Sync, *, counts: PublishCounts | None = None, error: Exception | None = None
    ) -> None:
        tracing.end_sync(
            sync.sync_id,
            since=sync.started_at,
            error=error,
            shop=sync.partition_key,
            correlation_id=sync.correlation_id,
            run_id=self.run.run_id,
            sync_type=sync.sync_type.value,
            **({} if counts is None else asdict(counts)),
        )

    def _log_as(self, sync: Sync) -> None:
        log_as(sync.sync_id, sync.correlation_id, shop=sync.partition_key, run_id=self.run.run_id)


class Publishes:
    """Publishes the shops of a run, PUBLISHED_AT_ONCE at a time, each as soon as it is submitted.

    A context manager. Its end waits for the shops that are being published, and leaves out those
    that were not begun: after `to_the_end` there are none.
    """

    def __init__(self, publisher: ShopPublisher, outcomes: Outcomes[Published]):
        self._publisher = publisher
        self._outcomes = outcomes
        self._threads = ThreadPoolExecutor(PUBLISHED_AT_ONCE, thread_name_prefix="publish")
        self._postponed: list[str] = []
        self._fetched: dict[str, SnapshotManifest] = {}
        self._submitted: deque[tuple[str, Future[Published | NotPublished], bool]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._settle(wait=False)

    def submit(self, partition_key: str, fetched: SnapshotManifest | None = None) -> None:
        """Publish the shop as soon as there is a thread for it; do not wait.

        `fetched` is the snapshot that this run has just made of it.
        """
        if fetched is not None:
            self._fetched[partition_key] = fetched
        self._begin(partition_key, last_round=False)
        self._settle(wait=False)

    def to_the_end(self, *, again_after: float) -> None:
        """Wait for all; try retryable failures once more, `again_after` seconds later."""
        self._settle(wait=True)
        if self._postponed:
            time.sleep(again_after)
            for key in self._postponed:
                self._begin(key, last_round=True)
            self._settle(wait=True)

    def _begin(self, partition_key: str, *, last_round: bool) -> None:
        future = self._threads.submit(self._publish, partition_key, last_round=last_round)
        self._submitted.append((partition_key, future, last_round))

    def _publish(self, partition_key: str, *, last_round: bool) -> Published | NotPublished:
        outcome = self._publisher.publish(partition_key, self._fetched.get(partition_key))
        if isinstance(outcome, NotPublished) and (last_round or not outcome.error.retryable):
            self._publisher.record_failure(outcome)
        return outcome

    def _settle(self, *, wait: bool) -> None:
        """Report the outcomes in the order of submission: those that are known, or all."""
        while self._submitted and (wait or self._submitted[0][1].done()):
            key, future, last_round = self._submitted[0]
            if not future.cancelled():
                self._report(key, future.result(), last_round=last_round)
            # Only now: an interrupt of the wait must not lose the outcome of a shop that goes on.
            self._submitted.popleft()

    def _report(self, key: str, outcome: Published | NotPublished, *, last_round: bool) -> None:
        if isinstance(outcome, Published):
            for warning in outcome.warnings:
                self._outcomes.warn(key, warning)
            self._outcomes.succeed(key, outcome)
        elif outcome.error.retryable and not last_round:
            self._outcomes.postpone(key, outcome.error)
            self._postponed.append(key)
        else:
            self._outcomes.fail(key, outcome.error)
