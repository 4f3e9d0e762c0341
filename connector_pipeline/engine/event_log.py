"""Dagster's event log, which writes batches of two more kinds of events as batches.

Dagster hands them over as a batch, and its own storage writes planned materializations one by one,
in four transactions each, and refuses evaluations of checks. A run over a hundred listed shops
plans two hundred materializations.

Needs: `PostgresEventLogStorage`, which calls `index_connection` wherever it stores an evaluation,
and its methods `_store_asset_event` and `prepare_insert_event_batch`. Tried with Dagster 1.13.27,
dagster-postgres 0.29.27. A `store_event_batch` of theirs for these kinds would replace this module.
"""

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from dagster import DagsterEventType, EventLogEntry
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster_postgres import PostgresEventLogStorage
from sqlalchemy import Connection

_PLANNED: Final = {DagsterEventType.ASSET_MATERIALIZATION_PLANNED}
_EVALUATED: Final = {DagsterEventType.ASSET_CHECK_EVALUATION}


class BatchingEventLog(PostgresEventLogStorage):
    """Writes planned materializations, or evaluations of checks, in one transaction."""

    def __init__(self, postgres_url: str):
        """The tables exist: see ConnectorStorage."""
        super().__init__(postgres_url, should_autocreate_tables=False)
        self._batch = threading.local()

    def index_connection(self) -> AbstractContextManager[Connection]:
        """A connection of its own; that of the batch for what a batch writes."""
        held: Connection | None = getattr(self._batch, "connection", None)
        return super().index_connection() if held is None else nullcontext(held)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Write the events, all or none. If it raises, Dagster writes them one by one."""
        kinds = {event.get_dagster_event().event_type for event in events}
        if kinds not in (_PLANNED, _EVALUATED):
            super().store_event_batch(events)
            return
        with self.index_transaction() as connection:
            self._batch.connection = connection
            try:
                inserted = connection.execute(
                    self.prepare_insert_event_batch(events).returning(SqlEventLogStorageTable.c.id)
                )
                stored = list(zip(events, (int(row[0]) for row in inserted), strict=True))
                if kinds == _EVALUATED:
                    for event, event_id in stored:
                        self.store_asset_check_event(event, event_id)
                else:
                    # An asset's row holds its latest event alone.
                    latest = {each[0].get_dagster_event().asset_key: each for each in stored}
                    for event, event_id in latest.values():
                        self._store_asset_event(connection, event, event_id)
            finally:
                self._batch.connection = None
