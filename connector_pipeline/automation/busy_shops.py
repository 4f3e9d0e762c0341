"""Find the shops that runs are busy with: one shop, a range of shops, or a list of shops."""

from collections.abc import Iterable

from dagster import DagsterInstance, DagsterRun

from connector_pipeline.assets.partitions import shops
from connector_pipeline.assets.sync_shops import JOB, listed_shops
from connector_pipeline.engine.runs_under_way import partition_keys_of


def busy_shops(instance: DagsterInstance, runs: Iterable[DagsterRun]) -> set[str]:
    """The partition keys of the shops that these runs work on."""
    of_partitions: list[DagsterRun] = []
    keys: set[str] = set()
    for run in runs:
        if run.job_name == JOB:
            keys.update(listed_shops(run.run_config))
        else:
            of_partitions.append(run)
    return keys | partition_keys_of(instance, of_partitions, partitions_name=str(shops.name))
