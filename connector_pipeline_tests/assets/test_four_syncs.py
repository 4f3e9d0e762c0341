"""Four full syncs of a shop that is edited in between change exactly the edited rows."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from psycopg.rows import dict_row

from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline_tests.assets.conftest import CATALOG_ITEMS, Pipeline

SHOPIFY = ShopSpec(
    platform="shopify",
    domain="four.myshopify.com",
    merchant_id="merchant-four",
    platform_shop_id="44",
    products=16,
    variants=(2, 4),
    seed=4,
)
WOOCOMMERCE = ShopSpec(
    platform="woocommerce",
    domain="four.example",
    merchant_id="merchant-four",
    platform_shop_id="wc-four",
    products=16,
    variants=(0, 4),
    seed=4,
)
COUNTS = ("inserted", "updated", "unchanged", "revived", "deleted", "rejected")
OURS = {"first_synced_at", "changed_at", "deleted_at", "sync_id"}


@dataclass(frozen=True)
class Synced:
    """The shop's rows after a full sync, tombstones included, and the counts of that sync."""

    rows: dict[str, dict[str, Any]]
    counts: dict[str, int]

    @property
    def tombstones(self) -> set[str]:
        return {key for key, row in self.rows.items() if row["deleted_at"] is not None}

    def moved_since(self, before: "Synced") -> set[str]:
        """The variants whose row differs from before.

        Fails unless each has a later `changed_at`.
        """
        moved = {key for key, row in self.rows.items() if row != before.rows.get(key)}
        for key in moved & before.rows.keys():
            assert self.rows[key]["changed_at"] > before.rows[key]["changed_at"]
            assert self.rows[key]["first_synced_at"] == before.rows[key]["first_synced_at"]
        return moved


def full_sync(pipeline: Pipeline, key: str) -> Synced:
    """Make a real run of both assets.

    Fails unless the live rows equal the shop's, field by field.
    """
    result = pipeline.materialize(key, sync_type="full")
    assert result.success, pipeline.failure(result)
    metadata = pipeline.materialized(CATALOG_ITEMS, result.run_id)[key]
    assert (metadata["sync_type"], metadata["complete"]) == ("full", True)
    platform, domain = key.split("/")
    with pipeline.database.connect() as connection:
        rows = connection.cursor(row_factory=dict_row).execute(
            "SELECT * FROM catalog.catalog_items WHERE platform_name = %s AND domain = %s",
            (platform, domain),
        )
        by_id = {row["variant_id"]: row for row in rows}
    live = {
        variant_id: {name: row[name] for name in row if name not in OURS}
        for variant_id, row in by_id.items()
        if row["deleted_at"] is None
    }
    assert live == pipeline.served(key)
    return Synced(by_id, {name: metadata[name] for name in COUNTS})


def counted(**counts: int) -> dict[str, int]:
    """The counts of a sync, 0 for those that are not named."""
    return dict.fromkeys(COUNTS, 0) | counts


@pytest.mark.parametrize("spec", [SHOPIFY, WOOCOMMERCE], ids=lambda spec: spec.platform)
def test_over_four_full_syncs_exactly_what_changed_moves(
    pipeline: Pipeline, spec: ShopSpec
) -> None:
    """Three products and a variant go, a product returns, and a variant has a new price."""
    shop = pipeline.sandbox.store.put(spec)
    key = f"{spec.platform}/{spec.domain}"
    pipeline.register(key)
    variants: dict[str, list[str]] = {}
    for item in pipeline.served(key).values():
        variants.setdefault(item["product_id"], []).append(item["variant_id"])
    total = sum(map(len, variants.values()))
    several = [product for product, ids in variants.items() if len(ids) > 1]
    assert len(several) >= 5
    # Of any kind: a WooCommerce product without variations counts as its one default variant.
    one = next((product for product, ids in variants.items() if len(ids) == 1), several[4])
    doomed = [*several[:2], one]
    removed_variant, *_ = variants[several[2]]
    repriced, *_ = variants[several[3]]
    of_doomed = {variant for product in doomed for variant in variants[product]}

    first = full_sync(pipeline, key)
    assert first.rows.keys() == {variant for ids in variants.values() for variant in ids}
    assert (first.tombstones, first.counts) == (set(), counted(inserted=total))
    assert len({row["changed_at"] for row in first.rows.values()}) == 1

    # No edit here moves a product's own date, so the variants beside the edited one stay equal.
    for product in doomed:
        shop.remove_product(int(product))
    shop.remove_variant(int(removed_variant))
    gone = of_doomed | {removed_variant}
    second = full_sync(pipeline, key)
    assert second.rows.keys() == first.rows.keys()
    assert second.tombstones == second.moved_since(first) == gone
    assert second.counts == counted(deleted=len(gone), unchanged=total - len(gone))

    shop.restore_product(int(doomed[0]))
    back = set(variants[doomed[0]])
    third = full_sync(pipeline, key)
    assert third.rows.keys() == first.rows.keys()
    assert third.moved_since(second) == back
    assert third.tombstones == gone - back
    assert third.counts == counted(revived=len(back), unchanged=total - len(gone))

    shop.edit_variant(int(repriced), {"price": "1234.50"})
    fourth = full_sync(pipeline, key)
    assert fourth.rows.keys() == first.rows.keys()
    assert fourth.moved_since(third) == {repriced}
    assert fourth.tombstones == gone - back
    assert fourth.rows[repriced]["price"] == Decimal("1234.50")
    assert fourth.counts == counted(updated=1, unchanged=total - len(gone - back) - 1)
