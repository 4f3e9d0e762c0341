"""The registry of shops and the record of their syncs."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connector_pipeline.model.errors import (
    ConnectorError,
    InvalidShop,
    PlatformUnavailable,
    ShopDisconnected,
    UnknownShop,
)
from connector_pipeline.model.shop import RegisteredShop, Shop, ShopState
from connector_pipeline.model.sync import Sync, SyncType
from connector_pipeline.state import full_sync_failures, sync_success
from connector_pipeline.state.refusals import Refusal, Share
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline.state.sync_log import PublishCounts, SyncProgress
from connector_pipeline_tests.passing_time import minutes_pass

ACME = Shop(
    merchant_id="m1",
    platform_name="shopify",
    platform_shop_id="101",
    domain="acme.myshopify.com",
)
KEY = ACME.partition_key
HEADER = "merchant_id,platform_name,platform_shop_id,domain\n"


def sync_of(shop: Shop, sync_id: str = "sync-1", *, hours_ago: float = 0) -> Sync:
    """A full sync of the shop, started so long ago."""
    return Sync(
        sync_id=sync_id,
        partition_key=shop.partition_key,
        sync_type=SyncType.FULL,
        correlation_id="correlation-1",
        started_at=datetime.now(UTC) - timedelta(hours=hours_ago),
    )


def changed(shop: Shop, **changes: object) -> Shop:
    """The shop with other values."""
    return Shop.model_validate(shop.model_dump() | changes)


def recorded(registry: ShopRegistry, columns: str, sync_id: str = "sync-1") -> tuple[object, ...]:
    """Columns of a sync's row."""
    with registry.database.connect() as connection:
        row = connection.execute(
            f"SELECT {columns} FROM connector.syncs WHERE sync_id = %s",  # type: ignore[arg-type]
            (sync_id,),
        ).fetchone()
    assert row is not None
    return row


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


def test_a_running_sync_reports_its_progress(registry: ShopRegistry) -> None:
    """A requester can poll it."""
    registry.add(ACME)
    assert registry.progress("sync-1") is None
    registry.start_sync(sync_of(ACME), ACME, "run-1")
    assert registry.progress("sync-1") == SyncProgress("running", pages=0, requests=0)
    registry.record_progress("sync-1", pages=2, requests=3, waited_seconds=1.5)
    assert registry.progress("sync-1") == SyncProgress("running", pages=2, requests=3)
    assert recorded(registry, "requests, waited_seconds") == (3, 1.5)
    assert recorded(registry, "run_id, merchant_id, sync_type, correlation_id") == (
        "run-1",
        "m1",
        "full",
        "correlation-1",
    )


def test_a_failed_sync_is_recorded_with_its_shop(registry: ShopRegistry) -> None:
    """The record has the error's code, message and remedy; the shop counts failures in a row."""
    registry.add(ACME)
    for number in (1, 2):
        registry.start_sync(sync_of(ACME, f"sync-{number}"), ACME)
        registry.fail_sync(f"sync-{number}", PlatformUnavailable("answered 503.", remedy="Wait."))
    assert recorded(registry, "status, error_code, error_message, seconds >= 0") == (
        "failed",
        "PlatformUnavailable",
        "answered 503. Wait.",
        True,
    )
    shop = registry.get(KEY)
    assert shop.consecutive_failures == 2
    assert shop.state is ShopState.ACTIVE


def disconnect(registry: ShopRegistry) -> None:
    """Two syncs are refused, minutes apart."""
    alone = Refusal(credential=None, in_run=Share(refused=1, of=1))
    registry.fail_sync("sync-1", ShopDisconnected("the token was revoked."), refusal=alone)
    minutes_pass(registry.database)
    registry.fail_sync("sync-1", ShopDisconnected("the token was revoked."), refusal=alone)


def test_a_disconnected_shop_leaves_the_partitions_until_resumed(
    registry: ShopRegistry,
) -> None:
    """A resumed shop starts without failures; a paused shop stays paused."""
    registry.add(ACME)
    registry.start_sync(sync_of(ACME), ACME)
    disconnect(registry)
    assert registry.get(KEY).state is ShopState.DISCONNECTED
    assert registry.active_partition_keys() == []
    registry.set_state(KEY, ShopState.ACTIVE)
    assert registry.get(KEY).consecutive_failures == 0
    registry.set_state(KEY, ShopState.PAUSED)
    disconnect(registry)
    assert registry.get(KEY).state is ShopState.PAUSED


def test_a_retried_sync_begins_anew(registry: ShopRegistry) -> None:
    """Nothing of its first attempt is left that could be read as the second's."""
    registry.add(ACME)
    registry.start_sync(sync_of(ACME), ACME, "run-1")
    registry.record_progress("sync-1", pages=2, requests=3, fetched_at=datetime.now(UTC))
    registry.fail_sync("sync-1", PlatformUnavailable("answered 503."))
    registry.start_sync(sync_of(ACME), ACME, "run-2")
    columns = "status, run_id, pages, error_code, error_message, finished_at, fetched_at"
    assert recorded(registry, columns) == ("running", "run-2", None, None, None, None, None)


def test_a_sync_id_belongs_to_one_shop(registry: ShopRegistry) -> None:
    """A sync of another shop with the same id fails, and the first one's record stays."""
    other = changed(ACME, domain="other.myshopify.com")
    registry.add(ACME)
    registry.add(other)
    registry.start_sync(sync_of(ACME), ACME)
    with pytest.raises(ConnectorError, match="already another shop's"):
        registry.start_sync(sync_of(other), other)
    assert recorded(registry, "domain") == ("acme.myshopify.com",)


def test_a_message_of_any_content_is_recorded(registry: ShopRegistry) -> None:
    """A message may quote a platform, NUL and half surrogates too."""
    registry.add(ACME)
    registry.start_sync(sync_of(ACME), ACME)
    registry.fail_sync("sync-1", ConnectorError("\x00\ud800" + "x" * 10_000, remedy=""))
    message = recorded(registry, "error_message")[0]
    assert isinstance(message, str)
    assert message.startswith("\\x00\\ud800xxx")
    assert len(message.encode()) == 4_000


def test_a_failure_of_a_sync_without_a_record_raises_nothing(registry: ShopRegistry) -> None:
    """A lost record must not hide the failure itself."""
    registry.fail_sync("never-started", PlatformUnavailable("answered 503."))
    assert registry.progress("never-started") is None


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
    registry.start_sync(sync_of(failed, "sync-3", hours_ago=24), failed)
    registry.fail_sync("sync-3", PlatformUnavailable("answered 500."))
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
    for shop in shops:
        registry.add(shop)
        registry.start_sync(sync_of(shop, shop.domain), shop)

    def refuse() -> None:
        for _ in range(10):
            for shop in reversed(shops):
                registry.fail_sync(shop.domain, ShopDisconnected("the token was revoked."))

    def set_states() -> None:
        for _ in range(20):
            registry.set_states(ShopState.PAUSED)
            registry.set_states(ShopState.ACTIVE, now_in=ShopState.PAUSED)

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(work) for work in (refuse, set_states, refuse, set_states)]:
            done.result()
    assert len(registry.list(ShopState.ACTIVE)) == 8
