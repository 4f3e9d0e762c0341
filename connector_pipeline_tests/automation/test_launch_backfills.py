"""Shops that a backfill asked for are launched once, in few runs, and none is lost."""

from collections.abc import Generator
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
    places=st.integers(0, 6),
)
def test_planned_runs_hold_each_waiting_shop_once(
    first: list[str], second: list[str], busy: set[str], size: int, places: int
) -> None:
    """At most as many runs as places, none over a busy shop, a shop of two backfills in one."""
    waiting = [Waiting("a", key) for key in first] + [Waiting("b", key) for key in second]
    runs = planned_runs(waiting, busy=busy, shops_per_run=size, places=places)
    taken = [key for run in runs for key in run.shops]
    assert len(runs) <= places
    assert all(0 < len(run.shops) <= size for run in runs)
    assert len(taken) == len(set(taken))
    assert not set(taken) & busy
    free = {*first, *second} - busy
    if places >= len(free):
        assert set(taken) == free


@pytest.fixture
def instance() -> Generator[DagsterInstance]:
    with DagsterInstance.ephemeral() as made:
        yield made


def tick(instance: DagsterInstance, database: Database) -> list[RunRequest]:
    """The runs that one evaluation asks for."""
    with build_sensor_context(instance=instance, resources={"database": database}) as context:
        result = launch_backfills(context)
    return list(result.run_requests or []) if isinstance(result, SensorResult) else []


def launch(
    instance: DagsterInstance,
    request: RunRequest,
    status: DagsterRunStatus = DagsterRunStatus.STARTED,
    tags: dict[str, str] | None = None,
) -> str:
    """The run as the daemon makes it."""
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


def test_a_tick_launches_what_waits_once(
    instance: DagsterInstance, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In even parts, with the backfill's tag, behind a person's runs; no more than places."""
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
    # Eight shops are busy, and two places are taken.
    assert len(tick(instance, database)) == 4 <= RUNS_AT_ONCE - 2


def test_a_launch_that_was_lost_is_made_good(instance: DagsterInstance, database: Database) -> None:
    """The daemon died between our record of it and Dagster's."""
    ask(database, "b-1", KEYS[:3])
    assert len(tick(instance, database)) == 1
    minutes_pass(database)
    [request] = tick(instance, database)
    assert listed_shops(request.run_config) == KEYS[:3]


def test_shops_of_a_run_that_ended_without_a_word_have_failed(
    instance: DagsterInstance, database: Database
) -> None:
    """A killed run tells nothing. One that goes on or is retried is waited for."""
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


def test_outcomes_are_kept_and_what_is_left_can_be_withdrawn(database: Database) -> None:
    """As Ctrl-C does where no daemon runs."""
    ask(database, "b-1", KEYS[:3])
    with database.connect() as connection:
        backfills.record_outcomes(connection, "b-1", {KEYS[0]: None, KEYS[1]: "RateLimited"})
        assert backfills.withdraw(connection, "b-1") == 1
    assert statuses(database, "b-1") == {
        KEYS[0]: ("succeeded", None),
        KEYS[1]: ("failed", "RateLimited"),
    }
