"""A large Shopify shop is read by a bulk operation and published."""

import pytest

from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline_tests.assets.conftest import Pipeline, sync_id_tag

SPEC = ShopSpec(
    platform="shopify",
    domain="large.myshopify.com",
    merchant_id="merchant-large",
    platform_shop_id="7",
    products=2_000,
    variants=(1, 9),
    seed=7,
)
KEY = "shopify/large.myshopify.com"


@pytest.fixture
def large(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """A pipeline with one registered shop above the bulk threshold."""
    monkeypatch.setenv("SHOPIFY_BULK_THRESHOLD", "1000")
    # Only full syncs use bulk operations.
    monkeypatch.setenv("FULL_SYNC_EVERY", "0s")
    pipeline.sandbox.store.put(SPEC)
    pipeline.register(KEY)
    return pipeline


def test_a_shop_read_in_bulk_is_published_whole(large: Pipeline) -> None:
    """Every row equals the shop's. The next sync makes tombstones of the variants that are gone."""
    result = large.materialize(KEY)
    assert result.success, large.failure(result)
    raw = large.materialized("raw_products", result.run_id)[KEY]
    assert raw["complete"] is True
    assert raw["warnings"] == []
    assert "bulk_operation" in raw["details"]
    assert raw["requests"] < 20
    served = large.served(KEY)
    rows = large.rows(KEY).set_index("variant_id")
    assert set(rows.index) == set(served)
    assert all(rows.loc[key, "price"] == served[key]["price"] for key in served)
    assert all(rows.loc[key, "product_title"] == served[key]["product_title"] for key in served)

    shop = large.sandbox.store.shop("shopify", SPEC.domain)
    shop.remove_product(shop.product_ids()[1])
    result = large.materialize(KEY)
    assert result.success, large.failure(result)
    assert set(large.rows(KEY)["variant_id"]) == set(large.served(KEY))


def test_a_shop_whose_bulk_operation_fails_is_published_all_the_same(large: Pipeline) -> None:
    """It is read page by page, and the partition's warnings say why."""
    large.sandbox.store.shop("shopify", SPEC.domain).bulk.set_plan(
        outcome="FAILED", error_code="TIMEOUT", partial=True
    )
    result = large.materialize(KEY)
    assert result.success, large.failure(result)
    raw = large.materialized("raw_products", result.run_id)[KEY]
    assert raw["complete"] is True
    assert "TIMEOUT" in raw["warnings"][0]
    assert set(large.rows(KEY)["variant_id"]) == set(large.served(KEY))


def test_a_sync_that_failed_in_mid_download_adopts_its_operation(large: Pipeline) -> None:
    """A second run of the sync starts no other operation, and reads the whole result."""
    large.sandbox.faults.set(
        [{"match": {"platform": "storage"}, "kind": "status", "status": 503, "times": None}]
    )
    failed = large.materialize(KEY, tags=sync_id_tag("sync-bulk"))
    assert not failed.success
    assert "PlatformUnavailable" in large.failure(failed) or "503" in large.failure(failed)
    large.sandbox.faults.clear()
    result = large.materialize(KEY, tags=sync_id_tag("sync-bulk"))
    assert result.success, large.failure(result)
    raw = large.materialized("raw_products", result.run_id)[KEY]
    assert raw["complete"] is True
    assert raw["details"]["bulk_adopted"] is True
    assert len(large.sandbox.store.shop("shopify", SPEC.domain).bulk.all()) == 1
    assert set(large.rows(KEY)["variant_id"]) == set(large.served(KEY))
