"""A run over a list of shops gives exactly these a status, each its own, as soon as it can."""

import asyncio
import os
import re
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
import yaml
from dagster import (
    AssetCheckKey,
    AssetKey,
    DagsterInstance,
    DagsterRunStatus,
    ExecuteInProcessResult,
    RunsFilter,
    validate_run_config,
)
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from connector_pipeline.assets.partitions import shops
from connector_pipeline.assets.sync_shops import JOB, listed_shops, run_config
from connector_pipeline.automation.sync_queue import shops_of
from connector_pipeline.catalog.expectations import EXPECTATIONS
from connector_pipeline.definitions import build_definitions
from connector_pipeline.engine.run_tags import RETRY_NUMBER, ROOT_RUN_ID
from connector_pipeline.model.queue import QueueReason
from connector_pipeline.model.sync import ShopToSync, own_sync_id
from connector_pipeline.model.sync_type import RequestedSyncType
from connector_pipeline.postgres import named_locks
from connector_pipeline.sandbox.controls.faults import FaultRule
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline.settings import load_settings
from connector_pipeline.state import backfills, queue_intake, queued_runs
from connector_pipeline.state.queued_runs import Capacity
from connector_pipeline.sync.locks import ShopLocks
from connector_pipeline_tests.assets.conftest import CATALOG_ITEMS, RAW_PRODUCTS, Pipeline
from connector_pipeline_tests.assets.run_worker import RunWorker
from connector_pipeline_tests.state.test_inbox import Inbox
from connector_pipeline_tests.sync.test_rounds import meanwhile

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


def as_listed(keys: Sequence[str]) -> list[ShopToSync]:
    return [ShopToSync(key) for key in keys]


def sync(
    pipeline: Pipeline,
    shops: Sequence[str] | Sequence[ShopToSync],
    tags: Mapping[str, str] | None = None,
) -> ExecuteInProcessResult:
    job = build_definitions(load_settings()).resolve_job_def(JOB)
    listed = [shop if isinstance(shop, ShopToSync) else ShopToSync(shop) for shop in shops]
    config = run_config(listed) | {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
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
    assert "AccessRefused" in twelve.failure(result)
    assert key(4) in twelve.failure(result)
    # Once the shop has credentials, the next run over it succeeds.
    twelve.sandbox.store.shop("shopify", "listed-4.myshopify.com").credentials.revoked = False
    assert sync(twelve, [key(4), key(9)]).success
    for asset in ASSETS:
        assert statuses(twelve.instance, asset) == ({*listed, key(9)}, set(), set())


def test_a_shop_that_is_not_read_fails_in_both_assets(twelve: Pipeline) -> None:
    """Also where only `raw_products` ran, as in a backfill: "Failed" of a launch finds the shop."""
    good, bad = key(0), key(1)
    platform, domain = bad.split("/")
    twelve.sandbox.store.shop(platform, domain).credentials.revoked = True
    assert twelve.materialize(good).success
    result = twelve.materialize(good, bad, assets=[RAW_PRODUCTS])
    assert not result.success
    assert statuses(twelve.instance, RAW_PRODUCTS) == ({good}, {bad}, set())
    assert statuses(twelve.instance, CATALOG_ITEMS) == ({good}, {bad}, set())


def test_the_text_of_a_failure_leads_from_the_shop_to_the_next_try(twelve: Pipeline) -> None:
    """The shop comes first, then the cause, then the error's name and the remedy."""
    bad = key(0)
    platform, domain = bad.split("/")
    twelve.sandbox.store.shop(platform, domain).credentials.revoked = True
    result = twelve.materialize(bad)
    cause, remedy, next_try = twelve.failure(result).splitlines()
    assert cause.startswith(f"{bad}: ")
    assert remedy.startswith("AccessRefused: ")
    assert next_try.startswith("Next try: with the sweep at ")
    [failure] = [event for event in result.all_events if event.is_step_failure]
    error = failure.step_failure_data.error
    assert error is not None
    assert error.message.startswith(f"{bad}: ")
    assert (error.stack, error.cause) == ([], None)


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
            judged = "1 shop" if revoked else "2 shops"
            assert evaluation.metadata["shops_judged"].value == judged


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
        twelve, tmp_path / "log", tags={}, job=JOB, run_config=run_config(as_listed(listed))
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


def test_a_run_records_how_each_shop_ended_in_its_row_of_the_queue(twelve: Pipeline) -> None:
    """So a sweep gets its counts, and a backfill each shop's error."""
    twelve.sandbox.store.shop("shopify", "listed-7.myshopify.com").credentials.revoked = True
    listed = [key(5), key(6), key(7)]
    with twelve.database.connect() as connection:
        queue_intake.put_shops(
            connection, listed, reason=QueueReason.BACKFILL, backfill_id="b-1", sweep_id="sweep"
        )
        queued_runs.take(connection, capacity=Capacity(1, 1, 1), shops_per_run=100)
        [launch] = queued_runs.unseen(connection)
    twelve.registry.remove(key(6))
    assert not sync(twelve, shops_of(launch)).success
    with twelve.database.connect() as connection:
        statuses = backfills.statuses(connection, "b-1")
    assert statuses == {
        key(5): ("succeeded", None),
        key(6): ("failed", "UnknownShop"),
        key(7): ("failed", "AccessRefused"),
    }
    recorded = Inbox(twelve.database).rows(
        "SELECT sync_id, status, queue.state FROM connector.syncs"
        " JOIN connector.sync_queue AS queue USING (sync_id) ORDER BY syncs.domain"
    )
    assert recorded == [
        {"sync_id": shop.sync_id, "status": status, "state": "ended"}
        for shop, status in zip(
            (launch.shops[0], launch.shops[2]), ("succeeded", "failed"), strict=True
        )
    ]


def test_each_shop_is_synced_under_its_own_identity_and_type(twelve: Pipeline) -> None:
    """A shop without a sync_id gets the run's; without a correlation id its sync_id stands in."""
    keys = [key(0), key(1), key(2)]
    assert sync(twelve, keys).success
    listed = [
        ShopToSync(keys[0], RequestedSyncType.incremental, "requested-1", "correlation-1"),
        ShopToSync(keys[1], RequestedSyncType.full, "requested-2"),
        ShopToSync(keys[2], RequestedSyncType.incremental),
        # Listed twice by mistake: the first counts.
        ShopToSync(keys[0], RequestedSyncType.full, "requested-3", "correlation-3"),
    ]
    result = sync(twelve, listed)
    assert result.success
    made = own_sync_id(result.run_id, keys[2])
    found = Inbox(twelve.database).rows(
        "SELECT sync_id, sync_type, correlation_id FROM connector.syncs"
        f" WHERE run_id = '{result.run_id}' ORDER BY domain"
    )
    assert [tuple(row.values()) for row in found] == [
        ("requested-1", "incremental", "correlation-1"),
        ("requested-2", "full", "requested-2"),
        (made, "incremental", made),
    ]
    events = Inbox(twelve.database).events()[-3:]
    assert {(event["data"]["sync_id"], event["correlation_id"]) for event in events} == {
        ("requested-1", "correlation-1"),
        ("requested-2", "requested-2"),
        (made, made),
    }


def test_the_run_config_lists_the_shops_in_their_order() -> None:
    """What launched a run can be read from the run alone."""
    listed = [ShopToSync(key(3), sync_id="s-3"), ShopToSync(key(1)), ShopToSync(key(2))]
    assert listed_shops(run_config(listed)) == [key(3), key(1), key(2)]
    assert listed_shops({}) == []


def ended(pipeline: Pipeline) -> dict[str, tuple[str, str | None]]:
    """Status and error code of each shop's sync, by partition key."""
    with pipeline.database.connect() as connection:
        rows = connection.execute(
            "SELECT platform_name || '/' || domain, status, error_code FROM connector.syncs"
        ).fetchall()
    return {key: (status, code) for key, status, code in rows}


def test_the_launchpad_says_how_the_shops_are_listed() -> None:
    """Beside each field of the run config, and on the job's page an example that is valid."""
    job = build_definitions(load_settings()).resolve_job_def(JOB)
    [op] = job.nodes
    fields = op.definition.config_schema.config_type.fields  # pyright: ignore
    of_shop = fields["shops"].config_type.inner_type.fields
    assert all(field.description for field in (fields["shops"], *of_shop.values()))
    [example] = re.findall(r"```yaml\n(.*?)```", job.description or "", re.DOTALL)
    assert validate_run_config(job, yaml.safe_load(example))


def test_a_run_over_no_shop_is_refused(pipeline: Pipeline) -> None:
    """The launchpad's own scaffold is an empty list, and a run of it would succeed with nothing."""
    result = sync(pipeline, [])
    assert not result.success
    assert "shops" in pipeline.failure(result)


def test_a_shop_is_published_while_another_one_of_the_run_hangs(twelve: Pipeline) -> None:
    """Readers do not wait for the slowest shop of a hundred."""
    hanging, *quick = listed = [key(3), key(4), key(5), key(6)]
    hangs = {"domain": hanging.split("/")[1], "platform": "shopify"}
    twelve.sandbox.faults.set([FaultRule("hang", hangs)])
    seen: list[dict[str, tuple[str, str | None]]] = []

    def all_but_one() -> bool:
        seen.append(ended(twelve))
        return [seen[-1].get(each) for each in quick] == [("succeeded", None)] * 3

    with meanwhile(all_but_one, twelve.sandbox.faults.clear):
        result = sync(twelve, listed)
    assert seen[-1] == {hanging: ("running", None)} | dict.fromkeys(quick, ("succeeded", None))
    assert result.success
    for each in listed:
        assert len(twelve.rows(each)) == len(twelve.served(each))


@pytest.mark.parametrize("fetching", [True, False])
def test_a_cancelled_run_completes_what_it_publishes_and_fails_the_rest(
    twelve: Pipeline, fetching: bool
) -> None:
    """No shop is left running: one that was read and not published yet has failed.

    The signal comes while a shop is read, or once all are.
    """
    hanging, *read = [key(number) for number in range(5)]
    hangs = {"domain": hanging.split("/")[1], "platform": "shopify"}
    twelve.sandbox.faults.set([FaultRule("hang", hangs)] if fetching else [])
    url = twelve.database.connection_url()
    with (
        psycopg.connect(url) as holder,
        psycopg.connect(url, autocommit=True) as watcher,
    ):
        for each in read:
            named_locks.lock(holder, f"publish {each}")

        def two_publish_and_two_wait() -> bool:
            at_the_lock = watcher.execute(
                "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
                " AND wait_event_type = 'Lock' AND query LIKE '%connector.locks%'"
            ).fetchall()
            fetched = watcher.execute(
                "SELECT 1 FROM connector.syncs WHERE fetched_at IS NOT NULL"
            ).fetchall()
            return (len(at_the_lock), len(fetched)) == (2, 4)

        def cancel() -> None:
            # As the UI does: it says so first, and then has the worker interrupted.
            [run] = twelve.instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.STARTED]))
            twelve.instance.report_run_canceling(run)
            os.kill(os.getpid(), signal.SIGINT)
            if fetching:
                while ended(twelve)[hanging][0] == "running":
                    time.sleep(0.01)
            holder.rollback()

        with meanwhile(two_publish_and_two_wait, cancel):
            result = sync(twelve, [hanging, *read] if fetching else read)
    run = twelve.instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.status is DagsterRunStatus.CANCELED
    found = ended(twelve)
    published = {each for each in read if found[each] == ("succeeded", None)}
    # Once all are read, the other two may begin before the signal arrives.
    assert len(published) == 2 or (not fetching and len(published) > 2)
    interrupted = set(found.values()) - {("succeeded", None)}
    assert interrupted <= {("failed", "SyncInterrupted")}
    for each in read:
        assert len(twelve.rows(each)) == (len(twelve.served(each)) if each in published else 0)
    assert statuses(twelve.instance, RAW_PRODUCTS)[0] == set(read)
    assert statuses(twelve.instance, CATALOG_ITEMS)[0] == published


def test_a_retry_goes_on_with_interrupted_shops_and_leaves_out_those_that_failed(
    twelve: Pipeline,
) -> None:
    """A requester knows of the failure already. An interrupted shop's event is held back.

    That of a shop that was to be tried once more, too.
    """
    broken, hanging, good, down = listed = [ShopToSync(key(n), sync_id=f"s-{n}") for n in range(4)]
    breaks, hangs, fails = (
        {"domain": f"listed-{n}.myshopify.com", "platform": "shopify"} for n in (0, 1, 3)
    )
    twelve.sandbox.faults.set(
        [
            FaultRule("empty_json", breaks),
            FaultRule("hang", hangs),
            FaultRule("status", fails, status=503),
        ]
    )

    def all_but_two() -> bool:
        now = ended(twelve)
        if (now.get(broken.partition_key), now.get(good.partition_key)) != (
            ("failed", "InvalidResponse"),
            ("succeeded", None),
        ):
            return False
        [run] = twelve.instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.STARTED]))
        postponed = "tries it once more"
        return any(postponed in each.user_message for each in twelve.instance.all_logs(run.run_id))

    # Nobody cancelled the run: its machine is shut down.
    with meanwhile(all_but_two, lambda: os.kill(os.getpid(), signal.SIGTERM)):
        first = sync(twelve, listed)
    for shop in (hanging, down):
        assert ended(twelve)[shop.partition_key] == ("failed", "SyncInterrupted")
    twelve.sandbox.faults.clear()
    twelve.sandbox.requests.clear()
    retried = sync(twelve, listed, {ROOT_RUN_ID: first.run_id, RETRY_NUMBER: "1"})
    text = twelve.failure(retried)
    assert "FailedBefore: " in text
    assert "InvalidResponse" in text
    assert ended(twelve) == {
        broken.partition_key: ("failed", "InvalidResponse"),
        hanging.partition_key: ("succeeded", None),
        good.partition_key: ("succeeded", None),
        down.partition_key: ("succeeded", None),
    }
    asked = twelve.sandbox.requests.requests(service="shopify")
    assert {f"shopify/{request.domain}" for request in asked} == {
        hanging.partition_key,
        down.partition_key,
    }
    for shop in (hanging, good, down):
        assert len(twelve.rows(shop.partition_key)) == len(twelve.served(shop.partition_key))


async def test_a_shop_of_the_queue_that_another_run_reads_waits_on(
    twelve: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its requester hears of no failure: the shop has its turn once the other run is done."""
    monkeypatch.setenv("CONNECTOR_SHOP_WAIT", "0s")
    with twelve.database.connect() as connection:
        queue_intake.put_shops(connection, [key(0), key(1)], reason=QueueReason.SWEEP)
        queued_runs.take(connection, capacity=Capacity(1, 1, 1), shops_per_run=100)
        [launch] = queued_runs.unseen(connection)
    async with ShopLocks(twelve.database, run_id="another-run") as locks, locks.hold(key(0)):
        result = await asyncio.to_thread(sync, twelve, shops_of(launch))
    assert "ShopBusy: " in twelve.failure(result)
    rows = Inbox(twelve.database).rows(
        "SELECT domain, state, outcome, relaunches FROM connector.sync_queue ORDER BY domain"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("listed-0.myshopify.com", "waiting", None, 0),
        ("listed-1.myshopify.com", "ended", "succeeded", 0),
    ]
    assert ended(twelve) == {key(1): ("succeeded", None)}
