"""Fail runs whose worker is dead: Dagster then retries them, and their shops are synced.

Dagster's default launcher cannot say whether a worker lives. All started runs are looked at, not
only those of unfinished syncs: a run that died when it had published its last shop keeps its place
among the runs at once, and its partitions in progress.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from dagster import AssetKey, DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter

from connector_pipeline.assets.catalog_items import catalog_items
from connector_pipeline.assets.raw_products import raw_products
from connector_pipeline.assets.sync_shops import JOB as SYNC_SHOPS
from connector_pipeline.automation.sync_requests import sync_shop
from connector_pipeline.engine.run_tags import has_a_launched_worker
from connector_pipeline.postgres.database import Database
from connector_pipeline.state.liveness import Worker, lives, silent

DEAD_FOR: Final = timedelta(seconds=30)
"""Between two looks at a process that is gone: another one of its run may be on its way."""
UNHEARD_FOR: Final = timedelta(minutes=10)
"""A worker that cannot be looked at from here may be slow, or cut off from the database, for long;
to take one that lives for dead would start its run twice."""
NEVER_HEARD_FOR: Final = timedelta(minutes=3)
"""A worker itself says that its run has started, and shows its first sign of life seconds later."""

_ASSETS: Final[frozenset[AssetKey]] = frozenset({raw_products.key, catalog_items.key})
_JOBS: Final = frozenset({sync_shop.name, SYNC_SHOPS})


@dataclass(frozen=True, slots=True)
class DeadWorkers:
    """The runs that were failed, and those whose worker is silent, with the time since when."""

    failed_runs: list[str]
    suspects: dict[str, datetime]


def fail_runs_of_dead_workers(
    instance: DagsterInstance,
    database: Database,
    suspects: Mapping[str, datetime],
    *,
    now: datetime,
) -> DeadWorkers:
    """Fail the runs whose worker is dead; `suspects` are those that were silent at the last look.

    Raises DatabaseUnavailable.
    """
    silent_runs = _silent_runs(instance, database)
    still = {run_id: suspects.get(run_id, now) for run_id in silent_runs}
    dead = [
        run_id
        for run_id, since in still.items()
        if is_dead(silent_runs[run_id], silent_for=now - since)
    ]
    for run_id in dead:
        _fail_run(instance, run_id)
    return DeadWorkers(
        failed_runs=dead,
        suspects={run_id: since for run_id, since in still.items() if run_id not in dead},
    )


def is_dead(worker: Worker | None, *, silent_for: timedelta) -> bool:
    """Whether a silent worker is dead: its process is looked for, where that can be.

    Never where the process exists: on a busy machine a healthy worker may not come to say so.
    """
    if worker is None:
        return silent_for >= NEVER_HEARD_FOR
    process_lives = lives(worker)
    if process_lives is None:
        return silent_for >= UNHEARD_FOR
    return not process_lives and silent_for >= DEAD_FOR


def _silent_runs(instance: DagsterInstance, database: Database) -> dict[str, Worker | None]:
    """Runs that a code server's worker is to be at work on and that show no sign of one."""
    records = instance.get_run_records(RunsFilter(statuses=[DagsterRunStatus.STARTED]))
    started = {record.dagster_run.run_id for record in records if _shows_signs(record.dagster_run)}
    if not started:
        return {}
    with database.connect() as connection:
        return silent(connection, started)


def _shows_signs(run: DagsterRun) -> bool:
    """Whether the run's worker shows signs of life: that of our assets, if a code server runs it.

    A command's own run is not launched by one; a job that fetches and publishes nothing is silent.
    """
    syncs = run.job_name in _JOBS or not _ASSETS.isdisjoint(run.asset_selection or ())
    return syncs and has_a_launched_worker(run)


def _fail_run(instance: DagsterInstance, run_id: str) -> None:
    run = instance.get_run_by_id(run_id)
    if run is not None and run.status is DagsterRunStatus.STARTED:
        instance.report_run_failed(
            run, "Its worker shows no sign of life: it was killed, with its code server or alone."
        )
