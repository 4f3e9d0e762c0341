"""Fail runs whose worker is dead, so that Dagster retries them and their shops are synced.

A worker is the process that executes a run, whichever launcher started it. This module goes by the
signs of life in `connector.run_workers` (state/liveness.py). It looks at all runs at work, not only
at those of unfinished syncs: a run whose worker died after it published its last shop still counts
as running, and its partitions as in progress.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from dagster import AssetKey, DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter

from connector_pipeline.assets.catalog_items import catalog_items
from connector_pipeline.assets.raw_products import raw_products
from connector_pipeline.assets.sync_shops import JOB as SYNC_SHOPS
from connector_pipeline.engine.run_tags import is_of_a_command
from connector_pipeline.postgres.database import Database
from connector_pipeline.state.liveness import UNHEARD_FOR, Silence, lives, silent

DEAD_FOR: Final = timedelta(seconds=30)
"""How long a process must be gone before its run is failed: another worker of the run may be about
to start."""
SEEN_SILENT_FOR: Final = timedelta(seconds=15)
"""How long we must have seen a worker's silence before we believe it: three signs. After an outage
of the database all workers have been silent, and those that go on show a sign soon."""
BUSY_FOR: Final = timedelta(minutes=5)
"""How long a worker must be silent whose process exists on this host. Its fence should have ended
it, so the machine hardly gives it any time; and a sign would come late, too."""
NEVER_HEARD_FOR: Final = timedelta(minutes=2)
"""How long a started run must lack any sign of life. The worker itself reports that its run has
started, and shows its first sign of life before that or seconds later."""

_AT_WORK: Final = [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED]
_ASSETS: Final[frozenset[AssetKey]] = frozenset({raw_products.key, catalog_items.key})


@dataclass(frozen=True, slots=True)
class DeadWorkers:
    """The runs that were failed, and the suspects: runs with a silent worker, and since when."""

    failed_runs: list[str]
    suspects: dict[str, datetime]


@dataclass(frozen=True, slots=True)
class _Silent:
    run: DagsterRun
    silence: Silence


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
            silent_runs[run_id].silence,
            seen_for=now - since,
            has_no_other=is_of_a_command(silent_runs[run_id].run),
        )
    ]
    for run_id in dead:
        _fail_run(instance, run_id)
    return DeadWorkers(
        failed_runs=dead,
        suspects={run_id: since for run_id, since in still.items() if run_id not in dead},
    )


def is_dead(silence: Silence, *, seen_for: timedelta, has_no_other: bool = False) -> bool:
    """Whether a silent worker is dead. Looks for its process if the worker runs on this machine.

    `seen_for`: how long we have seen it silent. `has_no_other`: no other worker can be about to
    start in its place.
    """
    if silence.worker is None or silence.lasted is None:
        return seen_for >= NEVER_HEARD_FOR
    process_lives = lives(silence.worker)
    if process_lives is False:
        return has_no_other or seen_for >= DEAD_FOR
    unheard = BUSY_FOR if process_lives else UNHEARD_FOR
    return seen_for >= SEEN_SILENT_FOR and silence.lasted >= unheard


def _silent_runs(
    instance: DagsterInstance, database: Database, is_of_others: Callable[[DagsterRun], bool]
) -> dict[str, _Silent]:
    """The runs at work that should have a worker and show no sign of life of one."""
    records = instance.get_run_records(RunsFilter(statuses=_AT_WORK))
    runs = {record.dagster_run.run_id: record.dagster_run for record in records}
    if not runs:
        return {}
    with database.connect() as connection:
        found = silent(connection, runs)
    return {
        run_id: _Silent(runs[run_id], silence)
        for run_id, silence in found.items()
        if silence.worker is not None or _lacks_signs(runs[run_id], is_of_others)
    }


def _lacks_signs(run: DagsterRun, is_of_others: Callable[[DagsterRun], bool]) -> bool:
    """Whether a run that never showed a sign of life should have shown one in our database.

    A run that is about to start has `start_timeout_seconds` of dagster.yaml for it. A run of a
    command has no origin that would tell whose it is.
    """
    return (
        run.status is DagsterRunStatus.STARTED
        and _shows_signs(run)
        and not is_of_a_command(run)
        and not is_of_others(run)
    )


def _shows_signs(run: DagsterRun) -> bool:
    """Whether this run shows signs of life under every launcher: runs of other jobs need not."""
    return run.job_name == SYNC_SHOPS or not _ASSETS.isdisjoint(run.asset_selection or ())


def _fail_run(instance: DagsterInstance, run_id: str) -> None:
    run = instance.get_run_by_id(run_id)
    if run is not None and run.status in _AT_WORK:
        instance.report_run_failed(
            run, "Its worker shows no sign of life: it was killed, alone or with its machine."
        )
