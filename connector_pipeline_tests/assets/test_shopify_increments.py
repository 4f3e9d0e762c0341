"""Increments of a Shopify shop publish exactly the changes."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest
from psycopg.rows import dict_row

from connector_pipeline.archive.manifest import SnapshotManifest
from connector_pipeline.archive.raw_archive import RawArchive
from connector_pipeline.platforms.shopify.adapter import ShopifyAdapter
from connector_pipeline.sandbox.shopify.short_lists import ShortLists
from connector_pipeline.sandbox.shops.edits import now
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline.settings import load_settings
from connector_pipeline_tests.assets.conftest import CATALOG_ITEMS, Pipeline

SPEC = ShopSpec(
    platform="shopify",
    domain="increments.myshopify.com",
    merchant_id="merchant-increments",
    platform_shop_id="55",
    products=400,
    variants=(2, 4),
    seed=5,
    # A product that does not fit on a products page: an increment must read the rest of it, too.
    big_products=(300,),
    awkward=False,
)
KEY = "shopify/increments.myshopify.com"
OURS = {"first_synced_at", "changed_at", "deleted_at", "sync_id"}
Rows = dict[str, dict[str, Any]]


@pytest.fixture
def shop(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> SandboxShop:
    """The registered shop; a full sync is due once a day."""
    monkeypatch.setenv("FULL_SYNC_EVERY", "24h")
    held = pipeline.sandbox.store.put(SPEC)
    pipeline.register(KEY)
    return held


def synced(pipeline: Pipeline) -> tuple[dict[str, Any], SnapshotManifest]:
    """Make one `auto` run of both assets. Returns its counts and its snapshot."""
    result = pipeline.materialize(KEY)
    assert result.success, pipeline.failure(result)
    manifest = RawArchive(url=load_settings().archive_url).latest(KEY).manifest
    return pipeline.materialized(CATALOG_ITEMS, result.run_id)[KEY], manifest


def all_rows(pipeline: Pipeline) -> Rows:
    """The shop's rows, tombstones included."""
    with pipeline.database.connect() as connection:
        rows = connection.cursor(row_factory=dict_row).execute(
            "SELECT * FROM catalog.catalog_items WHERE domain = %s", (SPEC.domain,)
        )
        return {row["variant_id"]: row for row in rows}


def live(rows: Rows) -> Rows:
    """The platform's columns of the live rows."""
    return {
        key: {name: row[name] for name in row if name not in OURS}
        for key, row in rows.items()
        if row["deleted_at"] is None
    }


def mark(pipeline: Pipeline) -> datetime:
    """The time from which the next increment reads, without the overlap."""
    found = pipeline.registry.get(KEY).high_water_mark
    assert found is not None
    return found


def test_an_increment_publishes_exactly_the_changes(pipeline: Pipeline, shop: SandboxShop) -> None:
    """It has a new price, a new product, a variant less, and a product less."""
    first, _ = synced(pipeline)
    assert first["sync_type"] == "full"
    before, served_before = all_rows(pipeline), pipeline.served(KEY)
    large, repriced, thinned, deleted = list(shop.product_ids())[:4]
    ids = {product: list(shop.variant_ids(product)) for product in (repriced, thinned, deleted)}
    shop.edit_variant(shop.variant_ids(large)[299], {"price": "4711.00"}, at=now())
    shop.edit_variant(ids[repriced][0], {"price": "1234.50"}, at=now())
    shop.remove_variant(ids[thinned][0], at=now())
    [added] = shop.append_products(1, at=now())
    shop.remove_product(deleted)

    second, snapshot = synced(pipeline)
    assert (second["sync_type"], second["complete"]) == ("incremental", True)
    assert snapshot.details["products"] == 4
    assert snapshot.warnings == ()
    after, served = all_rows(pipeline), pipeline.served(KEY)
    assert live(after) == served
    gone = {str(ids[thinned][0])} | {str(number) for number in ids[deleted]}
    new = {str(number) for number in shop.variant_ids(added)}
    moved = {key for key, row in served.items() if row != served_before.get(key)}
    assert {key for key, row in after.items() if row != before.get(key)} == moved | gone
    assert {key for key, row in after.items() if row["deleted_at"] is not None} == gone
    assert (second["inserted"], second["deleted"]) == (len(new), len(gone))
    assert second["updated"] == len(moved - new)

    # The overlap brings the changes once more, and changes no row.
    third, again = synced(pipeline)
    assert (third["inserted"], third["updated"], third["deleted"]) == (0, 0, 0)
    assert again.details["products"] == 4
    assert all_rows(pipeline) == after

    with pipeline.database.connect() as connection:
        connection.execute(
            "UPDATE connector.shops SET last_full_sync_at = last_full_sync_at - interval '25 hours'"
        )
    fourth, _ = synced(pipeline)
    assert fourth["sync_type"] == "full"
    assert fourth["deleted"] == 0
    assert live(all_rows(pipeline)) == served


@contextmanager
def publish_broken(pipeline: Pipeline) -> Generator[None]:
    """Let every write to the catalog fail."""
    with pipeline.database.connect() as connection:
        connection.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'refused'; END $$"
        )
        connection.execute(
            "CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON catalog.catalog_items "
            "FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
    yield
    with pipeline.database.connect() as connection:
        connection.execute("DROP FUNCTION refuse() CASCADE")


def test_an_increment_whose_variants_end_too_early_deletes_none(
    pipeline: Pipeline, shop: SandboxShop
) -> None:
    """The variants are asked for by id. The mark stays, so the next increment reads them."""
    synced(pipeline)
    before, since = live(all_rows(pipeline)), mark(pipeline)
    product = list(shop.product_ids())[1]
    first, second = list(shop.variant_ids(product))[:2]
    shop.edit_variant(first, {"price": "4711.00"}, at=now())
    shop.short = ShortLists(nested_variants=1, alone_too=True)
    increment, snapshot = synced(pipeline)
    assert (increment["sync_type"], increment["deleted"]) == ("incremental", 0)
    assert increment["complete"] is False
    [warning] = snapshot.warnings
    assert "variants that the shop still has" in warning
    assert live(all_rows(pipeline)).keys() == before.keys()
    assert mark(pipeline) == since

    # Where one of them was really deleted, it goes, and the others stay.
    shop.remove_variant(second, at=now())
    again, _ = synced(pipeline)
    assert again["deleted"] == 1
    assert live(all_rows(pipeline)).keys() == before.keys() - {str(second)}

    shop.short = ShortLists()
    assert synced(pipeline)[0]["complete"] is True
    assert live(all_rows(pipeline)) == pipeline.served(KEY)


def test_an_increment_that_was_not_published_is_read_again(
    pipeline: Pipeline, shop: SandboxShop
) -> None:
    """The high-water mark moves with the publish and not with the reading."""
    _, full = synced(pipeline)
    assert mark(pipeline) == full.sync.started_at
    product, other, *_ = shop.product_ids()
    shop.edit_product(product, {"title": "Changed before the failure"}, at=now())
    with publish_broken(pipeline):
        result = pipeline.materialize(KEY)
        assert not result.success
    lost = RawArchive(url=load_settings().archive_url).latest(KEY).manifest
    assert lost.sync.since == full.sync.started_at - ShopifyAdapter.overlap
    assert mark(pipeline) == full.sync.started_at

    shop.edit_product(other, {"title": "Changed after it"}, at=now())
    done, increment = synced(pipeline)
    assert done["sync_type"] == "incremental"
    assert increment.sync.since == full.sync.started_at - ShopifyAdapter.overlap
    assert live(all_rows(pipeline)) == pipeline.served(KEY)
    assert mark(pipeline) == increment.sync.started_at > lost.sync.started_at
