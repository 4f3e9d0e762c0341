"""Slow, failing and interrupted shops of a run, each on its own account."""

import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from connector_pipeline.model.errors import (
    ArchiveUnavailable,
    ConnectorError,
    DatabaseUnavailable,
    DeadlineExceeded,
    Defect,
    InvalidResponse,
    PlatformUnavailable,
    RateLimited,
    ShopBusy,
    ShopDisconnected,
    TokenServiceUnavailable,
    UnknownShop,
)
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.model.sync import own_sync_id
from connector_pipeline.postgres import named_locks
from connector_pipeline.sandbox.controls.faults import rule_from_json
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline.sync import places
from connector_pipeline.sync.rounds import worth_another_round
from connector_pipeline_tests.assets.conftest import CATALOG_ITEMS, RAW_PRODUCTS, Pipeline

HANGS = 240
"""Seconds after which a shop that hangs is released."""


def put(pipeline: Pipeline, *names: str, products: int = 3) -> list[SandboxShop]:
    """Put shops of one page, or of one page for ten products, into the sandbox."""
    shops = [
        pipeline.sandbox.store.put(
            ShopSpec(
                platform="shopify",
                domain=f"{name}.myshopify.com",
                merchant_id="merchant-1",
                platform_shop_id=name,
                products=products,
                variants=(1, 1),
                awkward=False,
            )
        )
        for name in names
    ]
    pipeline.register(*(shop.key for shop in shops))
    return shops


def requests(pipeline: Pipeline, shop: SandboxShop) -> int:
    """How often the shop was asked."""
    return pipeline.sandbox.requests.shop("shopify", shop.spec.domain).count


def of(shop: SandboxShop) -> dict[str, str]:
    """The match of a fault that concerns the requests to this shop alone."""
    return {"domain": shop.spec.domain, "platform": "shopify"}


@contextmanager
def meanwhile(until: Callable[[], bool], then: Callable[[], Any]) -> Generator[None]:
    """While the body runs, wait in a thread until something holds, then do something."""
    over = threading.Event()

    def watch() -> None:
        end = time.monotonic() + HANGS
        while not until() and not over.is_set() and time.monotonic() < end:
            time.sleep(0.01)
        then()

    with ThreadPoolExecutor(1) as thread:
        watching = thread.submit(watch)
        try:
            yield
        finally:
            over.set()
            watching.result()


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (PlatformUnavailable, True),
        (RateLimited, True),
        (TokenServiceUnavailable, True),
        (DatabaseUnavailable, True),
        (ArchiveUnavailable, True),
        (ShopBusy, False),
        (DeadlineExceeded, False),
        (ShopDisconnected, True),
        (UnknownShop, False),
        (InvalidResponse, False),
        (Defect, False),
    ],
)
def test_only_an_error_that_may_have_passed_is_tried_again(
    error: type[ConnectorError], again: bool
) -> None:
    """A shop that has waited already is not tried again."""
    assert worth_another_round(error("it failed.")) is again


def test_shops_that_do_not_answer_hold_up_no_other(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With four places sixteen shops hang until the ten behind them have been read."""
    monkeypatch.setenv("SHOPS_AT_ONCE", "4")
    monkeypatch.setattr(places, "HELD_FOR_SECONDS", 0.05)
    slow = put(pipeline, *(f"a-slow-{number}" for number in range(16)))
    quick = put(pipeline, *(f"quick-{number}" for number in range(10)))
    held_up = [{"match": of(shop), "kind": "latency", "seconds": HANGS} for shop in slow]
    pipeline.sandbox.faults.set(held_up)
    seen: list[bool] = []

    def the_quick_are_done() -> bool:
        return all(requests(pipeline, shop) for shop in quick)

    def let_go() -> None:
        seen.append(the_quick_are_done() and not any(requests(pipeline, shop) for shop in slow))
        pipeline.sandbox.faults.clear()

    keys = [shop.key for shop in (*slow, *quick)]
    with meanwhile(the_quick_are_done, let_go):
        result = pipeline.materialize(*keys, assets=[RAW_PRODUCTS])
    assert seen == [True]
    assert result.success, pipeline.failure(result)


def test_a_shops_deadline_ends_its_fetch_and_keeps_its_pages(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other shop is read.

    The error says how far this one came; a re-executed run goes on there.
    """
    monkeypatch.setenv("SHOPIFY_BATCH_SIZE", "10")
    # The neighbour is read in time on a busy machine, too.
    monkeypatch.setenv("CONNECTOR_SHOP_DEADLINE", "5s")
    [slow] = put(pipeline, "slow", products=60)
    [neighbour] = put(pipeline, "neighbour")
    pipeline.sandbox.faults.set(
        [{"match": of(slow), "kind": "latency", "seconds": HANGS, "skip": 4}]
    )
    result = pipeline.materialize(slow.key, neighbour.key, assets=[RAW_PRODUCTS])
    assert pipeline.materialized(RAW_PRODUCTS, result.run_id).keys() == {neighbour.key}
    text = pipeline.failure(result)
    assert "DeadlineExceeded: " in text
    assert f"{slow.key}: it was not read within 5 s: " in text
    assert "CONNECTOR_SHOP_DEADLINE" in text

    assert pipeline.registry.get(slow.key).consecutive_failures == 1

    pipeline.sandbox.faults.clear()
    monkeypatch.setenv("CONNECTOR_SHOP_DEADLINE", "30m")
    again = pipeline.materialize(slow.key, tags={"dagster/root_run_id": result.run_id})
    assert again.success, pipeline.failure(again)
    assert len(pipeline.rows(slow.key)) == len(pipeline.served(slow.key))
    # It is the same sync, so the adapter goes on after its archived pages.
    metadata = pipeline.materialized(RAW_PRODUCTS, again.run_id)[slow.key]
    assert metadata["sync_id"] == own_sync_id(result.run_id, slow.key)


def test_a_trouble_that_passes_costs_a_shop_nothing_but_time(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run goes on with the shop after the others.

    It records no failure and sends no event of one.
    """
    monkeypatch.setenv("SHOPIFY_BATCH_SIZE", "10")
    monkeypatch.setenv("CONNECTOR_MAX_RETRIES", "1")
    [ailing] = put(pipeline, "ailing", products=60)
    [neighbour] = put(pipeline, "neighbour")
    keys = [ailing.key, neighbour.key]
    down = {"kind": "status", "status": 503, "skip": 4, "times": 2}
    pipeline.sandbox.faults.set([{"match": of(ailing), **down}])
    result = pipeline.materialize(*keys, assets=[RAW_PRODUCTS])
    assert result.success, pipeline.failure(result)
    assert pipeline.materialized(RAW_PRODUCTS, result.run_id).keys() == set(keys)
    with pipeline.database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM connector.outbox").fetchall() == [(0,)]
    assert pipeline.registry.get(ailing.key).consecutive_failures == 0


@pytest.mark.parametrize("service", ["token-service", "shopify", "woocommerce"])
def test_one_setting_says_how_often_a_request_is_tried_again(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    """Each service is asked CONNECTOR_MAX_RETRIES times again in each of the two rounds."""
    monkeypatch.setenv("CONNECTOR_MAX_RETRIES", "1")
    platform = "woocommerce" if service == "woocommerce" else "shopify"
    [shop] = [each for each in pipeline.sandbox.store if each.spec.platform == platform][:1]
    pipeline.register(shop.key)
    down = {"match": {"platform": service}, "kind": "status", "status": 503}
    rule = rule_from_json(down)
    pipeline.sandbox.faults.set([rule])
    assert not pipeline.materialize(shop.key, assets=[RAW_PRODUCTS]).success
    assert rule.applied == 4


def test_a_trouble_that_stays_is_one_failure(pipeline: Pipeline) -> None:
    """The shop is tried in two rounds, and its failure is counted and reported once.

    That of a refused shop, too, which stays active.
    """
    down, refused = put(pipeline, "down", "refused")
    refused.credentials.revoked = True
    pipeline.sandbox.faults.set([{"match": of(down), "kind": "status", "status": 500}])
    result = pipeline.materialize(down.key, refused.key, assets=[RAW_PRODUCTS])
    text = pipeline.failure(result)
    assert text.count("PlatformUnavailable: ") == text.count("AccessRefused: ") == 1
    assert requests(pipeline, down) == 8
    assert requests(pipeline, refused) == 4
    for shop in (down, refused):
        assert pipeline.registry.get(shop.key).consecutive_failures == 1
        assert pipeline.registry.get(shop.key).state is ShopState.ACTIVE
    with pipeline.database.connect() as connection:
        rows = connection.execute(
            "SELECT domain, status, error_code FROM connector.syncs ORDER BY domain"
        ).fetchall()
        assert connection.execute("SELECT count(*) FROM connector.outbox").fetchall() == [(2,)]
    assert rows == [
        (down.spec.domain, "failed", "PlatformUnavailable"),
        (refused.spec.domain, "failed", "AccessRefused"),
    ]


def test_a_publish_that_was_cut_off_is_made_up_for(pipeline: Pipeline) -> None:
    """The same run publishes the shop again.

    It records no failure and sends one event, of completion.
    """
    [shop] = put(pipeline, "shop")
    pipeline.materialize(shop.key, assets=[RAW_PRODUCTS])
    url = pipeline.database.connection_url()
    waiting = (
        "FROM pg_stat_activity WHERE datname = current_database() "
        "AND wait_event_type = 'Lock' AND query LIKE '%connector.locks%'"
    )
    with (
        psycopg.connect(url) as holder,
        psycopg.connect(url, autocommit=True) as watcher,
    ):
        named_locks.lock(holder, f"publish {shop.key}")

        def cut() -> None:
            watcher.execute(f"SELECT pg_terminate_backend(pid, 60000) {waiting}")
            holder.rollback()

        with meanwhile(lambda: bool(watcher.execute(f"SELECT 1 {waiting}").fetchall()), cut):
            result = pipeline.materialize(shop.key, assets=[CATALOG_ITEMS])
        assert result.success, pipeline.failure(result)
        events = watcher.execute("SELECT subject FROM connector.outbox").fetchall()
    assert events == [("evt.platform.fetch.completed",)]
    assert len(pipeline.rows(shop.key)) == len(pipeline.served(shop.key))
    assert pipeline.registry.get(shop.key).consecutive_failures == 0


def test_only_an_automatic_retry_leaves_out_what_was_published(pipeline: Pipeline) -> None:
    """It reports the counts of that publish. A person who materializes again gets a new publish."""
    [shop] = put(pipeline, "shop")
    first = pipeline.materialize(shop.key)
    inserted = len(pipeline.served(shop.key))
    root = {"dagster/root_run_id": first.run_id}
    asked = requests(pipeline, shop)

    def published(tags: dict[str, str], assets: list[str]) -> tuple[int, int]:
        result = pipeline.materialize(shop.key, assets=assets, tags=tags)
        assert result.success, pipeline.failure(result)
        metadata = pipeline.materialized(CATALOG_ITEMS, result.run_id)[shop.key]
        return metadata["inserted"], metadata["unchanged"]

    retried = root | {"dagster/retry_number": "1"}
    assert published(retried, [RAW_PRODUCTS, CATALOG_ITEMS]) == (inserted, 0)
    assert requests(pipeline, shop) == asked
    assert published(root, [CATALOG_ITEMS]) == (0, inserted)
    assert published({}, [CATALOG_ITEMS]) == (0, inserted)
