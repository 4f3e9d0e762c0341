"""Fail runs whose worker is dead, so that Dagster retries them and their shops are synced.

Dagster's default launcher cannot say whether a worker lives. This module looks at all started runs,
not only at those of unfinished syncs: a run whose worker died after it published its last shop
still counts as running, and its partitions as in progress.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from dagster import AssetKey, DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter

from connector_pipeline.assets.catalog_items import catalog_items
from connector_pipeline.assets.raw_products import raw_products
from connector_pipeline.assets.sync_shops import JOB as SYNC_SHOPS
from connector_pipeline.engine.run_tags import has_a_launched_worker, is_of_a_command
from connector_pipeline.postgres.database import Database
from connector_pipeline.state.liveness import Worker, lives, silent

DEAD_FOR: Final = timedelta(seconds=30)
"""How long a process must be gone before its run is failed: another worker of the run may be about
to start."""
UNHEARD_FOR: Final = timedelta(minutes=10)
"""How long a worker must be silent whose process this host cannot see. It may be slow or cut off
from the database for long, and a worker that is wrongly taken for dead would run beside the retry
of its run."""
NEVER_HEARD_FOR: Final = timedelta(minutes=3)
"""How long a started run must lack any sign of life. The worker itself reports that its run has
started, and shows its first sign of life seconds later."""

_ASSETS: Final[frozenset[AssetKey]] = frozenset({raw_products.key, catalog_items.key})


@dataclass(frozen=True, slots=True)
class DeadWorkers:
    """The runs that were failed, and the suspects: runs with a silent worker, and since when."""

    failed_runs: list[str]
    suspects: dict[str, datetime]


@dataclass(frozen=True, slots=True)
class _Silent:
    run: DagsterRun
    worker: Worker | None


def fail_runs_of_dead_workers(
    instance: DagsterInstance,
    database: Database,
    suspects: Mapping[str, datetime],
    *,
    now: datetime,
    is_of_others: Callable[[DagsterRun], bool] = lambda _: False,
) -> DeadWorkers:
    """Fail the runs whose worker is dead. `suspects` are those of the last call, at first none.

    A run that never showed a sign of life in our database is left alone if it `is_of_others`:
    another deployment on the same Dagster storage has its signs. Raises DatabaseUnavailable.
    """
    silent_runs = _silent_runs(instance, database, is_of_others)
    still = {run_id: suspects.get(run_id, now) for run_id in silent_runs}
    dead = [
        run_id
        for run_id, since in still.items()
        if is_dead(
            silent_runs[run_id].worker,
            silent_for=now - since,
            has_no_other=is_of_a_command(silent_runs[run_id].run),
        )
    ]
    for run_id in dead:
        _fail_run(instance, run_id)
    return DeadWorkers(
        failed_runs=dead,
        suspects={run_id: since for run_id, since in still.items() if run_id not in dead},
    )


def is_dead(worker: Worker | None, *, silent_for: timedelta, has_no_other: bool = False) -> bool:
    """Whether a silent worker is dead. Looks for its process if the worker runs on this machine.

    A worker whose process exists is never dead: on a busy machine it may just be late with its
    signs of life. `has_no_other`: no other worker can be about to start in its place.
    """
    if worker is None:
        return silent_for >= NEVER_HEARD_FOR
    process_lives = lives(worker)
    if process_lives is None:
        return silent_for >= UNHEARD_FOR
    return not process_lives and (has_no_other or silent_for >= DEAD_FOR)


def _silent_runs(
    instance: DagsterInstance, database: Database, is_of_others: Callable[[DagsterRun], bool]
) -> dict[str, _Silent]:
    """The started runs that should have a worker and show no sign of life of one."""
    records = instance.get_run_records(RunsFilter(statuses=[DagsterRunStatus.STARTED]))
    runs = {record.dagster_run.run_id: record.dagster_run for record in records}
    started = [run_id for run_id, run in runs.items() if _shows_signs(run)]
    if not started:
        return {}
    with database.connect() as connection:
        found = silent(connection, started)
    return {
        run_id: _Silent(runs[run_id], worker)
        for run_id, worker in found.items()
        # A command executes its run in its own process, and may show its first sign late.
        if worker is not None
        or (has_a_launched_worker(runs[run_id]) and not is_of_others(runs[run_id]))
    }


def _shows_signs(run: DagsterRun) -> bool:
    """Whether this run shows signs of life while it fetches or publishes: only such runs do."""
    return run.job_name == SYNC_SHOPS or not _ASSETS.isdisjoint(run.asset_selection or ())


def _fail_run(instance: DagsterInstance, run_id: str) -> None:
    run = instance.get_run_by_id(run_id)
    if run is not None and run.status is DagsterRunStatus.STARTED:
        instance.report_run_failed(
            run, "Its worker shows no sign of life: it was killed, with its code server or alone."
        )
