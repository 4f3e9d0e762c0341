"""Everything that changes the queue may do so at once: nothing fails, and nothing is lost."""

import random
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime
from itertools import count

import pytest

from connector_pipeline.model.errors import PlatformUnavailable
from connector_pipeline.model.queue import QueueReason
from connector_pipeline.model.sync import Sync
from connector_pipeline.model.sync_type import SyncType
from connector_pipeline.postgres.database import Database
from connector_pipeline.state import (
    inbox,
    queue_intake,
    queued_runs,
    sweeps,
    sync_queue,
    sync_success,
)
from connector_pipeline.state.queued_runs import Capacity
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline.state.sync_log import PublishCounts
from connector_pipeline.state.sync_records import SyncRecords
from connector_pipeline_tests.state.test_inbox import request
from connector_pipeline_tests.state.test_sync_queue import Queue

SHOPS = 60
ROUNDS = 15


@pytest.fixture
def queue(database: Database, registry: ShopRegistry) -> Queue:
    """An empty queue."""
    return Queue(database, registry)


def test_all_that_changes_the_queue_may_do_so_at_once(queue: Queue) -> None:
    """No transaction deadlocks; no shop is taken twice; each request's sync ends exactly once."""
    names = [f"shop-{number:03}" for number in range(SHOPS)]
    keys = queue.register(*names)
    numbers = count()
    sent: list[str] = []
    changed = threading.Lock()
    all_put_in = threading.Event()

    def shuffled(seed: random.Random) -> list[str]:
        return seed.sample(keys, SHOPS)

    def sweep(seed: random.Random) -> None:
        with queue.database.connect() as connection:
            sweeps.put(connection, "2026-01-01T00:00Z", shuffled(seed))

    def backfill(seed: random.Random) -> None:
        with queue.database.connect() as connection:
            queue_intake.put_shops(
                connection,
                shuffled(seed),
                reason=QueueReason.BACKFILL,
                backfill_id=str(seed.random()),
            )

    def requests(seed: random.Random) -> None:
        with changed:
            ids = [f"s-{next(numbers)}" for _ in range(20)]
            sent.extend(ids)
        wanted = [request(sync_id, seed.choice(names)) for sync_id in ids]
        with queue.database.connect() as connection:
            inbox.put(connection, wanted)
        with queue.database.connect() as connection:
            inbox.accept(connection, limit=1_000)

    def take(seed: random.Random) -> None:
        with queue.database.connect() as connection:
            inbox.refuse_paused(connection)
            sync_queue.withdraw_inactive(connection)
            queued_runs.take(connection, capacity=Capacity(2, 2, 4), shops_per_run=7)
        queue.see()

    def end(seed: random.Random) -> None:
        rows = queue.rows("state = 'taken' AND run_id IS NOT NULL")
        for row in seed.sample(rows, min(len(rows), 10)):
            with changed:
                mine = row["id"] not in being_ended
                being_ended.add(row["id"])
            if mine:
                end_one(queue, row["sync_id"], row["platform_name"], row["domain"], seed)

    being_ended: set[int] = set()

    errors: list[BaseException] = []

    def rounds(work: Callable[[random.Random], None], number: int) -> None:
        seed = random.Random(number)
        for _ in range(ROUNDS):
            tried(work, seed)

    def until_all_ended(work: Callable[[random.Random], None], number: int) -> None:
        seed = random.Random(number)
        while not errors and (not all_put_in.is_set() or queue.rows("state <> 'ended'")):
            tried(work, seed)

    def tried(work: Callable[[random.Random], None], seed: random.Random) -> None:
        if errors:
            return
        try:
            work(seed)
        except Exception as error:
            errors.append(error)

    with ThreadPoolExecutor(16) as threads:
        for number, work in enumerate((take, take, end, end, end)):
            threads.submit(until_all_ended, work, number)
        put_in = [
            threads.submit(rounds, work, number)
            for number, work in enumerate((sweep, sweep, backfill, backfill, requests, requests))
        ]
        wait(put_in)
        all_put_in.set()
    assert errors == []
    ended = queue.rows("awaited")
    assert Counter(row["sync_id"] for row in ended) == Counter(sent)
    assert {row["state"] for row in ended} == {"ended"}
    with queue.database.connect() as connection:
        events = Counter(
            sync_id
            for (sync_id,) in connection.execute(
                "SELECT payload->'data'->>'sync_id' FROM connector.outbox"
            )
        )
    assert {sync_id: events[sync_id] for sync_id in sent} == dict.fromkeys(sent, 1)


def end_one(
    queue: Queue, sync_id: str, platform_name: str, domain: str, seed: random.Random
) -> None:
    """Do what a run does for one of its shops."""
    shop = queue.registry.get(f"{platform_name}/{domain}")
    sync = Sync(
        sync_id=sync_id,
        partition_key=shop.partition_key,
        sync_type=SyncType.FULL,
        correlation_id=sync_id,
        started_at=datetime.now(UTC),
        since=None,
    )
    records = SyncRecords(queue.registry.database)
    records.start(sync, shop, "run")
    if seed.random() < 0.3:
        records.fail(sync_id, PlatformUnavailable("it is away."))
        return
    with queue.database.connect() as connection:
        sync_success.succeed(
            connection, sync=sync, shop=shop, counts=PublishCounts(items=1), complete=True
        )
