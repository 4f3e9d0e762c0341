"""A process that executes many runs: none of them is affected by those before it or beside it."""

import gc
import logging
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psutil
import pytest
from dagster import DagsterInstance, Definitions

from connector_pipeline.definitions import build_definitions
from connector_pipeline.postgres.pool import close_idle_connections
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline.settings import load_settings
from connector_pipeline_tests.assets.conftest import RAW_PRODUCTS, Pipeline, sync_id_tag
from connector_pipeline_tests.assets.test_pipeline import SHOPIFY, WOOCOMMERCE, catalog

PATIENCE = 240.0
"""Seconds to wait for what must happen, long enough for a busy machine."""

MOVED = ShopSpec(
    platform="woocommerce",
    domain="moved.example.com",
    merchant_id="merchant-1",
    platform_shop_id="wc-9",
    products=5,
    variants=(0, 2),
    plain_permalinks=True,
    strips_authorization=True,
)


@pytest.fixture
def definitions(pipeline: Pipeline) -> Definitions:
    """The definitions that the process has imported once for all its runs."""
    return build_definitions(load_settings())


def soon(holds: Callable[[], bool]) -> bool:
    """Whether something holds, at once or in a while."""
    until = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def advisory_locks(pipeline: Pipeline) -> int:
    """The sessions that may hold locks of shops."""
    with pipeline.database.connect() as connection:
        [(held,)] = connection.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database ="
            " (SELECT oid FROM pg_database WHERE datname = current_database())"
        ).fetchall()
    return int(held)


def sessions(pipeline: Pipeline) -> int:
    """The sessions of the database, other than the one that asks."""
    with pipeline.database.connect() as connection:
        [(found,)] = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid()"
        ).fetchall()
    return int(found)


def test_a_shop_that_changes_how_it_is_asked_is_asked_so_by_the_next_run(
    pipeline: Pipeline, definitions: Definitions
) -> None:
    """The key leaves the URLs as soon as the shop takes it in the header again."""
    key = f"woocommerce/{MOVED.domain}"
    pipeline.sandbox.store.put(MOVED)
    pipeline.register(key)
    first = pipeline.materialize(key, definitions=definitions)
    details = pipeline.materialized(RAW_PRODUCTS, first.run_id)[key]["details"]
    assert details["authentication"] == "query string"
    assert details["rest_root"] == "/index.php/wp-json"

    pipeline.sandbox.store.put(replace(MOVED, plain_permalinks=False, strips_authorization=False))
    pipeline.sandbox.requests.clear()
    second = pipeline.materialize(key, definitions=definitions)
    assert second.success, pipeline.failure(second)
    details = pipeline.materialized(RAW_PRODUCTS, second.run_id)[key]["details"]
    assert not details.keys() & {"authentication", "rest_root"}
    asked = pipeline.sandbox.requests.requests()
    assert asked
    assert not [each for each in asked if "consumer_secret" in str(each)]


def test_a_run_after_a_failed_and_a_cancelled_one_is_as_the_first(
    pipeline: Pipeline, definitions: Definitions, caplog: pytest.LogCaptureFixture
) -> None:
    """Locks are free, records name no other sync, and nothing of a run is left in the process."""
    caplog.set_level(logging.DEBUG)
    process = psutil.Process()
    pipeline.register(SHOPIFY, WOOCOMMERCE)
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    def left() -> tuple[int, list[str], int]:
        """What runs could leave: open files and sockets, threads, sessions of the database."""
        # Kept connections are closed after a while, at a time that no run decides.
        close_idle_connections()
        gc.collect()
        threads = sorted(thread.name for thread in threading.enumerate())
        return process.num_fds(), threads, sessions(pipeline)

    def synced(key: str, sync_id: str) -> None:
        caplog.clear()
        result = pipeline.materialize(key, tags=sync_id_tag(sync_id), definitions=definitions)
        assert result.success, pipeline.failure(result)
        assert catalog(pipeline, key) == pipeline.served(key)
        logging.getLogger("connector_pipeline").info("after the run")
        named = {record.__dict__.get("sync_id") for record in caplog.records}
        assert named == {sync_id, None}
        assert "sync_id=" not in caplog.messages[-1]

    synced(SHOPIFY, "s-1")
    synced(WOOCOMMERCE, "w-1")
    before = left()

    failed_on_a_refused_key(pipeline, definitions)
    cancelled_while_it_reads(pipeline, definitions)
    # Dagster 1.13.27 gives SIGTERM the handler of SIGINT when a run has ended.
    assert signal.getsignal(signal.SIGINT) == handlers[0]
    assert advisory_locks(pipeline) == 0

    synced(SHOPIFY, "s-2")
    synced(WOOCOMMERCE, "w-2")
    assert soon(lambda: no_more(left(), before)), (before, left())


def no_more(now: tuple[int, list[str], int], before: tuple[int, list[str], int]) -> bool:
    """Whether there are no more files, threads of a name, and sessions than before."""
    more_threads = Counter(now[1]) - Counter(before[1])
    return now[0] <= before[0] and not more_threads and now[2] <= before[2]


def failed_on_a_refused_key(pipeline: Pipeline, definitions: Definitions) -> None:
    """A run whose shop refuses the key; the merchant then makes another one."""
    shop = pipeline.sandbox.store.shop(*WOOCOMMERCE.split("/"))  # type: ignore[arg-type]
    shop.credentials.revoked = True
    result = pipeline.materialize(WOOCOMMERCE, definitions=definitions)
    assert "AccessRefused" in pipeline.failure(result)
    shop.credentials.revoked = False


def cancelled_while_it_reads(pipeline: Pipeline, definitions: Definitions) -> None:
    """A run that gets SIGTERM while the shop does not answer."""
    pipeline.sandbox.faults.set([{"kind": "hang", "at": "start", "match": {"platform": "shopify"}}])
    pipeline.sandbox.requests.clear()

    def terminate() -> None:
        asked = soon(
            lambda: any("shopify" in str(each) for each in pipeline.sandbox.requests.requests())
        )
        assert asked
        os.kill(os.getpid(), signal.SIGTERM)

    with ThreadPoolExecutor(1) as other:
        terminated = other.submit(terminate)
        result = pipeline.materialize(SHOPIFY, definitions=definitions)
        terminated.result()
    assert not result.success
    with pipeline.database.connect() as connection:
        ended = connection.execute(
            "SELECT error_code FROM connector.syncs WHERE run_id = %s", (result.run_id,)
        ).fetchall()
    assert ended == [("SyncInterrupted",)]
    pipeline.sandbox.faults.clear()


def test_two_runs_at_once_are_strangers(
    pipeline: Pipeline, definitions: Definitions, caplog: pytest.LogCaptureFixture
) -> None:
    """In threads of one process, each reads its shop, names its sync alone, and frees its lock."""
    caplog.set_level(logging.DEBUG)
    pipeline.register(SHOPIFY, WOOCOMMERCE)
    begin = threading.Barrier(2)
    syncs = {SHOPIFY: "s-1", WOOCOMMERCE: "w-1"}

    def run(key: str) -> None:
        # Dagster 1.13.27 configures the process's logging anew for each run of an instance with a
        # dagster.yaml. Beside another run that ends in a deadlock of the logging module
        # (https://github.com/python/cpython/issues/96727), so these instances have none.
        with DagsterInstance.ephemeral() as instance:
            instance.add_dynamic_partitions("shops", [key])
            begin.wait(PATIENCE)
            result = replace(pipeline, instance=instance).materialize(
                key, tags=sync_id_tag(syncs[key]), definitions=definitions
            )
            assert result.success

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(run, syncs))
    for key, sync_id in syncs.items():
        assert catalog(pipeline, key) == pipeline.served(key)
        names = {
            record.__dict__.get("sync_id")
            for record in caplog.records
            if f"/pages/{sync_id}/" in record.getMessage()
        }
        assert names == {sync_id}
    assert advisory_locks(pipeline) == 0
