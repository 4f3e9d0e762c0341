"""The registry of shops."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from connector_pipeline.model.errors import (
    ConnectorError,
    InvalidShop,
    PlatformUnavailable,
    ShopDisconnected,
    UnknownShop,
)
from connector_pipeline.model.shop import RegisteredShop, Shop
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.model.sync import Sync
from connector_pipeline.state import full_sync_failures, sync_success
from connector_pipeline.state.refusals import Refusal, Share
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline.state.sync_log import PublishCounts
from connector_pipeline.state.sync_records import SyncRecords
from connector_pipeline_tests.passing_time import minutes_pass
from connector_pipeline_tests.state.acme import ACME, KEY, changed, sync_of

HEADER = "merchant_id,platform_name,platform_shop_id,domain\n"


def test_an_added_shop_is_active_and_known(registry: ShopRegistry) -> None:
    """Its key finds it, the list has it, and it is a partition."""
    assert registry.add(ACME) == "added"
    assert registry.get(KEY) == RegisteredShop(**ACME.model_dump())
    assert registry.list() == [registry.get(KEY)]
    assert registry.active_partition_keys() == [KEY]


def test_adding_again_updates_only_what_differs(registry: ShopRegistry) -> None:
    """The result says which it was; the state is the operator's and stays."""
    registry.add(ACME)
    registry.set_state(KEY, ShopState.PAUSED)
    assert registry.add(ACME) == "unchanged"
    assert registry.add(changed(ACME, merchant_id="m2")) == "updated"
    assert registry.get(KEY).merchant_id == "m2"
    assert registry.get(KEY).state is ShopState.PAUSED


def test_an_override_of_the_currency_outlives_a_registration_without_one(
    registry: ShopRegistry,
) -> None:
    """A CSV import and a sync request know no currency."""
    assert registry.add(changed(ACME, currency="SEK")) == "added"
    assert registry.add(ACME) == "unchanged"
    assert registry.add(changed(ACME, currency="EUR")) == "updated"
    assert registry.get(KEY).currency == "EUR"


def test_another_path_is_another_shop_to_read(registry: ShopRegistry) -> None:
    """Only a full sync knows what lies there, and what was learned of the old one is forgotten."""
    shop = changed(ACME, platform_name="woocommerce", domain="example.com")
    marked = (
        "UPDATE connector.shops SET high_water_mark = now(), learned = '{\"a\": 1}' RETURNING 1"
    )

    def after(path: str | None) -> tuple[bool, dict[str, object]]:
        with registry.database.connect() as connection:
            connection.execute(marked)
        registry.add(changed(shop, path=path))
        found = registry.get(shop.partition_key)
        return found.high_water_mark is not None, dict(found.learned)

    registry.add(shop)
    assert after(None) == (True, {"a": 1})
    assert after("") == (True, {"a": 1})
    assert after("/shop") == (False, {})
    assert after(None) == (True, {"a": 1})
    assert registry.get(shop.partition_key).path == "/shop"
    assert after("") == (False, {})


@pytest.mark.parametrize(
    "changes",
    [{"domain": "shop.example.com"}, {"currency": "kr"}, {"path": "/shop"}],
)
def test_a_shop_that_could_not_be_synced_is_not_added(
    registry: ShopRegistry, changes: dict[str, str]
) -> None:
    """Its credentials go to its domain."""
    with pytest.raises(InvalidShop):
        registry.add(changed(ACME, **changes))
    assert registry.list() == []


def test_every_method_refuses_an_unknown_shop(registry: ShopRegistry) -> None:
    """The error says how to register it."""
    with pytest.raises(UnknownShop, match="shops add"):
        registry.get(KEY)
    with pytest.raises(UnknownShop):
        registry.set_state(KEY, ShopState.PAUSED)
    with pytest.raises(UnknownShop):
        registry.remove(KEY)
    with pytest.raises(InvalidShop):
        registry.get("acme")


def test_only_active_shops_are_partitions(registry: ShopRegistry) -> None:
    """The list can be narrowed to the shops of one state."""
    shops = [changed(ACME, domain=f"{name}.myshopify.com") for name in ("c", "a", "b")]
    for shop in shops:
        registry.add(shop)
    registry.set_state("shopify/b.myshopify.com", ShopState.PAUSED)
    assert registry.active_partition_keys() == [
        "shopify/a.myshopify.com",
        "shopify/c.myshopify.com",
    ]
    assert [shop.domain for shop in registry.list(ShopState.PAUSED)] == ["b.myshopify.com"]


def test_a_removed_shop_is_deleted(registry: ShopRegistry) -> None:
    """It may be added again."""
    registry.add(ACME)
    registry.remove(KEY)
    assert registry.list() == []
    assert registry.add(ACME) == "added"


def test_an_import_counts_added_updated_and_unchanged_shops(
    registry: ShopRegistry, tmp_path: Path
) -> None:
    """A shop of the registry that the file does not name stays."""
    registry.add(ACME)
    file = tmp_path / "shops.csv"
    file.write_text(
        HEADER + "m1,shopify,101,acme.myshopify.com\nm2,woocommerce,202,shop.example.com\n"
    )
    assert registry.import_csv(file) == {"added": 1, "updated": 0, "unchanged": 1}
    file.write_text(HEADER + "m3,shopify,101,acme.myshopify.com\n")
    assert registry.import_csv(file) == {"added": 0, "updated": 1, "unchanged": 0}
    assert len(registry.list()) == 2


def test_an_import_with_a_bad_line_imports_nothing(registry: ShopRegistry, tmp_path: Path) -> None:
    """The error names the file and the line."""
    file = tmp_path / "shops.csv"
    file.write_text(HEADER + "m1,shopify,101,acme.myshopify.com\nm2,shopify,2,elsewhere\n")
    with pytest.raises(InvalidShop, match=r"shops\.csv: no shop was imported\.\nline 3: "):
        registry.import_csv(file)
    assert registry.list() == []


def test_shops_may_be_added_from_many_threads(registry: ShopRegistry) -> None:
    """Eight threads add the same shop at once, and it is added once."""
    start = threading.Barrier(8)
    outcomes: list[str] = []

    def run() -> None:
        start.wait()
        outcomes.append(registry.add(ACME))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["added", *["unchanged"] * 7]


def disconnect(registry: ShopRegistry) -> None:
    """Two syncs are refused, minutes apart."""
    alone = Refusal(credential=None, in_run=Share(refused=1, of=1))
    records = SyncRecords(registry.database)
    records.fail("sync-1", ShopDisconnected("the token was revoked."), refusal=alone)
    minutes_pass(registry.database)
    records.fail("sync-1", ShopDisconnected("the token was revoked."), refusal=alone)


def test_a_disconnected_shop_leaves_the_partitions_until_resumed(
    registry: ShopRegistry,
) -> None:
    """A resumed shop starts without failures; a paused shop stays paused."""
    registry.add(ACME)
    SyncRecords(registry.database).start(sync_of(ACME), ACME)
    disconnect(registry)
    assert registry.get(KEY).state is ShopState.DISCONNECTED
    assert registry.active_partition_keys() == []
    registry.set_state(KEY, ShopState.ACTIVE)
    assert registry.get(KEY).consecutive_failures == 0
    registry.set_state(KEY, ShopState.PAUSED)
    disconnect(registry)
    assert registry.get(KEY).state is ShopState.PAUSED


def succeeded(registry: ShopRegistry, sync: Sync, shop: Shop) -> None:
    """Record a successful sync."""
    with registry.database.connect() as connection:
        sync_success.succeed(
            connection, sync=sync, shop=shop, counts=PublishCounts(), complete=True
        )


def test_a_selection_is_of_active_shops_that_meet_all_conditions(registry: ShopRegistry) -> None:
    """The conditions are the platform, the merchant, the last outcome and the age."""
    fresh = changed(ACME, domain="a.myshopify.com")
    failed = changed(ACME, domain="b.myshopify.com", merchant_id="m2")
    never = changed(ACME, domain="shop.example.com", platform_name="woocommerce")
    paused = changed(ACME, domain="c.myshopify.com")
    for each in (fresh, failed, never, paused):
        registry.add(each)
    registry.set_state(paused.partition_key, ShopState.PAUSED)
    succeeded(registry, sync_of(fresh, "sync-1", hours_ago=0.2), fresh)
    succeeded(registry, sync_of(failed, "sync-2", hours_ago=48), failed)
    records = SyncRecords(registry.database)
    records.start(sync_of(failed, "sync-3", hours_ago=24), failed)
    records.fail("sync-3", PlatformUnavailable("answered 500."))
    select = registry.active_partition_keys_where
    everything = [each.partition_key for each in (fresh, failed, never)]
    assert select() == everything
    assert select(platform_name="woocommerce") == [never.partition_key]
    assert select(merchant_id="m2") == [failed.partition_key]
    assert select(failed=True) == [failed.partition_key]
    assert select(stale=timedelta(hours=1)) == [failed.partition_key, never.partition_key]
    assert select(stale=timedelta(hours=1), merchant_id="m1") == [never.partition_key]
    assert select(failed=True, platform_name="woocommerce") == []


def test_a_shop_whose_full_syncs_fail_is_selected_as_failed(registry: ShopRegistry) -> None:
    """An increment that succeeds meanwhile does not hide it."""
    registry.add(ACME)
    succeeded(registry, sync_of(ACME, "sync-1"), ACME)
    with registry.database.connect() as connection:
        full_sync_failures.keep(
            connection,
            (ACME.platform_name, ACME.domain),
            ConnectorError("most of it is gone."),
        )
    assert registry.active_partition_keys_where(failed=True) == [KEY]


def test_states_are_set_while_refusals_are_recorded(registry: ShopRegistry) -> None:
    """Everybody locks shops in one order, so nobody deadlocks."""
    shops = [changed(ACME, domain=f"shop-{number}.myshopify.com") for number in range(8)]
    records = SyncRecords(registry.database)
    for shop in shops:
        registry.add(shop)
        records.start(sync_of(shop, shop.domain), shop)

    def refuse() -> None:
        for _ in range(10):
            for shop in reversed(shops):
                records.fail(shop.domain, ShopDisconnected("the token was revoked."))

    def set_states() -> None:
        for _ in range(20):
            registry.set_states(ShopState.PAUSED)
            registry.set_states(ShopState.ACTIVE, now_in=ShopState.PAUSED)

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(work) for work in (refuse, set_states, refuse, set_states)]:
            done.result()
    assert len(registry.list(ShopState.ACTIVE)) == 8
