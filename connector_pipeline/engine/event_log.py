"""Dagster's event log, which writes batches of three more kinds of events as batches.

Dagster hands them over as a batch, and its own storage writes planned materializations and checks
one by one, in four transactions each, and refuses evaluations of checks. A run over a hundred
listed shops plans two hundred materializations. Before most events it looks whether their tables
are there: a quarter of the statements of a run of one shop.

Needs: `PostgresEventLogStorage`, which calls `index_connection` wherever it stores what becomes of
a check, and its methods `_store_asset_event`, `prepare_insert_event_batch`, `has_table` and
`_has_asset_key_col_on_connection`. Tried with Dagster 1.13.27, dagster-postgres 0.29.27. A
`store_event_batch` of theirs for these kinds would replace this module.
"""

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from dagster import AssetKey, DagsterEventType, EventLogEntry
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster_postgres import PostgresEventLogStorage
from sqlalchemy import Connection

_PLANNED: Final = DagsterEventType.ASSET_MATERIALIZATION_PLANNED
_OF_CHECKS: Final = {
    DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED,
    DagsterEventType.ASSET_CHECK_EVALUATION,
}


class BatchingEventLog(PostgresEventLogStorage):
    """Writes what is planned, and evaluations of checks, in one transaction."""

    def __init__(self, postgres_url: str):
        """The tables exist: see ConnectorStorage."""
        super().__init__(postgres_url, should_autocreate_tables=False)
        self._batch = threading.local()
        self._tables: set[str] = set()
        self._columns: set[str] = set()

    def has_table(self, table_name: str) -> bool:
        """Whether Dagster's table is there. One that was there is not looked for again."""
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def _has_asset_key_col_on_connection(self, conn: Connection, column_name: str) -> bool:
        found = super()._has_asset_key_col_on_connection
        if column_name not in self._columns and found(conn, column_name):
            self._columns.add(column_name)
        return column_name in self._columns

    def index_connection(self) -> AbstractContextManager[Connection]:
        """A connection of its own; that of the batch for what a batch writes."""
        held: Connection | None = getattr(self._batch, "connection", None)
        return super().index_connection() if held is None else nullcontext(held)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Write the events, all or none. If it raises, Dagster writes them one by one."""
        kinds = {event.get_dagster_event().event_type for event in events}
        if not kinds <= {_PLANNED, *_OF_CHECKS}:
            super().store_event_batch(events)
            return
        with self.index_transaction() as connection:
            self._batch.connection = connection
            try:
                inserted = connection.execute(
                    self.prepare_insert_event_batch(events).returning(SqlEventLogStorageTable.c.id)
                )
                # An asset's row holds its latest event alone.
                latest: dict[AssetKey | None, tuple[EventLogEntry, int]] = {}
                for event, row in zip(events, inserted, strict=True):
                    found = event.get_dagster_event()
                    if found.event_type in _OF_CHECKS:
                        self.store_asset_check_event(event, int(row[0]))
                    else:
                        latest[found.asset_key] = event, int(row[0])
                for event, event_id in latest.values():
                    self._store_asset_event(connection, event, event_id)
            finally:
                self._batch.connection = None
