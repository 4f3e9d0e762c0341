"""Which partitions are busy: of a run over one, and of a run over a range of dynamic partitions."""

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
    """Four partitions, in an order that is not the alphabet's."""
    with DagsterInstance.ephemeral() as ephemeral:
        ephemeral.add_dynamic_partitions("shops", KEYS)
        yield ephemeral


def keys_of(instance: DagsterInstance, **tags: str) -> set[str]:
    run = create_run_for_test(instance, tags=tags)
    return partition_keys_of(instance, [run], partitions_name="shops")


def test_a_run_over_one_partition_is_busy_with_it(instance: DagsterInstance) -> None:
    """By the tag that Dagster puts on it."""
    assert keys_of(instance, **{run_tags.PARTITION: "d"}) == {"d"}


def test_a_run_over_a_range_is_busy_with_what_lies_between_its_ends(
    instance: DagsterInstance,
) -> None:
    """In the order in which the partitions were added, as Dagster reads a range."""
    ends = {run_tags.RANGE_START: "a", run_tags.RANGE_END: "b"}
    assert keys_of(instance, **ends) == {"a", "d", "b"}


def test_a_range_whose_end_is_gone_is_busy_with_nothing(instance: DagsterInstance) -> None:
    """Such a run fails by itself."""
    assert keys_of(instance, **{run_tags.RANGE_START: "a", run_tags.RANGE_END: "x"}) == set()


def test_runs_that_have_ended_are_not_under_way(instance: DagsterInstance) -> None:
    """And only those that a code server launched have a worker."""
    made = {
        status: create_run_for_test(instance, status=status).run_id
        for status in DagsterRunStatus
        # Dagster makes a queued run only of a job in a code server.
        if status is not DagsterRunStatus.QUEUED
    }
    launched = create_run_for_test(
        instance, status=DagsterRunStatus.STARTED, tags={".dagster/grpc_info": "{}"}
    )
    ended = {DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED}
    # No run of a job here ever has these.
    ended |= {DagsterRunStatus.MANAGED, DagsterRunStatus.SUSPENDED}
    wanted = {run_id for status, run_id in made.items() if status not in ended}
    assert {run.run_id for run in runs_under_way(instance)} == wanted | {launched.run_id}
    assert runs_in_workers(instance) == [launched.run_id]


@pytest.mark.parametrize("status", list(BulkActionStatus))
def test_a_backfill_is_under_way_until_it_ends(
    instance: DagsterInstance, status: BulkActionStatus
) -> None:
    """A status that Dagster adds must be put on one side or the other here."""
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
