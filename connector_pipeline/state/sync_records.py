"""The record of the shops' syncs, for callers without a transaction of their own.

A publish records its success in its own transaction, by `sync_success`.
"""

from dataclasses import dataclass
from datetime import datetime

from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.model.shop import Shop
from connector_pipeline.model.sync import Sync
from connector_pipeline.postgres.database import Database
from connector_pipeline.state import refusals, sync_failure, sync_log
from connector_pipeline.state.refusals import Refusal
from connector_pipeline.state.sync_log import PublishCounts, SyncProgress


@dataclass(frozen=True, slots=True)
class SyncRecords:
    """What is on record of syncs, and a way to record more. Many threads may use it at once.

    Every method is a transaction of its own and may raise DatabaseUnavailable.
    """

    database: Database

    def start(self, sync: Sync, shop: Shop, run_id: str | None = None) -> None:
        """Record that a sync runs. See sync_log.start."""
        with self.database.connect_for_statements() as connection:
            sync_log.start(connection, sync, shop, run_id)

    def record_progress(
        self,
        sync_id: str,
        *,
        pages: int,
        requests: int,
        waited_seconds: float = 0.0,
        fetched_at: datetime | None = None,
    ) -> None:
        """Record how far a running sync is. See sync_log.record_progress."""
        with self.database.connect_for_statements() as connection:
            sync_log.record_progress(
                connection,
                sync_id,
                pages=pages,
                requests=requests,
                waited_seconds=waited_seconds,
                fetched_at=fetched_at,
            )

    def progress(self, sync_id: str) -> SyncProgress | None:
        """How far a sync is, or None if there is no record of it."""
        with self.database.connect() as connection:
            return sync_log.progress(connection, sync_id)

    def publish_counts(self, sync_id: str, published_by: str) -> PublishCounts | None:
        """The counts of a sync's publish, if this run did it. See sync_log.publish_counts."""
        with self.database.connect() as connection:
            return sync_log.publish_counts(connection, sync_id, published_by)

    def refuse(
        self, sync: Sync, shop: Shop, error: ConnectorError, run_id: str | None = None
    ) -> None:
        """Record a sync that failed before it began. See sync_failure.refuse."""
        with self.database.connect() as connection:
            sync_failure.refuse(connection, sync, shop, error, run_id)

    def fail(
        self, sync_id: str, error: ConnectorError, *, refusal: Refusal = refusals.UNKNOWN
    ) -> ConnectorError:
        """Record that a sync failed, on its shop too; return the error as recorded.

        See sync_failure.fail.
        """
        with self.database.connect() as connection:
            return sync_failure.fail(connection, sync_id, error, refusal=refusal)
