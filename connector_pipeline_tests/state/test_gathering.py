"""Hints become one waiting row of their shop, and whatever happens none is lost on the way."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector_pipeline.model.errors import PlatformUnavailable, SyncInterrupted
from connector_pipeline.model.hint import MOST_HINTED, Hint, HintedToken, HintSource
from connector_pipeline.model.queue import QueueReason
from connector_pipeline.model.shop import Shop
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.model.sync import Sync
from connector_pipeline.model.sync_type import SyncType
from connector_pipeline.postgres.database import Database
from connector_pipeline.state import (
    gathering,
    hints,
    sync_failure,
    sync_log,
    sync_queue,
    sync_success,
)
from connector_pipeline.state.asked_again import (
    DISTANCES,
    ask_again_for,
    read_tokens,
    tokens_of,
)
from connector_pipeline.state.hints import ReceivedHint
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline.state.sync_log import PublishCounts
from connector_pipeline_tests.state.test_sync_queue import Queue, key

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class HintedQueue(Queue):
    """The queue with hints. A registered shop had a full sync, unless it is said otherwise."""

    def register(self, *names: str, merchant_id: str = "m-1", marked: bool = True) -> list[str]:
        keys = super().register(*names, merchant_id=merchant_id)
        if marked:
            self.execute("UPDATE connector.shops SET high_water_mark = now()")
        return keys

    def execute(self, statement: str) -> None:
        with self.database.connect() as connection:
            connection.execute(statement)  # type: ignore[arg-type]

    def hint(self, shop: str, *tokens: str | None, changed_at: datetime | None = None) -> None:
        with self.database.connect() as connection:
            hints.put(
                connection,
                [
                    ReceivedHint(
                        "shopify",
                        f"{shop}.myshopify.com",
                        HintSource.WEBHOOK,
                        Hint("products/update", token, changed_at),
                    )
                    for token in tokens
                ],
            )

    def gather(self, pause: timedelta = timedelta(0), most: Mapping[str, int] | None = None) -> int:
        """Gather the hints, those too that wait for their time."""
        self.execute("UPDATE connector.hints SET not_before = now() WHERE not_before IS NOT NULL")
        with self.database.connect() as connection:
            return gathering.gather(connection, pause=pause, most_hinted=most or {})

    def waiting(self) -> list[tuple[str, str, dict[str, HintedToken]]]:
        """Shop, reason and tokens of the rows that wait."""
        return [
            (row["domain"].partition(".")[0], row["reason"], read_tokens(row["hints"]))
            for row in self.rows("state = 'waiting'")
        ]

    def begin(self, sync_id: str) -> Sync:
        """Record that the sync of a row begins, of the type that the fetcher would choose."""
        [row] = self.rows(f"sync_id = '{sync_id}'")
        with self.database.connect() as connection:
            tokens = tokens_of(connection, sync_id)
            sync = Sync(
                sync_id=sync_id,
                partition_key=f"{row['platform_name']}/{row['domain']}",
                sync_type=SyncType.HINTED if tokens else SyncType.INCREMENTAL,
                correlation_id=sync_id,
                started_at=datetime.now(UTC),
                hinted=len(tokens) or None,
            )
            sync_log.start(connection, sync, self.shop(sync.partition_key), "run")
        return sync

    def succeed(self, sync: Sync, *, not_yet: Iterable[str] = ()) -> None:
        shop = self.shop(sync.partition_key)
        with self.database.connect() as connection:
            ask_again_for(connection, (shop.platform_name, shop.domain), sync.sync_id, [*not_yet])
            sync_success.succeed(
                connection, sync=sync, shop=shop, counts=PublishCounts(), complete=True
            )

    def fail(self, sync_id: str) -> None:
        with self.database.connect() as connection:
            sync_failure.fail(connection, sync_id, PlatformUnavailable("it answers 503."))

    def shop(self, partition_key: str) -> Shop:
        return self.registry.get(partition_key)


@pytest.fixture
def queue(database: Database, registry: ShopRegistry) -> HintedQueue:
    """An empty queue without hints."""
    return HintedQueue(database, registry)


def test_the_hints_of_a_shop_share_one_row_and_the_newest_time_of_each_counts(
    queue: HintedQueue,
) -> None:
    """Twice, late or out of order: it is one question, for the newest change of which we heard."""
    queue.register("acme", "other")
    queue.hint("acme", "1", changed_at=NOON)
    queue.hint("acme", "1", "2")
    queue.hint("other", "1")
    assert queue.gather() == 4
    queue.hint("acme", "1", changed_at=NOON - timedelta(hours=1))
    assert queue.gather() == 1
    assert queue.waiting() == [
        ("acme", "change", {"1": HintedToken(NOON), "2": HintedToken()}),
        ("other", "change", {"1": HintedToken()}),
    ]
    assert queue.gather() == 0


def test_a_row_waits_for_more_hints_and_its_pause_begins_with_the_first(
    queue: HintedQueue,
) -> None:
    """Hints that come all the time do not put the sync off for ever."""
    queue.register("acme")
    queue.hint("acme", "1")
    queue.gather(timedelta(hours=1))
    [first] = queue.rows()
    assert queue.take() == []
    with queue.database.connect() as connection:
        assert sync_queue.waiting(connection) == (0, 0)
    queue.hint("acme", "2")
    queue.gather(timedelta(hours=1))
    [row] = queue.rows()
    assert (row["not_before"], set(row["hints"])) == (first["not_before"], {"1", "2"})
    queue.execute("UPDATE connector.sync_queue SET not_before = now()")
    assert queue.take() == [["acme"]]


def test_a_platform_where_ids_are_dear_is_asked_for_fewer(queue: HintedQueue) -> None:
    """More of them make an increment, also where they join a row that waits."""
    queue.register("few", "many", "joined")
    queue.hint("few", *map(str, range(3)))
    queue.hint("many", *map(str, range(4)))
    queue.hint("joined", *map(str, range(3)))
    queue.gather(most={"shopify": 3})
    queue.hint("joined", "another")
    queue.gather(most={"shopify": 3})
    found = {shop: len(tokens) for shop, _, tokens in queue.waiting()}
    assert found == {"few": 3, "many": 0, "joined": 0}


def test_too_many_tokens_or_none_make_an_ordinary_increment(queue: HintedQueue) -> None:
    """One of the whole shop that waits already does for it, and the tokens join that."""
    queue.register("many", "any")
    queue.hint("many", *map(str, range(MOST_HINTED)))
    queue.hint("any", "1")
    queue.gather()
    queue.hint("many", "one more")
    queue.hint("any", None)
    queue.gather()
    assert queue.waiting() == [("any", "change", {}), ("many", "change", {})]
    assert {row["sync_type"] for row in queue.rows()} == {"incremental"}
    queue.hint("many", "1", None)
    queue.gather()
    assert queue.waiting() == [("any", "change", {}), ("many", "change", {})]


def test_hints_stand_beside_the_syncs_of_the_whole_shop_and_go_before_a_sweep(
    queue: HintedQueue,
) -> None:
    """A sweep is not brought forward by a hint, nor do its tokens wait until all is read."""
    [acme] = queue.register("acme")
    queue.put([acme], QueueReason.SWEEP, sweep_id="sweep")
    queue.hint("acme", "1")
    queue.gather()
    queue.put([acme], QueueReason.BACKFILL, backfill_id="b-1")
    queue.request(("s-1", "acme"))
    assert queue.waiting() == [
        ("acme", "change", {"1": HintedToken()}),
        ("acme", "request", {}),
    ]
    queue.take()
    queue.end("acme")
    queue.take()
    [row] = queue.rows("state = 'taken'")
    assert set(row["hints"]) == {"1"}


@pytest.mark.parametrize("state", [ShopState.PAUSED, ShopState.DISCONNECTED, None])
def test_hints_of_a_shop_that_is_not_active_or_not_known_are_dropped(
    state: ShopState | None, queue: HintedQueue
) -> None:
    """A shop that becomes active again is read by a sweep."""
    [acme] = queue.register("acme")
    if state is None:
        queue.registry.remove(acme)
    else:
        queue.registry.set_state(acme, state)
    queue.hint("acme", "1")
    assert queue.gather() == 1
    assert queue.rows() == []
    assert queue.gather() == 0


def test_a_shop_knows_when_webhooks_last_arrived_whatever_a_sync_has_locked(
    queue: HintedQueue,
) -> None:
    """Looks at its change feed become rarer by it, so a look's own hints do not count."""
    [by_webhook, by_feed, busy] = queue.register("by-webhook", "by-feed", "busy")
    queue.hint("by-webhook", "1")
    queue.hint("by-feed", "1")
    queue.execute("UPDATE connector.hints SET source = 'feed' WHERE domain LIKE 'by-feed%'")
    queue.hint("busy", "1")
    with queue.database.connect() as publishing:
        publishing.execute(
            "SELECT FROM connector.shops WHERE domain LIKE 'busy%' FOR UPDATE",
        )
        assert queue.gather() == 3
    assert queue.registry.get(by_webhook).last_hint_at is not None
    assert queue.registry.get(by_feed).last_hint_at is None
    assert queue.registry.get(busy).last_hint_at is None
    assert len(queue.waiting()) == 3


def test_a_shop_that_was_never_read_is_read_once_and_not_at_every_hint(queue: HintedQueue) -> None:
    """While its full syncs fail, strangers' edits must not repeat them without a distance."""
    queue.register("new", marked=False)
    queue.hint("new", "1")
    queue.gather()
    queue.hint("new", "2")
    queue.gather()
    assert queue.waiting() == [("new", "change", {})]
    queue.take()
    [row] = queue.rows()
    sync = queue.begin(row["sync_id"]).model_copy(update={"sync_type": SyncType.FULL})
    with queue.database.connect() as connection:
        sync_log.start(connection, sync, queue.shop(sync.partition_key), "run")
    queue.fail(sync.sync_id)
    queue.hint("new", "3")
    queue.gather()
    assert queue.waiting() == []


def test_the_end_of_a_platforms_own_work_leads_to_no_sync(queue: HintedQueue) -> None:
    """The sync that waits for it looks for its row."""
    queue.register("acme")
    queue.hint("acme", "bulk/1")
    assert queue.gather() == 1
    assert queue.rows() == []


def test_a_failed_sync_for_hints_asks_again_and_leaves_the_health_of_the_shop(
    queue: HintedQueue,
) -> None:
    """At growing distances, five times; then a sweep finds the change."""
    [acme] = queue.register("acme")
    queue.hint("acme", "1", changed_at=NOON)
    for asked in range(len(DISTANCES) + 1):
        queue.gather()
        assert queue.waiting() == [("acme", "change", {"1": HintedToken(NOON, asked)})]
        queue.take()
        [row] = queue.rows("state = 'taken'")
        queue.begin(row["sync_id"])
        queue.fail(row["sync_id"])
        with queue.database.connect() as connection:
            distances = connection.execute(
                "SELECT not_before - received_at FROM connector.hints WHERE gathered_at IS NULL"
            ).fetchall()
            assert not gathering.are_due(connection)
        for (distance,), expected in zip(distances, DISTANCES[asked : asked + 1], strict=True):
            assert abs(distance - expected) < timedelta(seconds=1)
    shop = queue.registry.get(acme)
    assert (shop.consecutive_failures, shop.last_error_code) == (0, None)


def test_a_published_sync_for_hints_says_nothing_of_the_whole_shop(queue: HintedQueue) -> None:
    """Failures of other syncs stay, and so does what the next increment begins with."""
    [acme] = queue.register("acme")
    queue.put([acme], QueueReason.SWEEP)
    queue.take()
    [row] = queue.rows()
    queue.begin(row["sync_id"])
    queue.fail(row["sync_id"])
    queue.hint("acme", "1", "2")
    queue.gather()
    before = queue.registry.get(acme)
    queue.take()
    [row] = queue.rows("state = 'taken'")
    sync = queue.begin(row["sync_id"])
    queue.succeed(sync, not_yet=["2"])
    after = queue.registry.get(acme)
    assert after.last_hinted_sync_at == sync.started_at
    assert after.model_copy(update={"last_hinted_sync_at": None}) == before
    assert (after.consecutive_failures, after.last_error_code) == (1, "PlatformUnavailable")
    queue.gather()
    assert queue.waiting() == [("acme", "change", {"2": HintedToken(asked=1)})]


SHOPS = ("a", "b")
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("hint"), st.sampled_from("aaab"), st.sampled_from(("1", "2", "3", "4", None))
        ),
        st.tuples(st.just("put"), st.sampled_from("aaab"), st.sampled_from(("sweep", "backfill"))),
        st.tuples(
            st.just("request"), st.sampled_from("aaab"), st.sampled_from(("full", "incremental"))
        ),
        st.sampled_from((("gather",), ("take",), ("begin",))),
        st.sampled_from((("begin",), ("begin", "die"), ("begin", "busy"), ("die",), ("busy",))),
        st.sampled_from((("begin", "fail"), ("begin", "interrupt"), ("fail",))),
        st.sampled_from((("succeed",), ("begin", "lag"))),
    ),
    min_size=10,
    max_size=30,
)
"""Of runs: `begin` gathers, takes what is ready and begins its syncs, which then meet the rest."""


MOST_FAILS = len(DISTANCES) - 1


@dataclass
class Story:
    """What happened to each hint: when it came, and the syncs that asked for it.

    Times are numbers that only grow. A sync of the whole shop counts from its first attempt, which
    left pages that the next one uses.
    """

    queue: HintedQueue
    now: int = 0
    fails: int = 0
    came: list[tuple[int, str, str | None]] = field(default_factory=list[Any])
    began: dict[str, tuple[int, str, set[str] | None]] = field(default_factory=dict[str, Any])
    running: dict[str, Sync] = field(default_factory=dict[str, Sync])
    answered: set[int] = field(default_factory=set[int])

    def taken(self, shop: str) -> list[str]:
        return [
            row["sync_id"]
            for row in self.queue.rows("state = 'taken'")
            if row["domain"].startswith(f"{shop}.")
        ]

    def begin(self, sync_id: str, shop: str) -> None:
        sync = self.queue.begin(sync_id)
        with self.queue.database.connect() as connection:
            tokens = set(tokens_of(connection, sync_id)) or None
        first = self.began.get(sync_id)
        at = first[0] if first is not None and tokens is None else self.now
        self.began[sync_id] = (at, shop, tokens)
        self.running[sync_id] = sync

    def succeed(self, sync_id: str, *, not_yet: Sequence[str] = ()) -> None:
        began, shop, tokens = self.began[sync_id]
        self.queue.succeed(self.running.pop(sync_id), not_yet=not_yet)
        for number, (came, of, token) in enumerate(self.came):
            asked = tokens is None or token in tokens
            if of == shop and came < began and asked and token not in not_yet:
                self.answered.add(number)

    def step(self, step: tuple[Any, ...]) -> None:
        self.now += 1
        match step:
            case ("hint", shop, token):
                self.queue.hint(shop, token)
                self.came.append((self.now, shop, token))
            case ("gather",):
                self.queue.gather()
            case ("put", shop, reason):
                self.queue.put([key(shop)], QueueReason(reason))
            case ("request", shop, sync_type):
                self.queue.request((f"s-{self.now}", shop), sync_type=sync_type)
            case ("take",):
                self.queue.take()
                self.queue.see()
            case steps:
                if "begin" in steps:
                    self.queue.gather()
                    self.queue.take()
                    self.queue.see()
                for shop in SHOPS:
                    for sync_id in self.taken(shop):
                        for what in steps:
                            self.happen(what, sync_id, shop)

    def happen(self, what: str, sync_id: str, shop: str) -> None:
        """What a run, or the lack of one, does to a shop that it has taken."""
        database = self.queue.database
        if what == "begin" and sync_id not in self.running:
            self.begin(sync_id, shop)
        elif what in ("succeed", "lag") and sync_id in self.running:
            tokens = self.began[sync_id][2]
            # A token is asked for a few times only.
            late = sorted(tokens or ())[:1] if what == "lag" and self.fails < MOST_FAILS else []
            self.fails += bool(late)
            self.succeed(sync_id, not_yet=late)
        elif what in ("fail", "interrupt") and self.fails < MOST_FAILS and sync_id in self.running:
            if self.began[sync_id][2] is None:
                # What a sync of the whole shop does not find is for the next one to find.
                return
            self.fails += 1
            self.running.pop(sync_id)
            with database.connect() as connection:
                error = PlatformUnavailable if what == "fail" else SyncInterrupted
                sync_failure.fail(connection, sync_id, error("it was cut off."))
        elif what == "die":
            self.running.pop(sync_id, None)
            with database.connect() as connection:
                sync_queue.put_again(connection, sync_id)
        elif what == "busy":
            self.running.pop(sync_id, None)
            [row] = self.queue.rows(f"sync_id = '{sync_id}'")
            with database.connect() as connection:
                assert sync_queue.wait_on(connection, sync_id, run_id=row["run_id"])

    def to_the_end(self) -> None:
        """Let the queue run empty, without further trouble."""
        for _ in range(20):
            self.queue.gather()
            self.queue.take()
            self.queue.see()
            taken = [(sync_id, shop) for shop in SHOPS for sync_id in self.taken(shop)]
            if not taken:
                return
            for sync_id, shop in taken:
                self.now += 1
                if sync_id not in self.running:
                    self.begin(sync_id, shop)
                self.succeed(sync_id)
        raise AssertionError("the queue does not run empty")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_whatever_happens_each_hint_is_asked_for_after_it_came(
    steps: list[tuple[Any, ...]], database_url: str
) -> None:
    """By a sync that has its token, or by one of the whole shop, which began after it came."""
    database = Database(url=database_url)
    queue = HintedQueue(database, ShopRegistry(database=database))
    for table in ("hints", "sync_queue", "sync_requests", "syncs", "shops", "outbox"):
        queue.execute(f"DELETE FROM connector.{table}")
    queue.register(*SHOPS)
    story = Story(queue)
    for step in steps:
        story.step(step)
        rows = queue.rows("state = 'waiting' AND hints IS NOT NULL AND relaunches = 0")
        fresh = [row["domain"] for row in rows if row["sync_id"] not in story.began]
        assert len(fresh) == len(set(fresh))
    story.to_the_end()
    assert story.answered == set(range(len(story.came)))
    assert queue.waiting() == []
