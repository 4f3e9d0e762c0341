"""The queue: what waits is taken once, in a fair order, and nothing disappears in it."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.rows import dict_row

from connector_pipeline.model.errors import PlatformUnavailable
from connector_pipeline.model.queue import QueueOutcome, QueueReason
from connector_pipeline.model.shop import Shop
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.model.sync_type import RequestedSyncType
from connector_pipeline.postgres.database import Database
from connector_pipeline.state import (
    backfills,
    inbox,
    queue_intake,
    queued_runs,
    sync_failure,
    sync_log,
    sync_queue,
)
from connector_pipeline.state.queued_runs import Capacity, Launch, even_parts
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline_tests.state.test_inbox import request

MUCH = Capacity(foreground=100, background=100, in_all=200)


def key(name: str) -> str:
    return f"shopify/{name}.myshopify.com"


class Queue:
    """The queue with each step in a transaction of its own, as the sensor does it."""

    def __init__(self, database: Database, registry: ShopRegistry):
        self.database = database
        self.registry = registry

    def register(self, *names: str, merchant_id: str = "m-1") -> list[str]:
        for name in names:
            self.registry.add(
                Shop(
                    merchant_id=merchant_id,
                    platform_name="shopify",
                    platform_shop_id="101",
                    domain=f"{name}.myshopify.com",
                )
            )
        return [key(name) for name in names]

    def request(self, *sync_ids_and_shops: tuple[str, str], **changes: str) -> None:
        with self.database.connect() as connection:
            inbox.put(
                connection,
                [request(sync_id, shop, **changes) for sync_id, shop in sync_ids_and_shops],
            )
            inbox.accept(connection, limit=20_000)

    def put(self, keys: Sequence[str], reason: QueueReason, **more: Any) -> int:
        with self.database.connect() as connection:
            return queue_intake.put_shops(connection, keys, reason=reason, **more)

    def take(
        self, capacity: Capacity = MUCH, *, shops_per_run: int = 100, **more: Any
    ) -> list[list[str]]:
        """Take the next shops. Returns the names of the shops of each new run, in its order."""
        with self.database.connect() as connection:
            before = {launch.launch_id for launch in queued_runs.unseen(connection)}
            queued_runs.take(connection, capacity=capacity, shops_per_run=shops_per_run, **more)
            launches = queued_runs.unseen(connection)
        new = [launch for launch in launches if launch.launch_id not in before]
        taken = [[name(shop.partition_key) for shop in launch.shops] for launch in new]
        return sorted(taken)

    def launches(self) -> list[Launch]:
        with self.database.connect() as connection:
            return queued_runs.unseen(connection)

    def see(self) -> None:
        with self.database.connect() as connection:
            runs = {
                each.launch_id: f"run-{each.launch_id}" for each in queued_runs.unseen(connection)
            }
            queued_runs.seen(connection, runs)

    def end(self, *names: str, outcome: QueueOutcome = QueueOutcome.SUCCEEDED) -> None:
        with self.database.connect() as connection:
            for shop in self.rows("state = 'taken'"):
                if name(f"{shop['platform_name']}/{shop['domain']}") in names:
                    sync_queue.end(connection, shop["sync_id"], outcome, None)

    def rows(self, condition: str = "true") -> list[dict[str, Any]]:
        query = f"SELECT * FROM connector.sync_queue WHERE {condition} ORDER BY id"
        with self.database.connect() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            return cursor.execute(query).fetchall()  # type: ignore[arg-type]

    def ages(self, minutes: int, condition: str = "true") -> None:
        with self.database.connect() as connection:
            connection.execute(
                f"UPDATE connector.sync_queue SET put_at = put_at - {minutes} "  # type: ignore[arg-type]
                f"* interval '1 minute' WHERE {condition}"
            )

    def pause(self, partition_key: str, *, seconds: int) -> None:
        with self.database.connect() as connection:
            connection.execute(
                "UPDATE connector.sync_queue SET not_before = now() + make_interval(secs => %s)"
                " WHERE platform_name || '/' || domain = %s",
                (seconds, partition_key),
            )


def name(partition_key: str) -> str:
    return partition_key.removeprefix("shopify/").removesuffix(".myshopify.com")


@pytest.fixture
def queue(database: Database, registry: ShopRegistry) -> Queue:
    """An empty queue."""
    return Queue(database, registry)


def test_requests_go_first_then_changes_then_backfills_then_sweeps(queue: Queue) -> None:
    """Whatever the order in which they came. Each lane has runs of its own."""
    queue.put(queue.register("swept"), QueueReason.SWEEP)
    queue.put(queue.register("filled"), QueueReason.BACKFILL)
    queue.put(queue.register("changed"), QueueReason.CHANGE)
    queue.request(("s-1", "asked"))
    assert queue.take() == [["asked", "changed"], ["filled", "swept"]]


def test_a_hinted_shop_that_is_nearly_due_shares_the_run_of_another(queue: Queue) -> None:
    """Alone it waits for its time, which further hints may use."""
    keys = queue.register("due", "soon", "later")
    queue.put(keys, QueueReason.CHANGE)
    for shop in keys:
        queue.pause(shop, seconds=3_600)
    assert queue.take() == []
    queue.pause(keys[0], seconds=0)
    queue.pause(keys[1], seconds=2)
    assert [sorted(run) for run in queue.take()] == [["due", "soon"]]


def test_a_full_room_takes_nothing_and_a_small_one_the_first(queue: Queue) -> None:
    """There are as many runs as there is room for in their lane, and in all."""
    queue.put(queue.register(*(f"b-{number}" for number in range(6))), QueueReason.BACKFILL)
    queue.request(*((f"s-{number}", f"a-{number}") for number in range(6)))
    assert queue.take(Capacity(0, 0, 0)) == []
    assert queue.take(Capacity(-1, -1, 5)) == []
    assert queue.take(Capacity(1, 0, 5), shops_per_run=2) == [["a-0", "a-1"]]
    assert queue.take(Capacity(1, 2, 2), shops_per_run=2) == [["a-2", "a-3"], ["b-0", "b-1"]]
    assert queue.take(Capacity(5, 5, 3), shops_per_run=2) == [
        ["a-4", "a-5"],
        ["b-2", "b-3"],
        ["b-4", "b-5"],
    ]
    assert queue.take() == []


def test_the_runs_of_a_burst_are_even(queue: Queue) -> None:
    """A run of a hundred is not followed by one of three."""
    queue.request(*((f"s-{number}", f"a-{number}") for number in range(7)))
    assert sorted(map(len, queue.take(shops_per_run=3))) == [2, 2, 3]


@given(count=st.integers(0, 1_000), largest=st.integers(1, 130))
def test_parts_are_few_and_even(count: int, largest: int) -> None:
    """They hold each once, in its order."""
    parts = list(even_parts(list(range(count)), largest))
    assert [each for part in parts for each in part] == list(range(count))
    assert len(parts) == -(-count // largest)
    if parts:
        assert max(map(len, parts)) <= largest
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_merchants_take_turns(queue: Queue) -> None:
    """A merchant's single request comes second, whatever another merchant sent before it."""
    queue.request(*((f"s-{number}", f"burst-{number}") for number in range(50)))
    queue.request(("one", "calm"), merchant_id="m-2")
    [first] = queue.take(Capacity(1, 1, 1), shops_per_run=10)
    assert first.index("calm") == 1
    # With shops of the one under way, the other's next requests come first.
    queue.request(("two", "calm-2"), ("three", "calm-3"), merchant_id="m-2")
    [second] = queue.take(Capacity(1, 1, 1), shops_per_run=10)
    assert second[:2] == ["calm-2", "calm-3"]


def test_a_sweep_takes_turns_with_requests_at_last(queue: Queue) -> None:
    """So a burst does not starve sweeps, nor do old sweeps starve a fresh request."""
    queue.put(queue.register("swept", merchant_id="m-9"), QueueReason.SWEEP)
    queue.request(*((f"s-{number}", f"burst-{number}") for number in range(9)))
    queue.ages(31, "reason = 'sweep'")
    queue.request(("one", "calm"), merchant_id="m-2")
    [first] = queue.take(Capacity(1, 0, 1), shops_per_run=3)
    assert sorted(first) == ["burst-0", "calm", "swept"]


@pytest.mark.parametrize("merchants", [1, 40])
def test_an_old_sweep_does_not_starve_a_fresh_request(queue: Queue, merchants: int) -> None:
    """However many shops of it have waited for hours, and whoever has them."""
    for number in range(40):
        merchant_id = f"m-{number % merchants}"
        queue.put(queue.register(f"swept-{number}", merchant_id=merchant_id), QueueReason.SWEEP)
    queue.ages(300)
    queue.request(("one", "fresh"), merchant_id="m-0")
    [first] = queue.take(Capacity(1, 0, 1), shops_per_run=4)
    assert "fresh" in first
    assert len(first) == 4


def test_a_row_of_the_future_waits_no_longer_than_others(queue: Queue) -> None:
    """The clock of whoever put it in may be wrong, in either direction."""
    queue.request(("one", "early"), ("two", "late"))
    with queue.database.connect() as connection:
        connection.execute(
            "UPDATE connector.sync_queue SET put_at = CASE domain"
            " WHEN 'early.myshopify.com' THEN 'infinity'::timestamptz"
            " ELSE '-infinity'::timestamptz END"
        )
    queue.put(queue.register("swept"), QueueReason.SWEEP)
    assert queue.take(Capacity(1, 0, 1), shops_per_run=2) == [["early", "late"]]


@pytest.mark.parametrize("column", ["sync_type", "reason", "state", "lane"])
def test_a_word_that_no_run_could_be_asked_for_is_not_stored(queue: Queue, column: str) -> None:
    """One such row would stop the sensor for all shops."""
    queue.request(("s-1", "acme"))
    with (
        pytest.raises(psycopg.errors.CheckViolation, match=f"sync_queue_{column}_known"),
        queue.database.connect() as connection,
    ):
        connection.execute(f"UPDATE connector.sync_queue SET {column} = 'odd'")


def test_a_shop_is_never_taken_twice_at_once(queue: Queue) -> None:
    """Its next row waits until the first has ended. So does one that another run is busy with."""
    queue.request(("s-1", "acme"), ("s-2", "acme"), ("s-3", "other"))
    assert queue.take(busy=[key("other")]) == [["acme"]]
    assert queue.take(busy=[key("other")]) == []
    queue.see()
    assert queue.take() == [["other"]]
    queue.end("acme")
    assert queue.take() == [["acme"]]
    assert [row["sync_id"] for row in queue.rows("state = 'taken'")] == ["s-2", "s-3"]


def test_a_shop_that_waits_joins(queue: Queue) -> None:
    """A backfill, a sweep and a change of one shop are one sync, in the best of their places."""
    keys = queue.register("acme", "other")
    assert queue.put(keys, QueueReason.SWEEP, sweep_id="w-1") == 2
    assert queue.put(keys, QueueReason.BACKFILL, backfill_id="b-1") == 0
    assert queue.put(keys[:1], QueueReason.BACKFILL, backfill_id="b-2") == 0
    assert queue.put(keys[:1], QueueReason.CHANGE) == 0
    first, second = queue.rows()
    assert (first["reason"], first["backfills"], first["sweep_id"]) == (
        "change",
        ["b-1", "b-2"],
        "w-1",
    )
    assert (second["reason"], second["backfills"], second["sweep_id"]) == (
        "backfill",
        ["b-1"],
        "w-1",
    )
    assert (first["priority"], second["priority"]) == (1, 2)
    queue.take()
    # A shop that is taken may have been read already: what comes now waits for its next sync.
    assert queue.put(keys[:1], QueueReason.CHANGE) == 1


def test_a_row_that_nobody_waits_for_joins_a_request(queue: Queue) -> None:
    """Before or after it came; unless the requester wants less than a sync of the other kind."""
    queue.request(("s-1", "acme"))
    assert queue.put([key("acme")], QueueReason.BACKFILL, backfill_id="b-1") == 0
    queue.put(queue.register("other"), QueueReason.BACKFILL, backfill_id="b-1")
    queue.request(("s-2", "other"))
    rows = queue.rows()
    assert [(row["sync_id"], row["reason"], row["backfills"]) for row in rows] == [
        ("s-1", "request", ["b-1"]),
        ("s-2", "request", ["b-1"]),
    ]
    queue.request(("s-3", "third"), sync_type="incremental")
    assert queue.put([key("third")], QueueReason.BACKFILL, backfill_id="b-1") == 1
    queue.put(queue.register("fourth"), QueueReason.SWEEP)
    queue.request(("s-4", "fourth"), sync_type="incremental")
    assert Counter(row["domain"].split(".")[0] for row in queue.rows()) == {
        "acme": 1,
        "other": 1,
        "third": 2,
        "fourth": 2,
    }


def test_a_waiting_row_is_raised_to_the_stronger_sync_type(queue: Queue) -> None:
    """A full sync does what any other would."""
    keys = queue.register("acme")
    for sync_type, expected in (
        ("incremental", "incremental"),
        ("auto", "auto"),
        ("incremental", "auto"),
        ("full", "full"),
        ("auto", "full"),
    ):
        queue.put(keys, QueueReason.BACKFILL, sync_type=RequestedSyncType(sync_type))
        [row] = queue.rows()
        assert row["sync_type"] == expected


def test_each_request_keeps_its_own_sync(queue: Queue) -> None:
    """Requests never join each other, and go on in their order."""
    queue.request(*((f"s-{number}", "acme") for number in range(3)))
    order: list[str] = []
    for _ in range(3):
        assert queue.take() == [["acme"]]
        queue.see()
        order += [row["sync_id"] for row in queue.rows("state = 'taken'")]
        queue.end("acme")
    assert order == ["s-0", "s-1", "s-2"]


def test_a_run_is_asked_for_until_it_is_seen(queue: Queue) -> None:
    """With the same shops, in the same order, under the same key."""
    queue.request(("s-1", "acme"), ("s-2", "other"))
    queue.take()
    assert queue.launches() == queue.launches() != []
    queue.see()
    assert queue.launches() == []


def test_a_row_waits_again_twice_at_most(queue: Queue) -> None:
    """Under its own sync_id and in its old place, with a run of its own each time."""
    queue.request(("s-1", "acme"), ("s-2", "acme"))
    for relaunches in range(3):
        queue.take()
        with queue.database.connect() as connection:
            # It is not put in again before its run was seen: it would be offered as it is.
            assert not sync_queue.put_again(connection, "s-1")
        queue.see()
        with queue.database.connect() as connection:
            assert sync_queue.put_again(connection, "s-1") is (relaunches < 2)
            status = sync_log.progress(connection, "s-1")
            assert status is not None
            assert status.status == "pending"
    [row] = queue.rows("sync_id = 's-1'")
    assert (row["reason"], row["priority"], row["relaunches"]) == ("retry", 0, 2)


def test_a_shop_that_another_run_reads_waits_on(queue: Queue) -> None:
    """It is not counted as put again: nothing went wrong."""
    queue.request(("s-1", "acme"))
    with queue.database.connect() as connection:
        assert not sync_queue.wait_on(connection, "s-9", run_id="run")
    queue.take()
    queue.see()
    [row] = queue.rows()
    with queue.database.connect() as connection:
        assert sync_queue.wait_on(connection, "s-1", run_id=row["run_id"])
    [row] = queue.rows()
    assert (row["state"], row["reason"], row["relaunches"], row["run_id"]) == (
        "waiting",
        "request",
        0,
        None,
    )
    assert queue.take() == [["acme"]]


def test_a_shop_that_another_run_has_taken_stays_with_it(queue: Queue) -> None:
    """A run that was taken for dead, or its retry, may find the shop busy because of that run."""
    queue.put(queue.register("acme"), QueueReason.SWEEP)
    queue.take()
    queue.see()
    [before] = queue.rows()
    with queue.database.connect() as connection:
        assert sync_queue.wait_on(connection, before["sync_id"], run_id="an older run")
    assert queue.rows() == [before]


def test_a_sync_that_ends_ends_its_row(queue: Queue) -> None:
    """In the same transaction; also where its sync was never recorded. A success is final."""
    queue.request(("s-1", "acme"))
    queue.put(queue.register("swept"), QueueReason.SWEEP)
    queue.take()
    rows = queue.rows()
    with queue.database.connect() as connection:
        for row in rows:
            sync_failure.fail(connection, row["sync_id"], PlatformUnavailable("answered 500."))
    assert {(row["state"], row["outcome"], row["error_code"]) for row in queue.rows()} == {
        ("ended", "failed", "PlatformUnavailable")
    }
    assert all(row["ended_at"] is not None for row in queue.rows())
    with queue.database.connect() as connection:
        sync_queue.end(connection, "s-1", QueueOutcome.SUCCEEDED, None)
        sync_queue.end(connection, "s-1", QueueOutcome.FAILED, "PlatformUnavailable")
    [row] = queue.rows("sync_id = 's-1'")
    assert (row["outcome"], row["error_code"]) == ("succeeded", None)


def test_shops_that_are_no_longer_active_leave_the_queue(queue: Queue) -> None:
    """Nobody waits for a paused shop's sweep. A requester learns that the shop is paused."""
    keys = queue.register("paused", "removed", "fine")
    queue.put(keys, QueueReason.SWEEP)
    queue.request(("s-1", "held"))
    queue.registry.set_state(keys[0], ShopState.PAUSED)
    queue.registry.set_state(key("held"), ShopState.PAUSED)
    queue.registry.remove(keys[1])
    with queue.database.connect() as connection:
        assert sync_queue.withdraw_inactive(connection) == 2
        assert inbox.refuse_paused(connection) == 1
    assert queue.take() == [["fine"]]
    [row] = queue.rows("sync_id = 's-1'")
    assert (row["state"], row["error_code"]) == ("ended", "InvalidSyncRequest")


def test_a_backfill_is_followed_and_withdrawn(queue: Queue) -> None:
    """What others wait for, too, stays in the queue."""
    keys = queue.register("acme", "other", "third")
    queue.put(keys, QueueReason.BACKFILL, backfill_id="b-1")
    queue.put(keys[:1], QueueReason.SWEEP, sweep_id="w-1")
    queue.request(("s-2", "other"))
    with queue.database.connect() as connection:
        statuses = backfills.statuses(connection, "b-1")
    assert statuses == dict.fromkeys(keys, ("waiting", None))
    queue.put(queue.register("done"), QueueReason.BACKFILL, backfill_id="b-1")
    queue.take()
    queue.see()
    queue.end("done")
    with queue.database.connect() as connection:
        assert backfills.withdraw(connection, "b-1") == 3
        statuses = backfills.statuses(connection, "b-1")
    assert statuses == {key("done"): ("succeeded", None)}
    assert [name(f"shopify/{row['domain']}") for row in queue.rows()] == ["acme", "other", "done"]


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("request"), st.integers(0, 5), st.sampled_from(["full", "auto", "incremental"])
        ),
        st.tuples(st.sampled_from(["change", "backfill", "sweep"]), st.sets(st.integers(0, 5))),
        st.tuples(st.just("take"), st.integers(1, 3), st.integers(0, 3)),
        st.tuples(st.sampled_from(["see", "end", "again"])),
    ),
    max_size=25,
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_whatever_happens_no_request_disappears_and_no_shop_is_taken_twice(
    steps: list[tuple[Any, ...]], database_url: str
) -> None:
    """Any interleaving of what the sensors and the commands do with the queue."""
    database = Database(url=database_url)
    queue = Queue(database, ShopRegistry(database=database))
    with database.connect() as connection:
        for table in ("sync_queue", "sync_requests", "syncs", "shops", "outbox"):
            connection.execute(f"DELETE FROM connector.{table}")  # type: ignore[arg-type]
    keys = queue.register(*(f"shop-{number}" for number in range(6)))
    asked: list[str] = []
    for step in steps:
        match step:
            case ("request", number, sync_type):
                asked.append(f"s-{len(asked)}")
                queue.request((asked[-1], f"shop-{number}"), sync_type=sync_type)
            case ("take", size, runs):
                queue.take(Capacity(runs, runs, runs), shops_per_run=size)
            case ("see",):
                queue.see()
            case ("end",):
                queue.end(*(f"shop-{number}" for number in range(0, 6, 2)))
            case ("again",):
                with database.connect() as connection:
                    for row in queue.rows("state = 'taken'"):
                        sync_queue.put_again(connection, row["sync_id"])
            case (reason, numbers):
                queue.put([keys[number] for number in sorted(numbers)], QueueReason(reason))
            case _:
                raise AssertionError(step)
        taken = [row["domain"] for row in queue.rows("state = 'taken'")]
        assert len(taken) == len(set(taken))
    assert {row["sync_id"] for row in queue.rows("awaited")} == set(asked)
    nobody_waits = Counter(row["domain"] for row in queue.rows("state = 'waiting' AND NOT awaited"))
    # Beside a row of each kind that a request could not cover there is never more than a few.
    assert all(count <= 2 for count in nobody_waits.values())
