"""Which shops runs are busy with, by what Dagster keeps of the runs."""

from collections.abc import Iterable, Sequence
from typing import Final

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)

from connector_pipeline.assets.partitions import shops
from connector_pipeline.assets.sync_shops import JOB, listed_shops

UNDER_WAY: Final = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]


def runs_under_way(instance: DagsterInstance) -> Sequence[DagsterRun]:
    """The runs that wait, start, go on, or are being cancelled."""
    return instance.get_runs(RunsFilter(statuses=UNDER_WAY))


def shops_of(instance: DagsterInstance, runs: Iterable[DagsterRun]) -> set[str]:
    """The partition keys that these runs are of, one, a range or a list."""
    keys: set[str] = set()
    ordered: list[str] | None = None
    for run in runs:
        if run.job_name == JOB:
            keys.update(listed_shops(run.run_config))
        elif PARTITION_NAME_TAG in run.tags:
            keys.add(run.tags[PARTITION_NAME_TAG])
        elif ASSET_PARTITION_RANGE_START_TAG in run.tags:
            if ordered is None:
                ordered = list(instance.get_dynamic_partitions(str(shops.name)))
            keys.update(
                _between(
                    ordered,
                    run.tags[ASSET_PARTITION_RANGE_START_TAG],
                    run.tags[ASSET_PARTITION_RANGE_END_TAG],
                )
            )
    return keys


def _between(ordered: Sequence[str], start: str, end: str) -> Sequence[str]:
    try:
        return ordered[ordered.index(start) : ordered.index(end) + 1]
    except ValueError:
        # An end of it left the partitions: the run fails by itself.
        return ()
