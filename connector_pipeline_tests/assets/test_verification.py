"""Deletions by snapshots whose completeness the platform does not confirm, in real runs."""

import threading
from dataclasses import replace
from typing import Any

import pytest

from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline_tests.assets.conftest import CATALOG_ITEMS, RAW_PRODUCTS, Pipeline

WOO = ShopSpec(
    platform="woocommerce",
    domain="small.example",
    merchant_id="merchant-small",
    platform_shop_id="wc-small",
    products=60,
    variants=(0, 4),
    seed=5,
)
ORPHANS = replace(WOO, orphan_variations=3, former_variables=1)
SHOPIFY = ShopSpec(
    platform="shopify",
    domain="small.myshopify.com",
    merchant_id="merchant-small",
    platform_shop_id="71",
    products=60,
    seed=5,
)


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shops of several pages."""
    monkeypatch.setenv("WOOCOMMERCE_BATCH_SIZE", "10")
    monkeypatch.setenv("WOOCOMMERCE_MAX_CONCURRENCY", "1")
    monkeypatch.setenv("SHOPIFY_BATCH_SIZE", "10")


def put(pipeline: Pipeline, spec: ShopSpec) -> tuple[str, SandboxShop]:
    """Put a shop of this spec into the sandbox, register it and sync it once."""
    shop = pipeline.sandbox.store.put(spec)
    key = f"{spec.platform}/{spec.domain}"
    pipeline.register(key)
    pipeline.sync(key, "full")
    assert live(pipeline, key) == set(pipeline.served(key))
    return key, shop


def read_in_full_last(pipeline: Pipeline, key: str) -> bool:
    """Whether the shop's last sync counts as a full one."""
    shop = pipeline.registry.get(key)
    return shop.last_full_sync_at == shop.last_successful_sync_at


def live(pipeline: Pipeline, key: str) -> set[str]:
    """The variant ids that are not deleted."""
    return set(pipeline.rows(key)["variant_id"])


def test_a_shop_whose_counts_are_always_wrong_still_loses_what_it_deleted(
    pipeline: Pipeline,
) -> None:
    """Exactly the forced deletes, trash, drafts, single variations and changed types go."""
    key, shop = put(pipeline, ORPHANS)
    published = [each for each in shop.products() if each.status == "publish"]
    variable = [each for each in published if each.type == "variable" and each.variations]
    simple = [each for each in published if each.type == "simple" and not each.variations]
    shop.remove_product(variable[0].id)
    shop.trash_product(variable[1].id)
    shop.edit_product(variable[2].id, {"status": "draft"})
    shop.edit_product(variable[3].id, {"type": "simple"})
    shop.remove_variant(variable[4].variations[0].id)
    shop.remove_product(simple[0].id)
    raw, items = pipeline.sync(key, "full")
    # What it counts and no product lists is missing to nobody.
    assert raw["complete"] is True
    assert "readings" not in raw["details"]
    assert raw["details"]["absent"] == raw["details"]["gone"] == items["deleted"] > 5
    assert live(pipeline, key) == set(pipeline.served(key))
    assert read_in_full_last(pipeline, key)
    shop.restore_product(variable[0].id)
    shop.edit_product(variable[2].id, {"status": "publish"})
    _, items = pipeline.sync(key, "full")
    assert items["revived"] > 0
    assert live(pipeline, key) == set(pipeline.served(key))


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("spec", [WOO, ORPHANS], ids=["agrees", "disagrees"])
@pytest.mark.parametrize("total", [0, 10, 60])
def test_an_empty_page_in_mid_listing_deletes_nothing(
    pipeline: Pipeline, spec: ShopSpec, total: int
) -> None:
    """The page has status 200 in every reading.

    All that the shop has stays, whatever the totals.
    """
    key, shop = put(pipeline, spec)
    gone = next(each for each in shop.products() if each.status == "publish")
    shop.remove_product(gone.id)
    listed = set(pipeline.served(key))
    before = live(pipeline, key)
    page = {
        "match": {"domain": spec.domain, "path_contains": "/v3/products"},
        "kind": "body",
        "body": [],
        "headers": {"X-WP-Total": str(total), "X-WP-TotalPages": str(-(-total // 10))},
        "times": 1,
    }
    products = len([each for each in shop.products() if each.status == "publish"])
    pages = -(-products // 10)
    # A rule counts the requests that reach it; the first rule's request never reaches the second.
    pipeline.sandbox.faults.set([{**page, "skip": 2}, {**page, "skip": 2 + pages - 1}])
    raw, items = pipeline.sync(key, "full")
    assert raw["complete"] is False
    assert live(pipeline, key) >= listed
    assert live(pipeline, key) == before - {f"{gone.id}_default"} - {
        str(each.id) for each in gone.variations
    }
    assert items["deleted"] == len(before) - len(listed)


@pytest.mark.usefixtures("small_pages")
def test_what_was_on_a_page_that_was_empty_once_is_read_by_id(pipeline: Pipeline) -> None:
    """Its length differs from that of the other pages, so the shop counts as edited meanwhile."""
    key, _ = put(pipeline, WOO)
    pipeline.sandbox.faults.set(
        [
            {
                "match": {"path_contains": "/v3/products"},
                "kind": "body",
                "body": [],
                "headers": {"X-WP-Total": "60", "X-WP-TotalPages": "6"},
                "skip": 2,
                "times": 1,
            }
        ]
    )
    raw, items = pipeline.sync(key, "full")
    assert (raw["complete"], raw["warnings"]) == (False, [])
    assert "readings" not in raw["details"]
    assert raw["details"]["read_by_id"] == 10
    assert items["deleted"] == 0
    assert items["unchanged"] == len(live(pipeline, key))
    assert read_in_full_last(pipeline, key)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 500},
        {"kind": "truncate"},
        {"kind": "body", "body": [], "headers": {"X-WP-Total": "0", "X-WP-TotalPages": "0"}},
        {
            "kind": "body",
            "body": [{"id": 1}],
            "headers": {"X-WP-Total": "1", "X-WP-TotalPages": "1"},
        },
        {"kind": "status", "status": 401},
    ],
    ids=lambda fault: f"{fault['kind']}-{fault.get('status', fault.get('body'))}",
)
def test_if_asking_by_id_fails_the_sync_deletes_nothing_and_says_so(
    pipeline: Pipeline, fault: dict[str, Any]
) -> None:
    """It adds and updates items, with a warning on both partitions and in the log."""
    key, shop = put(pipeline, ORPHANS)
    gone = next(each for each in shop.products() if each.status == "publish")
    before = live(pipeline, key)
    shop.remove_product(gone.id)
    (added,) = shop.append_products(1)
    shop.edit_product(added, {"status": "publish"})
    pipeline.sandbox.requests.clear()
    # The products come on one page; the request that follows is the question by ids.
    pipeline.sandbox.faults.set([{"match": {"path_contains": "/v3/products"}, "skip": 2, **fault}])
    raw, items = pipeline.sync(key, "full")
    assert items["deleted"] == 0
    assert items["inserted"] > 0
    assert live(pipeline, key) == before | set(pipeline.served(key))
    for metadata in (raw, items):
        assert any("asking for them by id failed" in each for each in metadata["warnings"])
    assert not read_in_full_last(pipeline, key)
    pipeline.sandbox.faults.clear()
    pipeline.sync(key, "full")
    assert live(pipeline, key) == set(pipeline.served(key))


def test_the_answers_to_questions_by_id_are_in_the_archive(pipeline: Pipeline) -> None:
    """Materializing the catalog again deletes the same variants and asks no platform."""
    key, shop = put(pipeline, ORPHANS)
    shop.remove_product(next(each.id for each in shop.products() if each.status == "publish"))
    pipeline.materialize(key, assets=[RAW_PRODUCTS], sync_type="full")
    pipeline.sandbox.requests.clear()
    for _ in range(2):
        result = pipeline.materialize(key, assets=[CATALOG_ITEMS])
        assert result.success, pipeline.failure(result)
        assert live(pipeline, key) == set(pipeline.served(key))
    assert pipeline.sandbox.requests.requests() == []


def miscounted(faults: Any, **rule: Any) -> None:
    """Let Shopify always count one product more than it lists."""
    shop = {"id": "gid://shopify/Shop/71", "name": "x", "currencyCode": SHOPIFY.currency}
    body = {"data": {"shop": shop, "productsCount": {"count": 9_999, "precision": "EXACT"}}}
    match = {"platform": "shopify", "body_contains": "query Shop"}
    rules = [{"match": match, "kind": "body", "body": body}]
    if rule:
        match = {"platform": "shopify", "body_contains": "query Nodes"}
        rules.append({"match": match, **rule})
    faults.set(rules)


@pytest.mark.usefixtures("small_pages")
def test_a_shopify_count_that_is_always_wrong_hides_no_deletion(pipeline: Pipeline) -> None:
    """Shopify, too, is asked by id for the absent variants."""
    key, shop = put(pipeline, SHOPIFY)
    products = list(shop.products())
    for each in products[:30]:
        shop.remove_product(each.id)
    shop.remove_variant(
        next(each for each in products[30:] if len(each.variants) > 1).variants[0].id
    )
    miscounted(pipeline.sandbox.faults)
    raw, items = pipeline.sync(key, "full")
    assert raw["complete"] is False
    assert raw["details"]["absent"] == raw["details"]["gone"] == items["deleted"] > 30
    assert live(pipeline, key) == set(pipeline.served(key))


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("times", [1, None], ids=["once", "from then on"])
def test_an_empty_page_of_shopify_deletes_nothing(pipeline: Pipeline, times: int | None) -> None:
    """No live variant is lost. The page looks like the end, and the count says that it is not.

    So the walk reads on behind its last cursor, which is enough where the page passes.
    """
    key, _ = put(pipeline, SHOPIFY)
    before = live(pipeline, key)
    info = {"hasNextPage": False, "endCursor": None}
    page = {
        "match": {"platform": "shopify", "body_contains": "query Products"},
        "kind": "body",
        "body": {"data": {"products": {"pageInfo": info, "nodes": []}}},
        "times": times,
        "skip": 2,
    }
    pipeline.sandbox.faults.set([page])
    raw, items = pipeline.sync(key, "full")
    assert raw["complete"] is (times == 1)
    assert raw["details"].get("readings", 1) == (1 if times == 1 else 2)
    assert items["deleted"] == 0
    assert live(pipeline, key) == before


@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "status", "status": 500},
        {"kind": "body", "body": {"data": {"nodes": [None]}}},
        {"kind": "body", "body": {"data": {"nodes": [None] * 2}}},
        {"kind": "body", "body": {"data": {"nodes": None}}},
        {"kind": "body", "body": {"errors": [{"message": "no"}]}},
    ],
    ids=["500", "fewer", "all-null", "none", "errors"],
)
def test_if_shopify_cannot_be_asked_by_id_the_sync_deletes_nothing(
    pipeline: Pipeline, rule: dict[str, Any]
) -> None:
    """An answer that says even listed variants are gone is not trusted."""
    key, shop = put(pipeline, SHOPIFY)
    before = live(pipeline, key)
    shop.remove_product(next(each.id for each in shop.products() if len(each.variants) == 1))
    miscounted(pipeline.sandbox.faults, **rule)
    raw, items = pipeline.sync(key, "full")
    assert items["deleted"] == 0
    assert live(pipeline, key) == before
    assert any("asking for them by id failed" in each for each in raw["warnings"])


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("spec", [WOO, ORPHANS, SHOPIFY], ids=["agrees", "disagrees", "shopify"])
def test_edits_behind_the_reader_never_cost_a_live_variant(
    pipeline: Pipeline, spec: ShopSpec
) -> None:
    """Whenever the merchant deletes and adds, only variants that the shop no longer has go."""
    key, shop = put(pipeline, spec)
    doomed = [each.id for each in shop.products()][:8]
    before = live(pipeline, key)
    pipeline.sandbox.requests.clear()
    done = threading.Event()
    removed: list[int] = []

    def edit() -> None:
        # At every third answer of the shop, wherever the reader is then.
        for number, product_id in enumerate(doomed, start=1):
            while len(pipeline.sandbox.requests.requests(domain=spec.domain)) < number * 3:
                if done.wait(0.001):
                    return
            shop.remove_product(product_id)
            shop.append_products(1)
            removed.append(product_id)

    merchant = threading.Thread(target=edit)
    merchant.start()
    try:
        pipeline.sync(key, "full")
    finally:
        done.set()
        merchant.join()
    assert len(removed) > 1
    assert live(pipeline, key) >= before & set(pipeline.served(key))
    pipeline.sync(key, "full")
    assert live(pipeline, key) == set(pipeline.served(key))
