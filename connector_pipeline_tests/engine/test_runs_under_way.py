"""The partitions that a run over one partition, or over a range of partitions, is busy with."""

from collections.abc import Generator

import pytest
from dagster import DagsterInstance, DagsterRunStatus
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.test_utils import create_run_for_test

from connector_pipeline.engine import run_tags
from connector_pipeline.engine.backfills import a_backfill_is_under_way
from connector_pipeline.engine.runs_under_way import (
    partition_keys_of,
    runs_in_workers,
    runs_under_way,
)

KEYS = ["c", "a", "d", "b"]


@pytest.fixture
def instance() -> Generator[DagsterInstance]:
    """An instance with four partitions, not in alphabetical order."""
    with DagsterInstance.ephemeral() as ephemeral:
        ephemeral.add_dynamic_partitions("shops", KEYS)
        yield ephemeral


def keys_of(instance: DagsterInstance, **tags: str) -> set[str]:
    run = create_run_for_test(instance, tags=tags)
    return partition_keys_of(instance, [run], partitions_name="shops")


def test_a_run_over_one_partition_is_busy_with_it(instance: DagsterInstance) -> None:
    """Dagster's tag names the partition."""
    assert keys_of(instance, **{run_tags.PARTITION: "d"}) == {"d"}


def test_a_run_over_a_range_is_busy_with_all_keys_between_its_ends(
    instance: DagsterInstance,
) -> None:
    """Dagster reads a range in the order in which the partitions were added."""
    ends = {run_tags.RANGE_START: "a", run_tags.RANGE_END: "b"}
    assert keys_of(instance, **ends) == {"a", "d", "b"}


def test_a_run_over_a_range_whose_end_is_gone_is_busy_with_no_key(
    instance: DagsterInstance,
) -> None:
    """Such a run fails by itself."""
    assert keys_of(instance, **{run_tags.RANGE_START: "a", run_tags.RANGE_END: "x"}) == set()


def test_runs_that_have_ended_are_not_under_way(instance: DagsterInstance) -> None:
    """Only runs that a code server launched have a worker."""
    made = {
        status: create_run_for_test(instance, status=status).run_id
        for status in DagsterRunStatus
        # Dagster makes queued runs only of jobs in a code server.
        if status is not DagsterRunStatus.QUEUED
    }
    launched = create_run_for_test(
        instance, status=DagsterRunStatus.STARTED, tags={".dagster/grpc_info": "{}"}
    )
    ended = {DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED}
    # A run of a job in this process never has these statuses.
    ended |= {DagsterRunStatus.MANAGED, DagsterRunStatus.SUSPENDED}
    wanted = {run_id for status, run_id in made.items() if status not in ended}
    assert {run.run_id for run in runs_under_way(instance)} == wanted | {launched.run_id}
    assert runs_in_workers(instance) == [launched.run_id]


@pytest.mark.parametrize("status", list(BulkActionStatus))
def test_a_backfill_is_under_way_until_it_ends(
    instance: DagsterInstance, status: BulkActionStatus
) -> None:
    """A new status of Dagster's must be put on one side or the other in this test."""
    instance.add_backfill(
        PartitionBackfill(
            backfill_id="b-1",
            status=status,
            from_failure=False,
            tags={},
            backfill_timestamp=0.0,
            asset_selection=[],
            serialized_asset_backfill_data="{}",
        )
    )
    ended = {"COMPLETED", "COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED", "CANCELED"}
    assert a_backfill_is_under_way(instance) == (status.value not in ended)
