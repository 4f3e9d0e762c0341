"""Promises about full syncs of WooCommerce shops with short lists: which count as the full one.

Case 03 of the field is the first: a cache gave page 1 for every page at a shop's first sync, which
"succeeded" with 20 of 117 items.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import pytest

from connector_pipeline.model.shop import RegisteredShop
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline.sandbox.woocommerce.mishaps import NONE, Mishaps
from connector_pipeline_tests.assets.conftest import RAW_PRODUCTS, Pipeline

SPEC = ShopSpec(
    platform="woocommerce",
    domain="first.example",
    merchant_id="merchant-first",
    platform_shop_id="wc-first",
    products=80,
    variants=(0, 4),
    seed=11,
    awkward=False,
)
KEY = "woocommerce/first.example"


def registered(pipeline: Pipeline) -> RegisteredShop:
    """The shop with its marks."""
    found = pipeline.registry.get(KEY)
    assert found is not None
    return found


def first_page_for_every_page(_: SandboxShop) -> Mishaps:
    """Case 03."""
    return Mishaps(ignored=("page",))


def no_parameter_arrives(_: SandboxShop) -> Mishaps:
    """An nginx without `$args`."""
    return Mishaps(ignored=("*",))


def many_come_in_no_way(shop: SandboxShop) -> Mishaps:
    """A third of the products is counted and not given."""
    return Mishaps(unloadable=tuple(shop.product_ids()[::3]))


def one_cannot_be_loaded(shop: SandboxShop) -> Mishaps:
    """The shop counts a product that it cannot load."""
    first = next(each for each in shop.product_ids() if shop.status(each) == "publish")
    return Mishaps(unloadable=(first,))


def a_page_is_empty(_: SandboxShop) -> Mishaps:
    """A page in the middle comes empty."""
    return Mishaps(lists="/products", empty_pages=(2,))


def variations_are_cut(_: SandboxShop) -> Mishaps:
    """The last pages of variations are missing."""
    return Mishaps(lists="/variations", cut_after=35)


@dataclass(frozen=True)
class Outcome:
    """A first sync: what happens, whether all that can be had is published, and the mark."""

    mishaps: Callable[[SandboxShop], Mishaps]
    succeeds: bool
    all_published: bool
    marked: bool


OUTCOMES = (
    Outcome(first_page_for_every_page, succeeds=False, all_published=False, marked=False),
    Outcome(no_parameter_arrives, succeeds=False, all_published=False, marked=False),
    Outcome(many_come_in_no_way, succeeds=True, all_published=False, marked=False),
    Outcome(one_cannot_be_loaded, succeeds=True, all_published=False, marked=True),
    Outcome(a_page_is_empty, succeeds=True, all_published=True, marked=True),
    Outcome(variations_are_cut, succeeds=True, all_published=True, marked=True),
)


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: outcome.mishaps.__name__)
def test_only_a_sync_that_missed_nothing_counts_as_the_full_one(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, outcome: Outcome
) -> None:
    """After another one, the next sync is full again, and brings the rest of a sound shop."""
    monkeypatch.setenv("FULL_SYNC_EVERY", "24h")
    monkeypatch.setenv("WOOCOMMERCE_BATCH_SIZE", "20")
    shop = pipeline.sandbox.store.put(SPEC)
    shop.mishaps = outcome.mishaps(shop)
    pipeline.register(KEY)
    result = pipeline.materialize(KEY)
    assert result.success is outcome.succeeds
    published = set(pipeline.rows(KEY)["variant_id"])
    assert (published == set(pipeline.served(KEY))) is outcome.all_published
    marks = registered(pipeline)
    for mark in (marks.last_full_sync_at, marks.high_water_mark):
        assert isinstance(mark, datetime) is outcome.marked
    if not outcome.succeeds:
        assert published == set()
        assert "try_files" in pipeline.failure(result)
    shop.mishaps = NONE
    again = pipeline.materialize(KEY)
    assert again.success, pipeline.failure(again)
    if not outcome.marked:
        assert pipeline.materialized(RAW_PRODUCTS, again.run_id)[KEY]["sync_type"] == "full"
        assert set(pipeline.rows(KEY)["variant_id"]) == set(pipeline.served(KEY))
        assert isinstance(registered(pipeline).high_water_mark, datetime)


def test_an_item_that_the_shop_can_no_longer_load_stays_and_keeps_no_sync_from_counting(
    pipeline: Pipeline,
) -> None:
    """Asked by its id, the shop counts it and does not give it: it is neither gone nor unread."""
    shop = pipeline.sandbox.store.put(SPEC)
    pipeline.register(KEY)
    assert pipeline.materialize(KEY).success
    before = registered(pipeline).last_full_sync_at
    rows = set(pipeline.rows(KEY)["variant_id"])
    shop.mishaps = one_cannot_be_loaded(shop)
    result = pipeline.materialize(KEY)
    assert result.success, pipeline.failure(result)
    raw = pipeline.materialized(RAW_PRODUCTS, result.run_id)[KEY]
    assert "readings" not in raw["details"]
    assert before is not None
    after = registered(pipeline).last_full_sync_at
    assert after is not None
    assert after > before
    live = pipeline.rows(KEY)
    assert set(live["variant_id"]) == rows


def test_a_shop_with_orphans_is_read_once_in_as_many_requests_as_it_has_pages(
    pipeline: Pipeline,
) -> None:
    """Orphans made each full sync of a shop a double one, for ever."""
    spec = replace(SPEC, orphan_variations=9)
    pipeline.sandbox.store.put(spec)
    pipeline.register(KEY)
    for _ in range(2):
        result = pipeline.materialize(KEY, sync_type="full")
        assert result.success, pipeline.failure(result)
        raw = pipeline.materialized(RAW_PRODUCTS, result.run_id)[KEY]
        assert "readings" not in raw["details"]
        assert raw["complete"]
        # The pages, the currency, and where the shop answers.
        assert raw["requests"] == raw["pages"] + 2
    assert raw["warnings"] == []


def test_a_product_that_breaks_each_page_keeps_no_sync_from_counting(pipeline: Pipeline) -> None:
    """Nor does it keep what is gone besides: asked by id, it is left open, and it stays."""
    shop = pipeline.sandbox.store.put(SPEC)
    pipeline.register(KEY)
    assert pipeline.materialize(KEY).success
    before = registered(pipeline).last_full_sync_at
    broken, gone, *_ = [each for each in shop.products() if each.status == "publish"]
    shop.broken[broken.id] = None
    shop.remove_product(gone.id)
    result = pipeline.materialize(KEY)
    assert result.success, pipeline.failure(result)
    raw = pipeline.materialized(RAW_PRODUCTS, result.run_id)[KEY]
    assert "readings" not in raw["details"]
    assert not [each for each in raw["warnings"] if "failed" in each]
    after = registered(pipeline).last_full_sync_at
    assert before is not None
    assert after is not None
    assert after > before
    assert set(pipeline.rows(KEY)["variant_id"]) == set(pipeline.served(KEY))
