"""A full sync that failed stays due, and increments go on meanwhile and say so.

And an increment of a shop that charges in another currency now becomes a full sync.
"""

from dataclasses import replace
from typing import Any

import pytest

from connector_pipeline.archive.raw_archive import RawArchive
from connector_pipeline.model.shop import RegisteredShop
from connector_pipeline.sandbox.shops.edits import now
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline.settings import load_settings
from connector_pipeline_tests.assets.conftest import CATALOG_ITEMS, Pipeline

SHOPIFY = ShopSpec(
    platform="shopify",
    domain="shrinks.myshopify.com",
    merchant_id="merchant-shrinks",
    platform_shop_id="66",
    products=60,
    variants=(1, 2),
    seed=6,
    awkward=False,
)
WOOCOMMERCE = replace(SHOPIFY, platform="woocommerce", domain="shrinks.example.com")


@pytest.fixture(autouse=True)
def full_syncs_once_a_day(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FULL_SYNC_EVERY", "24h")


def put(pipeline: Pipeline, spec: ShopSpec) -> tuple[str, SandboxShop]:
    key = f"{spec.platform}/{spec.domain}"
    shop = pipeline.sandbox.store.put(spec)
    pipeline.register(key)
    return key, shop


def reprice(shop: SandboxShop, price: str) -> None:
    """Give one variant another price."""
    variants = (each for product in shop.product_ids() for each in shop.variant_ids(product))
    shop.edit_variant(next(variants), {"price": price}, at=now())


def synced(pipeline: Pipeline, key: str, **how: Any) -> dict[str, Any]:
    """Sync the shop and return the metadata of its catalog_items, with the warnings."""
    result = pipeline.materialize(key, **how)
    assert result.success, pipeline.failure(result)
    return pipeline.materialized(CATALOG_ITEMS, result.run_id)[key]


def registered(pipeline: Pipeline, key: str) -> RegisteredShop:
    return pipeline.registry.get(key)


def make_full_sync_due(pipeline: Pipeline) -> None:
    """A day passes for the shop's full syncs."""
    with pipeline.database.connect() as connection:
        connection.execute(
            "UPDATE connector.shops SET last_full_sync_at = last_full_sync_at - interval '25 h',"
            " full_sync_failed_at = full_sync_failed_at - interval '25 h'"
        )


def last_error(pipeline: Pipeline, key: str) -> str | None:
    domain = key.split("/")[1]
    with pipeline.database.connect() as connection:
        [(code,)] = connection.execute(
            "SELECT last_error_code FROM connector.shops WHERE domain = %s", (domain,)
        ).fetchall()
    return code


@pytest.mark.parametrize("spec", [SHOPIFY, WOOCOMMERCE], ids=lambda spec: spec.platform)
def test_a_refused_full_sync_stays_due_and_said_until_an_operator_confirms_it(
    pipeline: Pipeline, spec: ShopSpec
) -> None:
    """Increments between bring new prices, keep the error, and warn for how long."""
    key, shop = put(pipeline, spec)
    synced(pipeline, key)
    live = len(pipeline.rows(key))
    make_full_sync_due(pipeline)
    for product_id in list(shop.product_ids())[:40]:
        shop.remove_product(product_id)

    refused = pipeline.materialize(key)
    assert not refused.success
    assert "SnapshotShrank" in pipeline.failure(refused)

    reprice(shop, "4711.00")

    increment = synced(pipeline, key)
    assert increment["sync_type"] == "incremental"
    assert any("SnapshotShrank" in each for each in increment["warnings"])
    assert len(pipeline.rows(key)) == live
    assert "4711.000000" in {str(price) for price in pipeline.rows(key)["price"]}
    assert last_error(pipeline, key) == "SnapshotShrank"
    assert key in pipeline.registry.active_partition_keys_where(failed=True)
    assert registered(pipeline, key).full_sync_failures == 1

    make_full_sync_due(pipeline)
    assert "SnapshotShrank" in pipeline.failure(pipeline.materialize(key))
    assert registered(pipeline, key).full_sync_failures == 2

    confirmed = synced(pipeline, key, sync_type="full", allow_shrink=True)
    assert confirmed["sync_type"] == "full"
    assert last_error(pipeline, key) is None
    assert registered(pipeline, key).full_sync_failing_since is None
    assert set(pipeline.rows(key)["variant_id"]) == pipeline.served(key).keys()
    assert synced(pipeline, key)["warnings"] == []


@pytest.mark.parametrize("spec", [SHOPIFY, WOOCOMMERCE], ids=lambda spec: spec.platform)
def test_an_increment_that_finds_most_of_a_shop_gone_says_so_itself(
    pipeline: Pipeline, spec: ShopSpec
) -> None:
    """Nobody has to wait for the next sync to learn why the items are still there."""
    key, shop = put(pipeline, spec)
    synced(pipeline, key)
    live = len(pipeline.rows(key))
    for product_id in list(shop.product_ids())[:40]:
        shop.remove_product(product_id)
    increment = synced(pipeline, key)
    assert increment["sync_type"] == "incremental"
    [warning] = [each for each in increment["warnings"] if "live items are gone" in each]
    assert f"of the catalog's {live} live items are gone, more than half." in warning
    assert "--allow-shrink" in warning
    assert last_error(pipeline, key) == "SnapshotShrank"
    confirmed = synced(pipeline, key, sync_type="full", allow_shrink=True)
    assert confirmed["warnings"] == []
    assert set(pipeline.rows(key)["variant_id"]) == pipeline.served(key).keys()


def test_prices_go_on_while_full_syncs_fail(pipeline: Pipeline) -> None:
    """Every page of a full reading fails; the changes come by another question."""
    key, shop = put(pipeline, SHOPIFY)
    synced(pipeline, key)
    make_full_sync_due(pipeline)
    pipeline.sandbox.faults.set(
        [{"kind": "body", "match": {"body_contains": "query Products("}, "body": {"errors": "?"}}]
    )
    for price in ("1.00", "2.00", "3.00"):
        reprice(shop, price)
        result = pipeline.materialize(key)
        if price == "1.00":
            assert not result.success
            continue
        assert result.success, pipeline.failure(result)
        made = pipeline.materialized(CATALOG_ITEMS, result.run_id)[key]
        assert made["sync_type"] == "incremental"
        assert f"{price}0000" in {str(each) for each in pipeline.rows(key)["price"]}
        said = "No full sync has counted for 0 min (1 tried)."
        assert any(said in each for each in made["warnings"])


@pytest.mark.parametrize("spec", [SHOPIFY, WOOCOMMERCE], ids=lambda spec: spec.platform)
@pytest.mark.parametrize("asked", ["auto", "incremental"])
def test_another_currency_makes_an_increment_a_full_sync(
    pipeline: Pipeline, spec: ShopSpec, asked: str
) -> None:
    """No row keeps the former currency, also where only one product changed."""
    key, _ = put(pipeline, spec)
    synced(pipeline, key)
    shop = pipeline.sandbox.store.put(replace(spec, currency="SEK"))
    reprice(shop, "4711.00")

    made = synced(pipeline, key, sync_type=asked)
    assert made["sync_type"] == "full"
    [warning] = made["warnings"]
    assert f"from {spec.currency} to SEK." in warning
    assert set(pipeline.rows(key)["currency"]) == {"SEK"}
    manifest = RawArchive(url=load_settings().archive_url).latest(key).manifest
    assert manifest.sync.sync_type == "full"
    # A shop that was edited in the second in which it is read is not complete, and was all read.
    assert manifest.complete or (manifest.all_read and manifest.absences_confirmed)
    again = synced(pipeline, key, sync_type=asked)
    assert (again["sync_type"], again["updated"]) == ("incremental", 0)


def test_a_new_shop_in_another_currency_than_the_registry_is_no_change(pipeline: Pipeline) -> None:
    """The registry's currency is an operator's word, and not what the catalog has."""
    key, _ = put(pipeline, SHOPIFY)
    assert synced(pipeline, key)["sync_type"] == "full"
    assert synced(pipeline, key)["warnings"] == []
