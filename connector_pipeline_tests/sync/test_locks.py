"""No shop is fetched by two runs at once."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from connector_pipeline.model.errors import DatabaseUnavailable, ShopBusy
from connector_pipeline.postgres.database import Database
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline.sync.locks import APPLICATION_NAME, ShopLocks
from connector_pipeline_tests.assets.conftest import RANGE_END, RANGE_START, RAW_PRODUCTS, Pipeline
from connector_pipeline_tests.assets.run_worker import RunWorker

KEY = "shopify/acme.myshopify.com"
OTHER = "shopify/other.myshopify.com"
HANGS = 300
"""Seconds after which a test that hangs is ended."""


async def test_a_shop_that_is_fetched_is_busy_and_says_who_fetches_it(database: Database) -> None:
    """The error comes at once and names the run. Other shops are free, and so is this one later."""
    async with (
        ShopLocks(database, run_id="run-1") as first,
        ShopLocks(database, run_id="run-2") as second,
    ):
        async with first.hold(KEY):
            with pytest.raises(ShopBusy, match="Dagster run run-1 has the shop"):
                async with second.hold(KEY):
                    pass
            async with second.hold(OTHER):
                pass
        async with second.hold(KEY):
            pass


async def test_the_locks_of_a_run_are_one_connections(database: Database) -> None:
    """A hundred shops under way cost the server one session."""
    async with ShopLocks(database, run_id="run-1") as locks, asyncio.timeout(HANGS):
        all_held = asyncio.Barrier(101)

        async def held(number: int) -> None:
            async with locks.hold(f"shopify/shop-{number}.myshopify.com"):
                await all_held.wait()
                await all_held.wait()

        async with asyncio.TaskGroup() as group:
            for number in range(100):
                group.create_task(held(number))
            await all_held.wait()
            assert len(sessions(database, "run-1")) == 1
            await all_held.wait()


async def test_a_lock_that_is_lost_ends_what_is_done_under_it(database: Database) -> None:
    """The work fails as DatabaseUnavailable. The lock can be taken again afterwards."""
    async with ShopLocks(database, run_id="run-1") as locks, asyncio.timeout(HANGS):

        async def cut_off() -> None:
            async with locks.hold(KEY):
                [pid] = sessions(database, "run-1")
                with database.connect() as connection:
                    connection.execute("SELECT pg_terminate_backend(%s, 60000)", (pid,))
                await asyncio.Event().wait()

        with pytest.raises(DatabaseUnavailable, match="reading was stopped"):
            await cut_off()
        async with locks.hold(KEY), ShopLocks(database, run_id="run-2") as other:
            with pytest.raises(ShopBusy, match="run-1"):
                async with other.hold(KEY):
                    pass


async def test_an_error_under_a_lock_is_its_own(database: Database) -> None:
    """A TimeoutError of the work itself is not taken for a lost lock."""
    async with ShopLocks(database, run_id="run-1") as locks:
        with pytest.raises(TimeoutError, match="theirs"):
            async with locks.hold(KEY):
                raise TimeoutError("theirs")
        async with locks.hold(KEY):
            pass


async def test_a_run_that_ends_leaves_no_lock(database: Database) -> None:
    """It leaves no connection either."""
    async with ShopLocks(database, run_id="run-1") as locks, locks.hold(KEY):
        pass
    until = time.monotonic() + HANGS
    while sessions(database, "run-1"):
        assert time.monotonic() < until
        await asyncio.sleep(0.01)


def sessions(database: Database, run_id: str) -> list[int]:
    """The server's sessions of the run's locks."""
    with database.connect() as connection:
        rows = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name = %s",
            (APPLICATION_NAME + run_id,),
        ).fetchall()
    return [pid for (pid,) in rows]


def specs(number: int, products: int) -> Iterator[ShopSpec]:
    """Shops of some pages each."""
    for index in range(number):
        yield ShopSpec(
            platform="shopify",
            domain=f"shop-{index}.myshopify.com",
            merchant_id="merchant-1",
            platform_shop_id=str(index),
            products=products,
            variants=(1, 1),
            awkward=False,
        )


def readings(sandbox: SandboxServer, domain: str) -> int:
    """How many times the shop was read from its beginning to its end, without another between.

    A reading has a connection from its beginning to its end, and may have others beside it. So
    connections whose times overlap are of one reading, or of readings that overlap.
    """
    requests = sandbox.requests.requests(service="shopify", domain=domain)
    spans: dict[int, tuple[int, int]] = {}
    for place, request in enumerate(requests):
        first, _ = spans.get(request.connection, (place, place))
        spans[request.connection] = first, place
    found, end = 0, -1
    for first, last in sorted(spans.values()):
        found += first > end
        end = max(end, last)
    return found


def test_two_runs_read_the_same_shops_one_after_the_other(
    stored: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each run fetches every shop, and never while the other run reads that shop."""
    monkeypatch.setenv("SHOPIFY_BATCH_SIZE", "10")
    shops = [stored.sandbox.store.put(spec) for spec in specs(5, products=40)]
    keys = [shop.key for shop in shops]
    stored.register(*keys)
    # Requests take so long that two runs would overlap.
    stored.sandbox.faults.set(
        [{"match": {"platform": "shopify"}, "kind": "latency", "seconds": 0.1}]
    )

    ranged = {RANGE_START: keys[0], RANGE_END: keys[-1]}
    workers = [
        RunWorker(stored, tmp_path / str(number), tags=ranged, assets=[RAW_PRODUCTS])
        for number in range(2)
    ]
    for worker in workers:
        worker.wait()
        assert stored.materialized(RAW_PRODUCTS, worker.run_id).keys() == set(keys)
    for shop in shops:
        assert readings(stored.sandbox, shop.spec.domain) == 2, f"{shop.key} was read in pieces"
        # One beside another: a reading asks for its count beside its first page.
        assert stored.sandbox.requests.shop("shopify", shop.spec.domain).peak_in_flight <= 2


async def test_a_shop_that_stays_busy_fails_alone_and_counts_as_healthy(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other shop is fetched. The busy shop's sync failed, and its failures are not counted."""
    monkeypatch.setenv("CONNECTOR_SHOP_WAIT", "0s")
    busy, free = (pipeline.sandbox.store.put(spec) for spec in specs(2, products=3))
    pipeline.register(busy.key, free.key)
    async with ShopLocks(pipeline.database, run_id="another-run") as locks, locks.hold(busy.key):
        result = await asyncio.to_thread(
            pipeline.materialize, busy.key, free.key, assets=[RAW_PRODUCTS]
        )
    assert pipeline.materialized(RAW_PRODUCTS, result.run_id).keys() == {free.key}
    text = pipeline.failure(result)
    assert "ShopBusy: " in text
    assert f"{busy.key}: Dagster run another-run has the shop." in text
    assert pipeline.sandbox.requests.shop("shopify", busy.spec.domain).count == 0
    with pipeline.database.connect() as connection:
        rows = connection.execute(
            "SELECT domain, status, error_code FROM connector.syncs ORDER BY domain"
        ).fetchall()
    assert rows == [
        (busy.spec.domain, "failed", "ShopBusy"),
        (free.spec.domain, "running", None),
    ]
    assert pipeline.registry.get(busy.key).consecutive_failures == 0


def test_a_run_that_loses_its_locks_goes_on_after_the_pages_it_has(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shop is read to its end under a new lock, no page twice."""
    monkeypatch.setenv("SHOPIFY_BATCH_SIZE", "10")
    [shop] = (pipeline.sandbox.store.put(spec) for spec in specs(1, products=60))
    pipeline.register(shop.key)
    held_up = {"match": {"platform": "shopify"}, "kind": "latency", "seconds": HANGS, "skip": 4}
    pipeline.sandbox.faults.set([held_up])

    def cut() -> None:
        url = pipeline.database.connection_url()
        with psycopg.connect(url, autocommit=True) as watcher:
            until = time.monotonic() + HANGS
            while (
                pipeline.sandbox.requests.shop("shopify", shop.spec.domain).count < 4
                and time.monotonic() < until
            ):
                time.sleep(0.01)
            watcher.execute(
                "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity "
                "WHERE application_name LIKE %s",
                (APPLICATION_NAME + "%",),
            )
            # The fetch ends, and its request with it.
            while (
                pipeline.sandbox.requests.shop("shopify", shop.spec.domain).count < 5
                and time.monotonic() < until
            ):
                pipeline.sandbox.faults.clear()
                time.sleep(0.01)

    with ThreadPoolExecutor(1) as thread:
        cutting = thread.submit(cut)
        result = pipeline.materialize(shop.key)
        cutting.result()
    assert result.success, pipeline.failure(result)
    assert len(pipeline.rows(shop.key)) == len(pipeline.served(shop.key))
