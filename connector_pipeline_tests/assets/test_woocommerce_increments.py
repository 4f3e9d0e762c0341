"""Increments and resumed syncs of a WooCommerce shop, as real runs over the sandbox."""

from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import pytest

from connector_pipeline.sandbox.controls.request_log import LoggedRequest
from connector_pipeline.sandbox.shops.edits import now
from connector_pipeline.sandbox.shops.records import WooProduct
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline_tests.assets.conftest import (
    RAW_PRODUCTS,
    Pipeline,
    sync_id_tag,
)

SPEC = ShopSpec(
    platform="woocommerce",
    domain="changing.example",
    merchant_id="merchant-changing",
    platform_shop_id="wc-changing",
    products=40,
    variants=(0, 4),
    seed=7,
    # West of Greenwich, where a reader that takes local times for GMT misses changes.
    utc_offset_minutes=-480,
)
KEY = "woocommerce/changing.example"


@pytest.fixture(autouse=True)
def full_once_a_day(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `auto` choose an increment for a second sync."""
    monkeypatch.setenv("FULL_SYNC_EVERY", "24h")


def served_rows(pipeline: Pipeline) -> dict[str, dict[str, Any]]:
    """The live rows by variant, with the columns that come from the shop."""
    served = pipeline.served(KEY)
    columns = list(next(iter(served.values())))
    rows = pipeline.rows(KEY).to_dict("records")
    return {row["variant_id"]: {name: row[name] for name in columns} for row in rows}


def questions(pipeline: Pipeline) -> list[LoggedRequest]:
    """The requests with the shop's key, and their answers, since the log was cleared."""
    asked = pipeline.sandbox.requests.requests(service="woocommerce", domain=SPEC.domain)
    return [request for request in asked if request.status == 200]


def variables(shop: SandboxShop) -> list[WooProduct]:
    """The shop's published products that have variations."""
    return [
        each
        for each in shop.products()
        if isinstance(each, WooProduct)
        and (each.type, each.status) == ("variable", "publish")
        and each.variations
    ]


def test_an_increment_publishes_exactly_the_changes(pipeline: Pipeline) -> None:
    """It has one variation's stock, a price, a name, a new product and one in the trash."""
    shop = pipeline.sandbox.store.put(SPEC)
    pipeline.register(KEY)
    raw, _ = pipeline.sync(KEY)
    assert (raw["sync_type"], raw["complete"]) == ("full", True)
    before = served_rows(pipeline)
    stocked, repriced, renamed, trashed, *_ = variables(shop)
    at = now()
    # An order moves the variation's date alone (docs/facts/woocommerce.md, Which dates move).
    shop.edit_variant(stocked.variations[0].id, {"stock_quantity": 1, "manage_stock": True}, at=at)
    shop.edit_variant(repriced.variations[0].id, {"price": "12.34"}, at=at)
    shop.edit_product(renamed.id, {"name": "Renamed"}, at=at)
    shop.trash_product(trashed.id, at=at)
    (added,) = shop.append_products(1, at=at)
    shop.edit_product(added, {"status": "publish"}, at=at)
    new = {row for row in pipeline.served(KEY) if row not in before}

    pipeline.sandbox.requests.clear()
    raw, items = pipeline.sync(KEY)
    assert (raw["sync_type"], raw["complete"], raw["warnings"]) == ("incremental", True, [])
    # Products, variations, currency, one parent, and the variations of the changed products. Then
    # the lengths of both lists, the ids of both, and the product in the trash by its id.
    assert len(questions(pipeline)) == 10
    changed = {str(stocked.variations[0].id)} | {
        str(each.id) for product in (repriced, renamed) for each in product.variations
    }
    counts = {name: items[name] for name in ("inserted", "updated", "unchanged", "deleted")}
    assert counts == {
        "inserted": len(new),
        "updated": len(changed),
        "unchanged": 0,
        "deleted": len(trashed.variations),
    }
    assert served_rows(pipeline) == pipeline.served(KEY)

    raw, items = pipeline.sync(KEY)
    # Changes within the overlap come again, and change no row.
    assert (raw["sync_type"], items["updated"], items["inserted"]) == ("incremental", 0, 0)
    result = pipeline.materialize(KEY, sync_type="full")
    assert result.success, pipeline.failure(result)
    assert served_rows(pipeline) == pipeline.served(KEY)


def test_a_sync_that_failed_goes_on_after_its_last_page(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repeat under its id asks for no page that the archive has already."""
    monkeypatch.setenv("WOOCOMMERCE_BATCH_SIZE", "10")
    monkeypatch.setenv("WOOCOMMERCE_MAX_CONCURRENCY", "1")
    pipeline.sandbox.store.put(SPEC)
    pipeline.register(KEY)
    tags = sync_id_tag("asked-twice")
    # Everything after the second page of variations, and the lists by product, too.
    match = {"domain": SPEC.domain, "path_contains": "/variations"}
    pipeline.sandbox.faults.set([{"match": match, "kind": "status", "status": 500, "skip": 2}])
    assert "PlatformUnavailable" in pipeline.failure(pipeline.materialize(KEY, tags=tags))
    pipeline.sandbox.faults.clear()
    pipeline.sandbox.requests.clear()
    result = pipeline.materialize(KEY, tags=tags)
    assert result.success, pipeline.failure(result)
    raw = pipeline.materialized(RAW_PRODUCTS, result.run_id)[KEY]
    asked = questions(pipeline)
    assert {request.path.rpartition("/wp-json")[2] for request in asked} == {"/wc/v3/variations"}
    numbers = [parse_qs(request.query)["page"] for request in asked]
    assert numbers == [[str(number)] for number in range(3, 3 + len(asked))]
    assert asked
    assert raw["complete"]
    assert served_rows(pipeline) == pipeline.served(KEY)


@pytest.mark.parametrize(
    "spec",
    [
        replace(SPEC, modified_after=False),
        replace(SPEC, root_variations=False, analytics_variations=False),
    ],
    ids=["before-5.8", "per-parent-only"],
)
def test_a_shop_that_cannot_tell_changes_is_synced_in_full(
    pipeline: Pipeline, spec: ShopSpec
) -> None:
    """The sync also finds deletions, as it reads the whole shop. The partition says why."""
    shop = pipeline.sandbox.store.put(spec)
    pipeline.register(KEY)
    pipeline.sync(KEY)
    shop.trash_product(variables(shop)[0].id, at=now())
    raw, items = pipeline.sync(KEY)
    assert (raw["sync_type"], raw["complete"]) == ("full", True)
    assert "so all was read" in raw["details"]["read_in_full"]
    assert items["deleted"] > 0
    assert served_rows(pipeline) == pipeline.served(KEY)
