"""Take a shop out of Dagster's storage: its partition, its runs, and every text that names it.

Dagster keeps a shop's partition key and domain in many places: events, run config, tags, the latest
materialization of an asset, its cached status, ticks and cursors of sensors, backfills. It cannot
delete a partition's history (`wipe_asset_partitions` of its SQL storages raises
NotImplementedError).

- Runs of this shop alone are deleted whole, with their captured output.
- Events of the shop's partition go, and lines of a run's log that name the shop.
- Every other text that names it (the failure of a run over many shops, say) gets PLACEHOLDER in its
  place, so that the runs and partitions of other shops stay as they are.

Needs: the tables of Dagster's Postgres storage, the storage's engine, and the folder of the local
compute logs. Before anything is deleted, the schema revision of the tables is compared with those
that pruning was tried with. Tried with Dagster 1.13.27. A public function that wipes partitions
would replace the part about events.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from dagster import DagsterInstance, DagsterRun, RunsFilter
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster_postgres import PostgresEventLogStorage

from connector_pipeline.engine.pruning import (
    CHECKS,
    NotPostgres,
    Pruned,
    delete_runs,
    refuse_unknown_revision,
)
from connector_pipeline.model.name_in_texts import PLACEHOLDER, pattern, replace_in_file

_AT_ONCE: Final = 1_000
"""Rows that one transaction deletes or changes."""


def _names_it(column: str) -> str:
    # In this order, which a planner would turn around for AND: the pattern takes a hundred times as
    # long as the search for the plain text.
    return f"CASE WHEN strpos({column}, :domain) > 0 THEN {column} ~ :pattern ELSE false END"


_TAGGED: Final = sa.text(
    f"SELECT DISTINCT run_id FROM run_tags WHERE {_names_it('value')}"  # noqa: S608  our own words
)
_CONFIGURED: Final = sa.text(f"SELECT run_id FROM runs WHERE {_names_it('run_body')}")  # noqa: S608
_OF_PARTITION: Final = sa.text("SELECT id FROM event_logs WHERE partition = :key")
# The one look at every event: texts in them have no index.
_NAMING: Final = sa.text(
    "SELECT id, run_id, dagster_event_type IS NULL AS line FROM event_logs"  # noqa: S608
    f" WHERE {_names_it('event')}"
)
_DELETE_TAGS: Final = sa.text("DELETE FROM asset_event_tags WHERE event_id = ANY(:ids)")
_DELETE_EVENTS: Final = sa.text("DELETE FROM event_logs WHERE id = ANY(:ids)")
_REWRITE_EVENTS: Final = sa.text(
    "UPDATE event_logs SET event = regexp_replace(event, :pattern, :placeholder, 'g')"
    " WHERE id = ANY(:ids)"
)
# Dagster computes both anew: from the next materialization, and from the events.
_FORGET_LATEST: Final = sa.text(
    "UPDATE asset_keys SET last_materialization = NULL, cached_status_data = NULL"  # noqa: S608
    f" WHERE {_names_it('last_materialization')} OR {_names_it('cached_status_data')}"
)
_TEXT_COLUMNS: Final = sa.text(
    "SELECT table_name, column_name FROM information_schema.columns"
    " JOIN information_schema.tables USING (table_schema, table_name)"
    " WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'"
    " AND data_type IN ('text', 'character varying')"
    " AND table_name <> 'event_logs' ORDER BY 1, 2"
)


@dataclass(slots=True)
class Erased:
    """How many runs and events were deleted, and in how many rows the placeholder stands now."""

    runs: int = 0
    events: int = 0
    rewritten: int = 0


def erase_mentions(
    instance: DagsterInstance,
    *,
    partitions_name: str,
    key: str,
    domain: str,
    is_of_it_alone: Callable[[DagsterRun], bool],
) -> Erased:
    """Delete what Dagster has of the partition `key`, and take its `domain` out of other texts.

    No run of it may be under way. `is_of_it_alone` says which of the runs that name it are of no
    other shop. Begins anew after a kill: each step deletes what it finds. Raises NotPostgres and
    UnknownRevision.
    """
    storage = instance.event_log_storage
    if not isinstance(storage, PostgresEventLogStorage):
        raise NotPostgres(f"Dagster's storage is {type(storage).__name__}, not Postgres.")
    engine = storage._engine.execution_options(  # pyright: ignore[reportPrivateUsage]  # no other
        isolation_level="READ COMMITTED"
    )
    with engine.begin() as connection:
        refuse_unknown_revision(connection)
    instance.delete_dynamic_partition(partitions_name, key)
    names: dict[str, Any] = {
        "key": key,
        "domain": domain,
        "pattern": pattern(domain),
        "placeholder": PLACEHOLDER,
    }
    erased = Erased()
    naming = _runs_that_name_it(engine, names)
    alone = [run.run_id for run in _runs(instance, naming) if is_of_it_alone(run)]
    _delete_runs(engine, alone, erased)
    naming |= _erase_events(engine, names, erased)
    _rewrite_texts(engine, names, erased)
    for run_id in alone:
        with suppress(NotImplementedError, FileNotFoundError):
            instance.compute_log_manager.delete_logs(prefix=[run_id])
    for file in _captured_output(instance, naming - set(alone)):
        replace_in_file(file, domain)
    return erased


def _runs_that_name_it(engine: sa.Engine, names: dict[str, Any]) -> set[str]:
    with engine.begin() as connection:
        return {
            run_id
            for query in (_TAGGED, _CONFIGURED)
            for run_id in connection.execute(query, names).scalars()
        }


def _runs(instance: DagsterInstance, run_ids: set[str]) -> Iterator[DagsterRun]:
    for ids in _batches(sorted(run_ids)):
        yield from instance.get_runs(RunsFilter(run_ids=ids))


def _delete_runs(engine: sa.Engine, run_ids: Sequence[str], erased: Erased) -> None:
    pruned = Pruned()
    for ids in _batches(run_ids, 50):
        with engine.begin() as connection:
            checks = [dict[str, Any](row) for row in connection.execute(CHECKS).mappings()]
            delete_runs(connection, ids, checks, pruned)
    erased.runs += pruned.runs
    erased.events += pruned.events


def _erase_events(engine: sa.Engine, names: dict[str, Any], erased: Erased) -> set[str]:
    """Delete the partition's events and lines that name it, rewrite others. Returns their runs."""
    with engine.begin() as connection:
        of_it = set(connection.execute(_OF_PARTITION, names).scalars())
        naming = connection.execute(_NAMING, names).all()
    to_delete = sorted(of_it | {row.id for row in naming if row.line})
    to_rewrite = sorted({row.id for row in naming} - set(to_delete))
    for ids in _batches(to_delete):
        with engine.begin() as connection:
            connection.execute(_DELETE_TAGS, {"ids": ids})
            erased.events += connection.execute(_DELETE_EVENTS, {"ids": ids}).rowcount
    for ids in _batches(to_rewrite):
        with engine.begin() as connection:
            values = {**names, "ids": ids}
            erased.rewritten += connection.execute(_REWRITE_EVENTS, values).rowcount
    # A sensor's report has no run, and its empty id would stand for the output of all runs.
    return {str(row.run_id) for row in naming if row.run_id}


def _rewrite_texts(engine: sa.Engine, names: dict[str, Any], erased: Erased) -> None:
    with engine.begin() as connection:
        erased.rewritten += connection.execute(_FORGET_LATEST, names).rowcount
        columns = connection.execute(_TEXT_COLUMNS).all()
    for table, column in columns:
        quoted = f'"{column}"'
        with engine.begin() as connection:
            erased.rewritten += connection.execute(
                sa.text(
                    f'UPDATE "{table}" SET {quoted} = '  # noqa: S608  Dagster's own names
                    f"regexp_replace({quoted}, :pattern, :placeholder, 'g') "
                    f"WHERE {_names_it(quoted)}"
                ),
                names,
            ).rowcount


def _captured_output(instance: DagsterInstance, run_ids: set[str]) -> Iterator[Path]:
    manager = instance.compute_log_manager
    if isinstance(manager, LocalComputeLogManager):
        base = Path(manager._base_dir)  # pyright: ignore[reportPrivateUsage]  # no other
        for run_id in run_ids:
            yield from (path for path in (base / run_id).rglob("*") if path.is_file())


def _batches(ids: Sequence[Any], most: int = _AT_ONCE) -> Iterator[list[Any]]:
    for start in range(0, len(ids), most):
        yield list(ids[start : start + most])
