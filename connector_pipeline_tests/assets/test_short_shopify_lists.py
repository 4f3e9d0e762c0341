"""Shopify's lists that lack what it counts, from the shop to the mark.

`pytest -rP` shows the table.

Each row is one way in which a list can be short. It says what is published, whether the snapshot
is complete, whether the sync counts as the full one, and what is said.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from connector_pipeline.sandbox.shopify.short_lists import ShortLists
from connector_pipeline.sandbox.shopify.trouble import trouble_from_json
from connector_pipeline.sandbox.shops.edits import now
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline_tests.assets.conftest import Pipeline

# ../shared/cases/shopify/c12f-bulk-null-url.json
SPEC = ShopSpec(
    platform="shopify",
    domain="c12f.myshopify.com",
    merchant_id="merchant-1",
    platform_shop_id="12",
    products=12,
    variants=(2, 2),
    seed=11,
    awkward=False,
)
KEY = "shopify/c12f.myshopify.com"
ALL = 24
BY_BULK, BY_PAGES = "5", "20000"


@dataclass(frozen=True)
class Short:
    """One row: how the list is short, and the right outcome."""

    name: str
    bulk: dict[str, Any] = field(default_factory=dict[str, Any])
    lists: ShortLists = field(default_factory=ShortLists)
    published: int = ALL
    complete: bool = True
    said: str | None = None
    readings: int = 1


HEALED = "Shopify counts"
ROWS = [
    Short("bulk: COMPLETED with url null", {"no_url": True}, readings=2, said="12 products, but 0"),
    Short("bulk: cut at a line", {"short_by": 9, "missing": "end"}, readings=2, said="36 objects"),
    Short("bulk: lines of the middle", {"short_by": 5, "missing": "middle"}, readings=2, said="31"),
    Short("bulk: variants only", {"short_by": 4, "missing": "variants"}, readings=2, said="32"),
    Short("bulk: products only", {"short_by": 2, "missing": "products"}, readings=2, said="(10)"),
    Short(
        "bulk: its own count short, products",
        {"short_by": 3, "missing": "products", "counted": False},
        readings=2,
        said="12 products, but 9 were read: 3 are missing",
    ),
    Short(
        "bulk: its own count short, variants",
        {"short_by": 3, "missing": "variants", "counted": False},
        readings=2,
        said="24 variants, but 21 were read: 3 are missing",
    ),
    Short("pages: says too early that it ends", lists=ShortLists(last_page=2)),
    Short(
        "pages: products that no list has",
        lists=ShortLists(hidden=(4, 5)),
        published=20,
        complete=False,
        readings=2,
        said="12 products, but 10 were read: 2 are missing",
    ),
    Short(
        "pages: the newest products are missing",
        lists=ShortLists(hidden=(10, 11)),
        published=20,
        complete=False,
        readings=2,
        said="12 products, but 10 were read: 2 are missing",
    ),
    Short(
        "pages: an empty page that is not the last",
        lists=ShortLists(empty_page=2),
        published=14,
        complete=False,
        readings=2,
        said="empty page of products",
    ),
    Short("variants: nested ones end early", lists=ShortLists(nested_variants=1)),
    Short(
        "variants: they end early everywhere",
        lists=ShortLists(nested_variants=1, alone_too=True),
        published=12,
        complete=False,
        readings=2,
        said="24 variants, but 12 were read: 12 are missing",
    ),
]
FAILING = [
    Short(
        "pages: the page before again", lists=ShortLists(repeats=True), said="ignores the cursor"
    ),
    Short(
        "pages: more products than asked for",
        lists=ShortLists(ignores_first=True),
        said="10 products where at most 5 were asked for",
    ),
]


def by_name(row: Short) -> str:
    return row.name


@pytest.fixture
def put(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Callable[[Short], SandboxShop]:
    """Registers the shop of a row, as a new one."""

    def shop(row: Short) -> SandboxShop:
        monkeypatch.setenv("SHOPIFY_BULK_THRESHOLD", BY_BULK if row.bulk else BY_PAGES)
        monkeypatch.setenv("SHOPIFY_BATCH_SIZE", "5")
        monkeypatch.setenv("FULL_SYNC_EVERY", "24h")
        held = pipeline.sandbox.store.put(SPEC)
        held.bulk.set_plan(**row.bulk)
        held.short = row.lists
        pipeline.register(KEY)
        return held

    return shop


def show(row: Short, published: object, complete: object, moved: object, said: object) -> None:
    line = f"| {row.name} | {published} of {ALL} | {complete} | {moved} | {said} |"
    print(line)  # noqa: T201  shown by `pytest -rP`


@pytest.mark.parametrize("row", ROWS, ids=by_name)
def test_a_full_sync_counts_only_if_all_that_shopify_counts_was_read(
    pipeline: Pipeline, put: Callable[[Short], SandboxShop], row: Short
) -> None:
    """What is missing is read another way; where that is short too, the mark does not move."""
    put(row)
    result = pipeline.materialize(KEY)
    assert result.success, pipeline.failure(result)
    raw = pipeline.materialized("raw_products", result.run_id)[KEY]
    shop = pipeline.registry.get(KEY)
    moved = shop.last_full_sync_at is not None
    of_first_reading = raw["details"].get("first_reading")
    said = [*raw["warnings"], *([of_first_reading] if of_first_reading else [])]
    show(row, len(pipeline.rows(KEY)), raw["complete"], moved, "; ".join(said))
    assert len(pipeline.rows(KEY)) == row.published
    assert raw["complete"] is row.complete
    assert (shop.last_full_sync_at is not None, shop.high_water_mark is not None) == (
        row.complete,
        row.complete,
    )
    assert raw["details"].get("readings", 1) == row.readings
    if row.said is None:
        assert said == []
    else:
        assert any(row.said in each for each in said)
    # Where the last reading is not complete, its own warnings say what is missing, and the last one
    # what comes of it.
    assert row.complete is (raw["warnings"] == [])
    if not row.complete:
        assert "does not count as a full one" in raw["warnings"][-1]


@pytest.mark.parametrize("row", FAILING, ids=by_name)
def test_paging_that_does_not_work_is_an_error(
    pipeline: Pipeline, put: Callable[[Short], SandboxShop], row: Short
) -> None:
    """Nothing is published, and the error says that paging does not work there."""
    put(row)
    result = pipeline.materialize(KEY)
    assert not result.success
    text = pipeline.failure(result)
    show(row, 0, "no snapshot", False, "InvalidResponse")
    assert "InvalidResponse" in text
    assert "paging does not work there" in text
    assert row.said is not None
    assert row.said in text
    assert len(pipeline.rows(KEY)) == 0
    assert pipeline.registry.get(KEY).last_full_sync_at is None


def test_what_a_short_sync_left_out_comes_with_the_next_one(
    pipeline: Pipeline, put: Callable[[Short], SandboxShop]
) -> None:
    """The mark did not move, so the next sync is a full one."""
    held = put(Short("short", lists=ShortLists(hidden=(4, 5))))
    assert pipeline.materialize(KEY).success
    assert len(pipeline.rows(KEY)) == 20
    held.short = ShortLists()
    result = pipeline.materialize(KEY)
    assert result.success, pipeline.failure(result)
    assert pipeline.materialized("raw_products", result.run_id)[KEY]["complete"] is True
    assert set(pipeline.rows(KEY)["variant_id"]) == set(pipeline.served(KEY))
    assert pipeline.registry.get(KEY).last_full_sync_at is not None


def test_a_short_sync_deletes_nothing_that_is_there(
    pipeline: Pipeline, put: Callable[[Short], SandboxShop], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The products that its lists lack stay live, and one that is really gone is deleted."""
    held = put(Short("whole"))
    assert pipeline.materialize(KEY).success
    full = pipeline.registry.get(KEY).last_full_sync_at
    monkeypatch.setenv("FULL_SYNC_EVERY", "0s")
    held.short = ShortLists(hidden=(3, 4))
    held.remove_product(held.product_ids()[0])
    result = pipeline.materialize(KEY)
    assert result.success, pipeline.failure(result)
    assert set(pipeline.rows(KEY)["variant_id"]) == set(pipeline.served(KEY))
    assert pipeline.registry.get(KEY).last_full_sync_at == full


def test_a_total_that_contradicts_the_counts_of_the_products_does_not_hold_the_mark(
    pipeline: Pipeline, put: Callable[[Short], SandboxShop]
) -> None:
    """Such a shop would be read twice in each sweep, for as long as the total is wrong."""
    held = put(Short("drift"))
    held.trouble = trouble_from_json({"more_variants": 3})
    result = pipeline.materialize(KEY)
    assert result.success, pipeline.failure(result)
    raw = pipeline.materialized("raw_products", result.run_id)[KEY]
    assert raw["complete"] is False
    [warning] = raw["warnings"]
    assert "27 variants, but 24 were read, which are all by its counts of the single" in warning
    assert "readings" not in raw["details"]
    assert pipeline.registry.get(KEY).high_water_mark is not None
    assert len(pipeline.rows(KEY)) == ALL


def test_a_deletion_that_events_did_not_tell_comes_when_they_do(
    pipeline: Pipeline, put: Callable[[Short], SandboxShop]
) -> None:
    """The mark moves meanwhile: it is that of the changes, and those were read."""
    held = put(Short("whole"))
    # Long before what the increments ask for again in any case.
    began = now() - timedelta(days=2)
    assert pipeline.materialize(KEY).success
    with pipeline.database.connect() as connection:
        connection.execute("UPDATE connector.shops SET high_water_mark = %s", (began,))
    gone = held.product_ids()[3]
    held.remove_product(gone, at=began + timedelta(hours=1))
    down = {"match": {"body_contains": "query Deletions"}, "kind": "html", "status": 404}
    for fault in (down, {**down, "kind": "body", "status": 200, "body": {"errors": "No"}}):
        pipeline.sandbox.faults.set([fault])
        result = pipeline.materialize(KEY, sync_type="incremental")
        assert result.success, pipeline.failure(result)
        mark = pipeline.registry.get(KEY).high_water_mark
        assert mark is not None
        assert mark > began
        assert len(pipeline.rows(KEY)) == ALL
    pipeline.sandbox.faults.clear()
    assert pipeline.materialize(KEY, sync_type="incremental").success
    assert set(pipeline.rows(KEY)["variant_id"]) == set(pipeline.served(KEY))
    assert pipeline.registry.get(KEY).learned == {}


def test_a_deletion_comes_with_the_next_increment(
    pipeline: Pipeline, put: Callable[[Short], SandboxShop]
) -> None:
    """Shopify's events name the product, and its variants are asked for by id."""
    held = put(Short("whole"))
    assert pipeline.materialize(KEY).success
    gone = held.product_ids()[3]
    held.remove_product(gone, at=now() - timedelta(seconds=1))
    result = pipeline.materialize(KEY)
    assert result.success, pipeline.failure(result)
    raw = pipeline.materialized("raw_products", result.run_id)[KEY]
    assert raw["sync_type"] == "incremental"
    assert raw["complete"] is True
    assert raw["warnings"] == []
    assert (raw["details"]["deletions"], raw["details"]["gone"]) == (1, 2)
    assert raw["requests"] == 4
    assert set(pipeline.rows(KEY)["variant_id"]) == set(pipeline.served(KEY))
    # The overlap names it once more, and nothing is asked about it.
    again = pipeline.materialize(KEY)
    assert pipeline.materialized("raw_products", again.run_id)[KEY]["requests"] == 3
