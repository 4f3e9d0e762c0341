"""A Dagster run worker is killed (SIGKILL): while it fetches, or publishes under a reader."""

import random
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest

from connector_pipeline.archive.manifest import pages_folder
from connector_pipeline.archive.page_file import decode_page
from connector_pipeline.archive.raw_archive import RawArchive
from connector_pipeline.sandbox.shops.edits import now
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline.settings import load_settings
from connector_pipeline_tests.assets.conftest import RAW_PRODUCTS, Pipeline, sync_id_tag
from connector_pipeline_tests.assets.run_worker import PATIENCE, RunWorker
from connector_pipeline_tests.catalog.shop_reader import Reader, checksum, live_checksum

SPEC = ShopSpec(
    platform="shopify",
    domain="killed.myshopify.com",
    merchant_id="merchant-killed",
    platform_shop_id="9",
    products=200,
    variants=(1, 4),
    seed=9,
)
KEY = "shopify/killed.myshopify.com"
Watcher = psycopg.Connection


def publishing(watcher: Watcher) -> bool:
    """Whether a publish has begun its transaction."""
    return _any_session(watcher, "query LIKE '%staged_items%'")


def at_the_lock(watcher: Watcher) -> bool:
    """Whether a publish waits for the shop's lock: all rows are staged and none is written."""
    return _any_session(watcher, "wait_event_type = 'Lock' AND query LIKE '%connector.locks%'")


def at_the_end(watcher: Watcher) -> bool:
    """Whether a publish waits for its shop's row: its rows are written and not committed."""
    return _any_session(
        watcher, "wait_event_type = 'Lock' AND query LIKE '%UPDATE connector.shops%'"
    )


def _any_session(watcher: Watcher, condition: LiteralString) -> bool:
    found = watcher.execute(
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
        f" AND application_name = 'connector-pipeline' AND state <> 'idle' AND {condition}"
    )
    return found.fetchone() is not None


@contextmanager
def held(url: str, statement: LiteralString, *values: str) -> Generator[None]:
    """Hold the lock that the statement takes."""
    with psycopg.connect(url) as connection:
        connection.execute(statement, values)
        yield
        connection.rollback()


@pytest.mark.parametrize("random_kills", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_a_run_killed_while_it_publishes_leaves_the_old_state_or_the_new(
    stored: Pipeline, tmp_path: Path, random_kills: int
) -> None:
    """This holds at any instant, also just before the commit. Each next sync succeeds."""
    shop = stored.sandbox.store.put(SPEC)
    stored.register(KEY)
    products = list(shop.product_ids())
    versions: list[str] = []

    def edit_the_shop() -> None:
        version = len(versions)
        for product in products[2:]:
            shop.edit_product(product, {"title": f"version {version}"})
        # Some items go and some come back, so that every kind of write happens.
        (shop.remove_product if version % 2 else shop.restore_product)(products[0])
        (shop.restore_product if version % 2 else shop.remove_product)(products[1])
        versions.append(checksum(stored.served(KEY).values()))

    def next_sync() -> None:
        result = stored.materialize(KEY)
        assert result.success, stored.failure(result)
        assert live_checksum(watcher) == versions[-1]

    shop.remove_product(products[0])
    edit_the_shop()
    url = stored.database.connection_url()
    reader = Reader(url)
    with psycopg.connect(url, autocommit=True) as watcher:
        next_sync()
        reader.start()
        try:
            # Held up at two instants that chance seldom finds: with all staged and nothing
            # written, and with all written and nothing committed.
            edit_the_shop()
            with held(
                url, "SELECT FROM connector.locks WHERE name = %s FOR UPDATE", f"publish {KEY}"
            ):
                worker = RunWorker(stored, tmp_path / "log", tags={"dagster/partition": KEY})
                worker.wait_for(lambda: at_the_lock(watcher))
                worker.kill()
                assert live_checksum(watcher) == versions[-2]
            next_sync()
            edit_the_shop()
            with held(url, "SELECT 1 FROM connector.shops FOR UPDATE"):
                worker = RunWorker(stored, tmp_path / "log", tags={"dagster/partition": KEY})
                worker.wait_for(lambda: publishing(watcher) or at_the_end(watcher))
                began = time.monotonic()
                worker.wait_for(lambda: at_the_end(watcher))
                whole_publish = time.monotonic() - began
                worker.kill()
                assert live_checksum(watcher) == versions[-2]
            next_sync()
            for _ in range(random_kills):
                edit_the_shop()
                worker = RunWorker(stored, tmp_path / "log", tags={"dagster/partition": KEY})
                worker.wait_for(lambda: publishing(watcher))
                # Any instant will do, because the promise holds at every one.
                time.sleep(random.uniform(0, whole_publish))
                worker.kill()
                next_sync()
        finally:
            reader.stop()
    known = {seen: version for version, seen in enumerate(versions)}
    assert all(seen in known for seen in reader.seen), "half a version was seen"
    order = [known[seen] for seen in reader.seen]
    assert order == sorted(order)
    assert len(order) > 1


def archived_pages(sync_id: str) -> int:
    """The number of a sync's whole pages in the raw archive."""
    storage = RawArchive(url=load_settings().archive_url).storage()
    found = 0
    for path in storage.files(pages_folder(KEY, sync_id)):
        if path.endswith(".zst"):
            with suppress(ValueError):
                decode_page(storage.read(path))
                found += 1
    return found


def test_a_run_killed_while_it_fetches_goes_on_after_its_last_page(
    stored: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A retry under the same sync asks for no page that the archive has already."""
    monkeypatch.setenv("SHOPIFY_BATCH_SIZE", "20")
    shop = stored.sandbox.store.put(SPEC)
    stored.register(KEY)
    tags = sync_id_tag("killed-1")
    shopify = {"platform": "shopify", "domain": SPEC.domain}
    # The sandbox answers for the shop and six pages of products, and then no more.
    pages = {**shopify, "body_contains": "query Products("}
    stored.sandbox.faults.set([{"match": pages, "kind": "hang", "skip": 6}])
    worker = RunWorker(stored, tmp_path / "log", tags={"dagster/partition": KEY, **tags})
    worker.wait_for(lambda: archived_pages("killed-1") == 7)
    worker.kill()
    stored.sandbox.faults.clear()

    def asked() -> int:
        return len(stored.sandbox.requests.requests(service="shopify", domain=SPEC.domain))

    # The sandbox logs the request that hung once it sees that nobody waits for the answer.
    until = time.monotonic() + PATIENCE
    while asked() < 9 and time.monotonic() < until:
        time.sleep(0.01)
    stored.sandbox.requests.clear()
    # A page that is not asked for again does not have this edit.
    read, *_ = shop.product_ids()
    shop.edit_product(read, {"title": "Changed since"}, at=now())
    result = stored.materialize(KEY, tags=tags)
    assert result.success, stored.failure(result)
    # 200 products are ten pages of 20, and the shop is one page. The variants' count is no page.
    assert asked() == 11 - 7 + 1
    raw = stored.materialized(RAW_PRODUCTS, result.run_id)[KEY]
    assert (raw["pages"], raw["requests"], raw["complete"]) == (11, 5, True)
    assert raw["details"]["pages_from_archive"] == 7
    assert len(stored.rows(KEY)) == len(stored.served(KEY))
    assert "Changed since" not in set(stored.rows(KEY)["product_title"])
    # The next sync reads all pages anew, and has the edit.
    assert stored.materialize(KEY).success
    assert "Changed since" in set(stored.rows(KEY)["product_title"])
