"""Find the runs that are under way, and the partitions that they are of.

Needs: the tags in run_tags.py, and the order of dynamic partitions by which Dagster reads a range
of keys. Tried with Dagster 1.13.27. `DagsterRun.partitions_subset` would replace the tags, if
Dagster set it for every run over a range.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter

from connector_pipeline.engine import run_tags

_UNDER_WAY: Final = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]
_IN_A_WORKER: Final = [
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]


def runs_under_way(instance: DagsterInstance) -> Sequence[DagsterRun]:
    """The runs that wait, start, go on or are being cancelled."""
    return instance.get_runs(RunsFilter(statuses=_UNDER_WAY))


def runs_in_workers(instance: DagsterInstance) -> list[str]:
    """The ids of the runs that a code server launched and that have not ended."""
    return [
        run.run_id
        for run in instance.get_runs(RunsFilter(statuses=_IN_A_WORKER))
        if run_tags.has_a_launched_worker(run)
    ]


def is_of_a_range(run: DagsterRun) -> bool:
    """Whether the run is over a range of partitions, of which its tags name only the two ends."""
    return run_tags.RANGE_START in run.tags


def partition_keys_of(
    instance: DagsterInstance, runs: Iterable[DagsterRun], *, partitions_name: str
) -> set[str]:
    """The keys of the dynamic partitions that these runs are of: one key or a range for each."""
    keys: set[str] = set()
    ordered: list[str] | None = None
    for run in runs:
        if run_tags.PARTITION in run.tags:
            keys.add(run.tags[run_tags.PARTITION])
        elif is_of_a_range(run):
            if ordered is None:
                ordered = list(instance.get_dynamic_partitions(partitions_name))
            start, end = run.tags[run_tags.RANGE_START], run.tags[run_tags.RANGE_END]
            keys.update(_between(ordered, start, end))
    return keys


def _between(ordered: Sequence[str], start: str, end: str) -> Sequence[str]:
    try:
        return ordered[ordered.index(start) : ordered.index(end) + 1]
    except ValueError:
        # One end of the range is no longer a partition, so the run fails by itself.
        return ()
