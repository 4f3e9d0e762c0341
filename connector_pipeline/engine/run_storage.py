"""Dagster's storage of runs, which notes whose a run is that nobody launched.

`sync`, `backfill` without a daemon and `dg launch` execute their runs in their own process. Dagster
stores such a run without an origin: its UI then cannot execute it again, because it does not know
where the job is. No public call that executes a run in process takes an origin, and `dg launch`
calls none of ours. So the storage adds it, which every run goes through.

Needs: `PostgresRunStorage.add_run`, which stores a new run and returns it; its methods
`has_run_stats_index_cols` and `has_backfill_id_column`; that Dagster gives every run an origin that
a code server executes; the tag by which a run sets its own number of retries.
Tried with Dagster 1.13.27, dagster-postgres 0.29.27. An origin that `execute_in_process` takes, and
that `dg launch` sets, would replace this module.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Final

from dagster import DagsterRun
from dagster._core.storage.tags import CODE_LOCATION_TAG, MAX_RETRIES_TAG
from dagster_postgres import PostgresRunStorage

from connector_pipeline.engine.code_location import with_origin
from connector_pipeline.engine.code_server import DEFINITIONS_MODULE, LOCATION_NAME
from connector_pipeline.engine.run_tags import EXECUTED_BY_A_COMMAND, is_of_a_command
from connector_pipeline.settings import load_settings

if TYPE_CHECKING:
    from dagster._core.execution.backfill import (
        BulkActionsFilter,
        BulkActionStatus,
        PartitionBackfill,
    )

_NEVER_RETRIED: Final = "0"


class MarkingRunStorage(PostgresRunStorage):
    """Stores a run without an origin as a command's, with this project's origin."""

    def __init__(self, postgres_url: str):
        """The tables exist: see ConnectorStorage."""
        super().__init__(postgres_url, should_autocreate_tables=False)
        self._has_stats = self._has_backfill_id = False

    def add_run(self, dagster_run: DagsterRun) -> DagsterRun:
        """Store the run. Raises SettingsError."""
        return super().add_run(_marked(dagster_run))

    def has_run_stats_index_cols(self) -> bool:
        """Whether Dagster's table has these columns. Dagster asks at each change of a status."""
        if not self._has_stats:
            self._has_stats = super().has_run_stats_index_cols()
        return self._has_stats

    def has_backfill_id_column(self) -> bool:
        """Whether Dagster's table has this column. Dagster asks at each change of a status."""
        if not self._has_backfill_id:
            self._has_backfill_id = super().has_backfill_id_column()
        return self._has_backfill_id

    def get_backfill(self, backfill_id: str) -> "PartitionBackfill | None":
        """The backfill, if it is stored."""
        _import_backfills()
        return super().get_backfill(backfill_id)

    def get_backfills(
        self,
        filters: "BulkActionsFilter | None" = None,
        cursor: str | None = None,
        limit: int | None = None,
        status: "BulkActionStatus | None" = None,
    ) -> "Sequence[PartitionBackfill]":
        """The stored backfills, the newest first."""
        _import_backfills()
        return super().get_backfills(filters, cursor, limit, status)

    def get_backfills_count(self, filters: "BulkActionsFilter | None" = None) -> int:
        """How many backfills are stored."""
        _import_backfills()
        return super().get_backfills_count(filters)


def _import_backfills() -> None:
    # Dagster reads an object back only if its class was imported, and a command leaves it out
    # (engine/unused_imports.py).
    import_module("dagster._core.execution.backfill")


def _marked(run: DagsterRun) -> DagsterRun:
    if run.remote_job_origin is not None:
        return _without_copied_marks(run)
    if not _may_be_ours(run):
        return run
    marks = {
        EXECUTED_BY_A_COMMAND: run.run_id,
        CODE_LOCATION_TAG: LOCATION_NAME,
        # Whoever started the command knows how it ended, and may have ended it.
        MAX_RETRIES_TAG: _NEVER_RETRIED,
    }
    return with_origin(run.with_tags({**run.tags, **marks}), load_settings().code_server)


def _without_copied_marks(run: DagsterRun) -> DagsterRun:
    """The run without the marks of a command's run that it executes again: it is nobody's."""
    if EXECUTED_BY_A_COMMAND not in run.tags or is_of_a_command(run):
        return run
    copied = (EXECUTED_BY_A_COMMAND, MAX_RETRIES_TAG)
    return run.with_tags({name: value for name, value in run.tags.items() if name not in copied})


def _may_be_ours(run: DagsterRun) -> bool:
    """Not if the run says that its job is of another module: another project's, in this storage."""
    if run.job_code_origin is None:
        return True
    pointer = run.job_code_origin.repository_origin.code_pointer
    return getattr(pointer, "module", None) == DEFINITIONS_MODULE
