"""The sensor that launches runs for the shops that `connector-pipeline backfill` asked for."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import psycopg
from dagster import (
    DagsterInstance,
    DagsterRun,
    DefaultSensorStatus,
    ResourceParam,
    RunRequest,
    RunsFilter,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,  # pyright: ignore[reportUnknownVariableType]  # partly untyped there
)

from connector_pipeline.assets.run_identity import BACKFILL_TAG
from connector_pipeline.assets.sync_shops import JOB, listed_shops, run_config
from connector_pipeline.automation.busy_shops import busy_shops
from connector_pipeline.automation.sweep import even_parts
from connector_pipeline.engine.retries import will_be_retried
from connector_pipeline.engine.run_tags import BEHIND_OTHERS
from connector_pipeline.engine.runs_under_way import runs_under_way
from connector_pipeline.model.errors import ConnectorError, SyncInterrupted
from connector_pipeline.postgres.database import Database
from connector_pipeline.settings import load_settings
from connector_pipeline.state import backfills
from connector_pipeline.state.backfills import Waiting

EVERY_SECONDS: Final = 5
RUNS_AT_ONCE: Final = 8
"""Backfill runs that wait or go on at once: enough that the next one waits when one ends between
two ticks."""


@dataclass(frozen=True, slots=True)
class BackfillRun:
    """A run to launch: its backfill and its shops' partition keys."""

    backfill_id: str
    shops: Sequence[str]

    @property
    def tags(self) -> dict[str, str]:
        """The tags of the run."""
        return {BACKFILL_TAG: self.backfill_id, **BEHIND_OTHERS}


def planned_runs(
    waiting: Iterable[Waiting], *, busy: Collection[str], shops_per_run: int, most_runs: int
) -> list[BackfillRun]:
    """The runs to launch now, at most `most_runs`, the earliest backfill first.

    Leaves out the `busy` shops, those with a run under way.
    """
    runs: list[BackfillRun] = []
    taken = set(busy)
    for backfill_id, rows in groupby(waiting, key=lambda row: row.backfill_id):
        keys = [row.partition_key for row in rows if row.partition_key not in taken]
        keys = keys[: max(0, most_runs - len(runs)) * shops_per_run]
        taken.update(keys)
        runs += [BackfillRun(backfill_id, part) for part in even_parts(keys, shops_per_run)]
    return runs


def claim(
    connection: psycopg.Connection,
    instance: DagsterInstance,
    *,
    shops_per_run: int,
    most_runs: int,
    runs: Sequence[DagsterRun],
    of: str | None = None,
) -> list[BackfillRun]:
    """Record waiting shops, `of` one backfill or all, as launched; the caller launches the runs.

    Returns at most `most_runs` runs. `runs` are those under way, whose shops are left out.
    """
    waiting = backfills.waiting(connection, of)
    if not waiting or most_runs <= 0:
        return []
    planned = planned_runs(
        waiting, busy=busy_shops(instance, runs), shops_per_run=shops_per_run, most_runs=most_runs
    )
    for run in planned:
        backfills.launched(connection, run.backfill_id, run.shops)
    return planned


def settle_lost(connection: psycopg.Connection, instance: DagsterInstance) -> None:
    """Fail the shops whose run ended without recording them, and queue those without a run again.

    A run that was killed records nothing. A launch may be lost after `claim` recorded it and before
    Dagster did.
    """
    for backfill_id, rows in groupby(
        backfills.without_news(connection), key=lambda row: row.backfill_id
    ):
        unsettled = {row.partition_key for row in rows}
        ended: set[str] = set()
        # Newest first: if a run was retried, the retry decides.
        for run in instance.get_runs(RunsFilter(tags={BACKFILL_TAG: backfill_id})):
            listed = unsettled & set(listed_shops(run.run_config))
            unsettled -= listed
            if run.is_finished and not will_be_retried(run):
                ended |= listed
        backfills.record_outcomes(
            connection, backfill_id, dict.fromkeys(ended, SyncInterrupted.__name__)
        )
        backfills.wait_again(connection, backfill_id, sorted(unsettled))


@sensor(
    job_name=JOB,
    minimum_interval_seconds=EVERY_SECONDS,
    default_status=DefaultSensorStatus.RUNNING,
    description="Launches runs for the shops that `connector-pipeline backfill` asked for.",
)
def launch_backfills(
    context: SensorEvaluationContext, database: ResourceParam[Database]
) -> SensorResult | SkipReason:
    """Launch runs over waiting shops, many shops in a run."""
    try:
        with database.connect() as connection:
            settle_lost(connection, context.instance)
            runs = runs_under_way(context.instance)
            planned = claim(
                connection,
                context.instance,
                shops_per_run=load_settings().shops_per_run,
                most_runs=RUNS_AT_ONCE - sum(BACKFILL_TAG in run.tags for run in runs),
                runs=runs,
            )
    except ConnectorError as error:
        return SkipReason(f"{error.code}: {error} No run was launched.")
    if not planned:
        return SkipReason("No shop waits that could be launched now.")
    return SensorResult(
        run_requests=[
            RunRequest(job_name=JOB, run_config=run_config(run.shops), tags=run.tags)
            for run in planned
        ]
    )
