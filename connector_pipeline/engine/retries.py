"""Find out how the last run ended in a line of runs by which Dagster retried a crashed run.

Needs: the tags of automatic retries (run_tags.py), and the cursor under which the daemon's event
log consumer keeps the newest failure that it has looked at. Tried with Dagster 1.13.27. A public
function that says whether a run will be retried, and by which run, would replace this module.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from dagster import (
    AssetKey,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    RunRecord,
    RunsFilter,
)

from connector_pipeline.engine import run_tags

_RUNS_A_QUERY: Final = 500
_MOST_RETRIES: Final = 10
_WILL_RETRY: Final = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class LastRun:
    """The last run of a line of retries.

    `will_retry` is None until Dagster has decided. `assets` are those that the run was to
    materialize, or None if it was to materialize all of its job.
    """

    run_id: str
    status: DagsterRunStatus
    ended_at: datetime | None
    will_retry: bool | None
    assets: frozenset[AssetKey] | None


def last_runs(instance: DagsterInstance, run_ids: Iterable[str]) -> dict[str, LastRun]:
    """Find the last run in each run's line of automatic retries; by the id of the first run.

    Takes back Dagster's promise of a retry that Dagster has missed to make.
    """
    # Read before the runs: a failure that Dagster has looked at has its retry by then, or never.
    failures_seen = newest_failure_seen(instance)
    wanted = {run_id: run_id for run_id in run_ids}
    found: dict[str, LastRun] = {}
    for _ in range(_MOST_RETRIES):
        if not wanted:
            break
        records = _records(instance, set(wanted.values()))
        following: dict[str, str] = {}
        for first, run_id in wanted.items():
            record = records.get(run_id)
            if record is None:
                continue
            last = _last_run(record)
            retried_as = record.dagster_run.tags.get(run_tags.RETRIED_AS)
            if retried_as is not None:
                following[first] = retried_as
            elif last.will_retry and _failed_at(instance, run_id) <= failures_seen:
                # Dagster's own backfills would wait for a promised retry, too.
                instance.add_run_tags(run_id, {run_tags.WILL_RETRY: "false"})
                last = replace(last, will_retry=False)
            found[first] = last
        wanted = following
    return found


def newest_failure_seen(instance: DagsterInstance) -> int:
    """The id of the newest failure that Dagster has looked at, and retried or missed to retry.

    The daemon looks at each failure once. If the code server is away at that moment, the daemon
    goes on and does not come back to the failure.
    """
    key = f"EVENT_LOG_CONSUMER_CURSOR-{DagsterEventType.RUN_FAILURE.value}"
    return int(instance.daemon_cursor_storage.get_cursor_values({key}).get(key, "0"))


def will_be_retried(run: DagsterRun) -> bool:
    """Whether Dagster has promised to retry the run."""
    return run.tags.get(run_tags.WILL_RETRY) == "true"


def _failed_at(instance: DagsterInstance, run_id: str) -> float:
    """The event id of the run's failure; infinite if there is no such event."""
    failures = instance.get_records_for_run(run_id, of_type=DagsterEventType.RUN_FAILURE).records
    return max((record.storage_id for record in failures), default=math.inf)


def _records(instance: DagsterInstance, run_ids: Iterable[str]) -> dict[str, RunRecord]:
    ordered = sorted(run_ids)
    records: dict[str, RunRecord] = {}
    for begin in range(0, len(ordered), _RUNS_A_QUERY):
        some = ordered[begin : begin + _RUNS_A_QUERY]
        for record in instance.get_run_records(RunsFilter(run_ids=some)):
            records[record.dagster_run.run_id] = record
    return records


def _last_run(record: RunRecord) -> LastRun:
    run: DagsterRun = record.dagster_run
    ended_at: datetime | None = None
    if run.is_finished:
        ended_at = (
            record.update_timestamp.replace(tzinfo=UTC)
            if record.end_time is None
            else datetime.fromtimestamp(record.end_time, UTC)
        )
    return LastRun(
        run_id=run.run_id,
        status=run.status,
        ended_at=ended_at,
        will_retry=_WILL_RETRY.get(run.tags.get(run_tags.WILL_RETRY, "")),
        assets=None if run.asset_selection is None else frozenset(run.asset_selection),
    )
