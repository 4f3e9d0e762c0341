"""A run over a list of shops gives exactly these a status, each its own."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from dagster import AssetCheckKey, AssetKey, DagsterInstance, ExecuteInProcessResult
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from connector_pipeline.assets.partitions import shops
from connector_pipeline.assets.run_identity import BACKFILL_TAG, SWEEP_TAG
from connector_pipeline.assets.sync_shops import JOB, run_config
from connector_pipeline.catalog.expectations import EXPECTATIONS
from connector_pipeline.definitions import build_definitions
from connector_pipeline.engine.run_tags import RETRY_NUMBER, ROOT_RUN_ID
from connector_pipeline.sandbox.controls.faults import FaultRule
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline.settings import load_settings
from connector_pipeline.state import backfills, sweeps
from connector_pipeline_tests.assets.conftest import CATALOG_ITEMS, RAW_PRODUCTS, Pipeline
from connector_pipeline_tests.assets.run_worker import RunWorker

ASSETS = (RAW_PRODUCTS, CATALOG_ITEMS)


def key(number: int) -> str:
    return f"shopify/listed-{number}.myshopify.com"


@pytest.fixture
def twelve(pipeline: Pipeline) -> Pipeline:
    """Twelve small registered shops with their partitions."""
    return with_twelve_shops(pipeline)


def with_twelve_shops(pipeline: Pipeline) -> Pipeline:
    for number in range(12):
        pipeline.sandbox.store.put(
            ShopSpec(
                platform="shopify",
                domain=key(number).split("/")[1],
                merchant_id="merchant-listed",
                platform_shop_id=str(number),
                products=2,
                variants=(1, 2),
                seed=number,
                awkward=False,
            )
        )
    pipeline.register(*(key(number) for number in range(12)))
    return pipeline


def sync(
    pipeline: Pipeline, keys: Sequence[str], tags: Mapping[str, str] | None = None
) -> ExecuteInProcessResult:
    job = build_definitions(load_settings()).resolve_job_def(JOB)
    config = run_config(keys) | {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    return job.execute_in_process(
        instance=pipeline.instance,
        run_config=config,
        tags=dict(tags or {}),
        run_id=str(uuid4()),
        raise_on_error=False,
    )


def statuses(instance: DagsterInstance, asset: str) -> tuple[set[str], set[str], set[str]]:
    """The materialized, failed and running partitions, by the function that the UI uses."""
    found = get_and_update_asset_status_cache_value(instance, AssetKey(asset), shops)
    assert found is not None
    with partition_loading_context(dynamic_partitions_store=instance):
        subsets = (
            found.deserialize_materialized_partition_subsets(shops),
            found.deserialize_failed_partition_subsets(shops),
            found.deserialize_in_progress_partition_subsets(shops),
        )
        materialized, failed, in_progress = (set(subset.get_partition_keys()) for subset in subsets)
    return materialized, failed, in_progress


def test_exactly_the_listed_shops_get_a_status(twelve: Pipeline) -> None:
    """A shop without credentials fails in both assets.

    The shops between the listed ones have none.
    """
    listed = [key(number) for number in (0, 3, 4, 7, 11)]
    twelve.sandbox.store.shop("shopify", "listed-4.myshopify.com").credentials.revoked = True
    result = sync(twelve, listed)
    assert not result.success
    good = set(listed) - {key(4)}
    for asset in ASSETS:
        assert statuses(twelve.instance, asset) == (good, {key(4)}, set())
        assert set(twelve.materialized(asset, result.run_id)) == good
    for each in good:
        assert len(twelve.rows(each)) == len(twelve.served(each))
    assert "ShopDisconnected" in twelve.failure(result)
    assert key(4) in twelve.failure(result)
    # Once the shop has credentials, the next run over it succeeds.
    twelve.sandbox.store.shop("shopify", "listed-4.myshopify.com").credentials.revoked = False
    assert sync(twelve, [key(4), key(9)]).success
    for asset in ASSETS:
        assert statuses(twelve.instance, asset) == ({*listed, key(9)}, set(), set())


def test_a_shop_that_cannot_be_published_fails_in_its_catalog_alone(twelve: Pipeline) -> None:
    """Its raw asset is materialized, and the next shop of the list is published."""
    listed = [key(2), key(5), key(8)]
    with twelve.database.connect() as connection:
        connection.execute(
            "ALTER TABLE catalog.catalog_items ADD CONSTRAINT no_five "
            "CHECK (domain <> 'listed-5.myshopify.com')"
        )
    result = sync(twelve, listed)
    assert not result.success
    assert statuses(twelve.instance, RAW_PRODUCTS) == (set(listed), set(), set())
    assert statuses(twelve.instance, CATALOG_ITEMS) == ({key(2), key(8)}, {key(5)}, set())


def test_the_checks_judge_the_listed_shops(twelve: Pipeline) -> None:
    """They do as in a run over a range, whether all shops succeed or not."""
    for revoked in (False, True):
        twelve.sandbox.store.shop("shopify", "listed-1.myshopify.com").credentials.revoked = revoked
        result = sync(twelve, [key(1), key(6)])
        assert result.success is not revoked
        keys = [AssetCheckKey(AssetKey(CATALOG_ITEMS), each.name) for each in EXPECTATIONS]
        records = twelve.instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
        assert {check.name for check in records} == {each.name for each in EXPECTATIONS}
        for record in records.values():
            assert record.run_id == result.run_id
            assert record.event is not None
            evaluation = record.event.get_dagster_event().asset_check_evaluation_data
            assert evaluation.metadata["shops_judged"].value == 2 - revoked


def test_the_listed_shops_are_in_progress_while_the_run_goes_on(twelve: Pipeline) -> None:
    """No other shops are. After a cancelled run they are as they were before."""
    twelve.sandbox.faults.set(
        [FaultRule("hang", {"domain": "listed-3.myshopify.com", "platform": "shopify"}, times=1)]
    )
    listed = [key(3), key(10)]
    running = threading.Thread(target=sync, args=(twelve, listed))
    running.start()
    try:
        while not any(rule["applied"] for rule in twelve.sandbox.faults.as_json()):
            assert running.is_alive()
        for asset in ASSETS:
            assert statuses(twelve.instance, asset) == (set(), set(), set(listed))
    finally:
        twelve.sandbox.faults.clear()
        twelve.sandbox.faults.closing = True
        running.join()


def test_a_retry_makes_up_for_a_run_that_was_killed(stored: Pipeline, tmp_path: Path) -> None:
    """It does not read a shop again that was read, and leaves no partition in progress."""
    twelve = with_twelve_shops(stored)
    listed = [key(number) for number in (0, 3, 4, 9)]
    hangs = {"domain": key(4).split("/")[1], "platform": "shopify"}
    twelve.sandbox.faults.set([FaultRule("hang", hangs)])
    worker = RunWorker(
        twelve, tmp_path / "log", tags={}, job=JOB, run_config=dict(run_config(listed))
    )
    with psycopg.connect(twelve.database.connection_url(), autocommit=True) as watcher:
        read = "SELECT 1 FROM connector.syncs WHERE fetched_at IS NOT NULL"
        worker.wait_for(lambda: watcher.execute(read).rowcount == 3)
    worker.kill()
    for asset in ASSETS:
        assert statuses(twelve.instance, asset) == (set(), set(), set(listed))
    # As run monitoring reports it before it retries the run.
    killed = twelve.instance.get_run_by_id(worker.run_id)
    assert killed is not None
    twelve.instance.report_run_failed(killed)
    for asset in ASSETS:
        assert statuses(twelve.instance, asset) == (set(), set(listed), set())
    twelve.sandbox.faults.clear()
    twelve.sandbox.requests.clear()
    retried = sync(twelve, listed, {ROOT_RUN_ID: worker.run_id, RETRY_NUMBER: "1"})
    assert retried.success
    for asset in ASSETS:
        assert statuses(twelve.instance, asset) == (set(listed), set(), set())
    asked = twelve.sandbox.requests.requests(service="shopify")
    assert {f"shopify/{request.domain}" for request in asked} == {key(4)}
    for each in listed:
        assert len(twelve.rows(each)) == len(twelve.served(each))


def test_a_run_records_how_each_shop_ended_for_its_sweep_or_backfill(twelve: Pipeline) -> None:
    """The sweep gets its counts, the backfill each shop's error."""
    twelve.sandbox.store.shop("shopify", "listed-7.myshopify.com").credentials.revoked = True
    listed = [key(5), key(7), "shopify/nobody.myshopify.com"]
    with twelve.database.connect() as connection:
        sweeps.take(connection, "2026-01-01T00:00Z", listed, shops=12)
        backfills.request(connection, "b-1", listed)
        backfills.launched(connection, "b-1", listed)
    sync(twelve, listed, {SWEEP_TAG: "2026-01-01T00:00Z", BACKFILL_TAG: "b-1"})
    with twelve.database.connect() as connection:
        recorded = backfills.statuses(connection, "b-1")
        counts = connection.execute("SELECT taken, succeeded, failed FROM connector.sweeps")
        assert counts.fetchall() == [(3, 1, 2)]
    assert recorded == {
        key(5): ("succeeded", None),
        key(7): ("failed", "ShopDisconnected"),
        "shopify/nobody.myshopify.com": ("failed", "UnknownShop"),
    }
