"""The shops of a backfill are launched once, in few runs, and none is lost."""

from datetime import timedelta

import pytest
from dagster import (
    DagsterInstance,
    DagsterRunStatus,
    RunRequest,
    SensorResult,
    build_sensor_context,
)
from dagster._core.test_utils import create_run_for_test
from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.assets.run_identity import BACKFILL_TAG
from connector_pipeline.assets.sync_shops import JOB, listed_shops
from connector_pipeline.automation.launch_backfills import (
    RUNS_AT_ONCE,
    launch_backfills,
    planned_runs,
)
from connector_pipeline.postgres.database import Database
from connector_pipeline.state import backfills
from connector_pipeline.state.backfills import Waiting

KEYS = [f"shopify/asked-{number}.myshopify.com" for number in range(12)]
SHOPS = st.lists(st.sampled_from(KEYS), unique=True)


@given(
    first=SHOPS,
    second=SHOPS,
    busy=st.sets(st.sampled_from(KEYS)),
    size=st.integers(1, 5),
    most_runs=st.integers(0, 6),
)
def test_planned_runs_hold_each_waiting_shop_once(
    first: list[str], second: list[str], busy: set[str], size: int, most_runs: int
) -> None:
    """There are at most as many runs as allowed.

    None has a busy shop; a shop of two backfills is in one.
    """
    waiting = [Waiting("a", key) for key in first] + [Waiting("b", key) for key in second]
    runs = planned_runs(waiting, busy=busy, shops_per_run=size, most_runs=most_runs)
    taken = [key for run in runs for key in run.shops]
    assert len(runs) <= most_runs
    assert all(0 < len(run.shops) <= size for run in runs)
    assert len(taken) == len(set(taken))
    assert not set(taken) & busy
    free = {*first, *second} - busy
    if most_runs >= len(free):
        assert set(taken) == free


def tick(instance: DagsterInstance, database: Database) -> list[RunRequest]:
    """Evaluate the sensor once. Returns the runs that it asks for."""
    with build_sensor_context(instance=instance, resources={"database": database}) as context:
        result = launch_backfills(context)
    return list(result.run_requests or []) if isinstance(result, SensorResult) else []


def launch(
    instance: DagsterInstance,
    request: RunRequest,
    status: DagsterRunStatus = DagsterRunStatus.STARTED,
    tags: dict[str, str] | None = None,
) -> str:
    """Make the run as the daemon does."""
    run = create_run_for_test(
        instance,
        JOB,
        run_config=dict(request.run_config),
        tags={**request.tags, **(tags or {})},
        status=status,
    )
    return run.run_id


def ask(database: Database, backfill_id: str, keys: list[str]) -> None:
    with database.connect() as connection:
        backfills.request(connection, backfill_id, keys)


def statuses(database: Database, backfill_id: str) -> dict[str, tuple[str, str | None]]:
    with database.connect() as connection:
        return backfills.statuses(connection, backfill_id)


def minutes_pass(database: Database) -> None:
    with database.connect() as connection:
        connection.execute(
            "UPDATE connector.backfill_shops SET changed_at = changed_at - %s",
            (timedelta(minutes=5),),
        )


def test_a_tick_launches_waiting_shops_once(
    instance: DagsterInstance, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runs are even in size, few enough, tagged with the backfill, and wait behind others."""
    monkeypatch.setenv("SHOPS_PER_RUN", "5")
    ask(database, "b-1", KEYS)
    requests = tick(instance, database)
    assert [len(listed_shops(request.run_config)) for request in requests] == [4, 4, 4]
    assert {shop for each in requests for shop in listed_shops(each.run_config)} == set(KEYS)
    assert {request.tags[BACKFILL_TAG] for request in requests} == {"b-1"}
    assert {request.tags["dagster/priority"] for request in requests} == {"-1"}
    assert tick(instance, database) == []
    assert set(statuses(database, "b-1").values()) == {("launched", None)}

    monkeypatch.setenv("SHOPS_PER_RUN", "1")
    ask(database, "b-2", KEYS)
    for request in requests[:2]:
        launch(instance, request)
    # Eight shops are busy, and two runs are under way.
    assert len(tick(instance, database)) == 4 <= RUNS_AT_ONCE - 2


def test_a_launch_that_was_lost_is_repeated(instance: DagsterInstance, database: Database) -> None:
    """The daemon died after the sensor recorded the launch and before Dagster did."""
    ask(database, "b-1", KEYS[:3])
    assert len(tick(instance, database)) == 1
    minutes_pass(database)
    [request] = tick(instance, database)
    assert listed_shops(request.run_config) == KEYS[:3]


def test_shops_whose_run_ended_without_recording_them_have_failed(
    instance: DagsterInstance, database: Database
) -> None:
    """A killed run records nothing. The sensor waits for a run that goes on or is retried."""
    ask(database, "b-1", KEYS[:3])
    [request] = tick(instance, database)
    first = launch(instance, request)
    minutes_pass(database)
    assert tick(instance, database) == []
    assert set(statuses(database, "b-1").values()) == {("launched", None)}

    run = instance.get_run_by_id(first)
    assert run is not None
    instance.report_run_failed(run)
    instance.add_run_tags(first, {"dagster/will_retry": "true"})
    assert tick(instance, database) == []
    assert set(statuses(database, "b-1").values()) == {("launched", None)}

    second = launch(instance, request)
    run = instance.get_run_by_id(second)
    assert run is not None
    instance.report_run_canceled(run)
    assert tick(instance, database) == []
    assert set(statuses(database, "b-1").values()) == {("failed", "SyncInterrupted")}


def test_outcomes_are_kept_and_waiting_shops_can_be_withdrawn(database: Database) -> None:
    """Ctrl-C withdraws them if no daemon runs."""
    ask(database, "b-1", KEYS[:3])
    with database.connect() as connection:
        backfills.record_outcomes(connection, "b-1", {KEYS[0]: None, KEYS[1]: "RateLimited"})
        assert backfills.withdraw(connection, "b-1") == 1
    assert statuses(database, "b-1") == {
        KEYS[0]: ("succeeded", None),
        KEYS[1]: ("failed", "RateLimited"),
    }
