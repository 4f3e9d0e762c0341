"""A backfill without a daemon takes its shops from the queue as the daemon would, run by run."""

import pytest
from dagster import DagsterInstance, DagsterRunStatus
from dagster._core.test_utils import create_run_for_test

from connector_pipeline.assets.run_identity import LANE_TAG, LAUNCH_TAG
from connector_pipeline.assets.sync_shops import JOB
from connector_pipeline.automation.sync_queue import AHEAD, launch_here, launch_next
from connector_pipeline.model.queue import Lane, QueueReason
from connector_pipeline.postgres.database import Database
from connector_pipeline.state import queued_runs
from connector_pipeline.state.queued_runs import Capacity, Launch
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline_tests.state.test_sync_queue import Queue, name


@pytest.fixture
def queue(database: Database, registry: ShopRegistry, monkeypatch: pytest.MonkeyPatch) -> Queue:
    """A queue with a backfill of three shops, of which two fit into a run, and other shops."""
    monkeypatch.setenv("SHOPS_PER_RUN", "2")
    queue = Queue(database, registry)
    mine, others = queue.register("a", "b", "c"), queue.register("x", "y")
    queue.put(others, QueueReason.BACKFILL, backfill_id="b-2")
    queue.put(mine, QueueReason.BACKFILL, backfill_id="b-1")
    return queue


def names(launch: Launch | None) -> list[str]:
    return [] if launch is None else [name(shop.partition_key) for shop in launch.shops]


def here(instance: DagsterInstance, queue: Queue, run_id: str) -> list[str]:
    """Take the next shops of the backfill. Returns their names."""
    return names(launch_here(instance, queue.database, of="b-1", run_id=run_id))


def test_one_run_is_taken_at_a_time_and_only_of_the_backfill(
    instance: DagsterInstance, queue: Queue
) -> None:
    """None is left in the end. What waits for others still does."""
    assert here(instance, queue, "run-1") == ["a", "b"]
    assert [row["run_id"] for row in queue.rows("state = 'taken'")] == ["run-1"] * 2
    assert here(instance, queue, "run-2") == ["c"]
    assert here(instance, queue, "run-3") == []
    assert {row["domain"][0] for row in queue.rows("state = 'waiting'")} == {"x", "y"}


def test_a_daemon_that_starts_meanwhile_does_not_launch_the_run_again(
    instance: DagsterInstance, queue: Queue
) -> None:
    """It takes the other shops, and not those that this process is about to sync."""
    assert here(instance, queue, "run-1") == ["a", "b"]
    launches, _ = launch_next(instance, queue.database)
    assert sorted(shop for launch in launches for shop in names(launch)) == ["c", "x", "y"]


def test_runs_that_an_ended_daemon_left_take_no_capacity(
    instance: DagsterInstance, queue: Queue
) -> None:
    """They wait in Dagster's queue until there is a daemon again."""
    for number in range(10 + AHEAD):
        create_run_for_test(
            instance,
            JOB,
            status=DagsterRunStatus.STARTING,
            tags={LAUNCH_TAG: f"launch-{number}", LANE_TAG: Lane.BACKGROUND.value},
        )
    assert launch_next(instance, queue.database)[0] == []
    assert here(instance, queue, "run-1") == ["a", "b"]


def test_a_run_that_an_ended_daemon_did_not_launch_is_taken_over(
    instance: DagsterInstance, queue: Queue
) -> None:
    """The daemon took the shops and died before Dagster had their run; if it has, it is left."""
    with queue.database.connect() as connection:
        queued_runs.take(connection, capacity=Capacity(9, 9, 9), shops_per_run=2, of="b-1")
        [known, lost] = queued_runs.unseen(connection)
    create_run_for_test(
        instance,
        JOB,
        status=DagsterRunStatus.STARTING,
        tags={LAUNCH_TAG: known.launch_id, LANE_TAG: Lane.BACKGROUND.value},
    )
    assert here(instance, queue, "run-1") == names(lost)
    assert here(instance, queue, "run-2") == []
