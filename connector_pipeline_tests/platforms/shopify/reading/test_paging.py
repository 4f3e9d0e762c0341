"""Promises of the walk over a shop's catalog."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.kit.contract import FetchReport, RawPage
from connector_pipeline.platforms.shopify.adapter import ShopifyAdapter
from connector_pipeline_tests.platforms.shopify.scripted import (
    Received,
    Said,
    ScriptedShopify,
    Tokens,
    by_question,
    cost,
    page_info,
    product,
    products_body,
    shop_body,
    variant,
    variants_body,
)

Read = Callable[..., Any]


async def test_both_cursors_are_followed_to_their_ends(
    shopify: ScriptedShopify, read: Read, report: FetchReport
) -> None:
    """The rest of a product's variants comes right after its products page."""
    bodies = [
        shop_body(3),
        products_body([product(1, [variant(1)], more="v1"), product(2, [variant(2)])], more="p1"),
        variants_body(product(1, [variant(3)], more="v2")),
        variants_body(product(1, [variant(4)])),
        products_body([product(3, [variant(5)])]),
    ]
    asked = [(None, "shop"), (None, None), ("1", "v1"), ("1", "v2"), (None, "p1")]
    shopify.script = [by_question(dict(zip(asked, bodies, strict=True)))]
    pages: list[RawPage] = await read()
    assert [page.kind for page in pages] == ["shop", "products", "variants", "variants", "products"]
    assert [json.loads(page.body) for page in pages] == bodies
    assert [page.facts for page in pages] == [
        {},
        {"after": None},
        {"product_id": "1", "after": "v1"},
        {"product_id": "1", "after": "v2"},
        {"after": "p1"},
    ]
    assert {
        "id": "gid://shopify/Product/1",
        "after": "v1",
        "variants": 2048,
    } in [received.variables for received in shopify.received]
    assert len(shopify.received) == len(pages)
    assert report.complete
    assert report.currency == "SEK"
    assert report.details == {
        "api_version": "2026-07",
        "pages": 5,
        "points": 50,
        "products": 3,
        "variants": 5,
    }


@pytest.mark.parametrize(
    ("bodies", "words"),
    [
        (
            [products_body([], more="p1"), products_body([], more="p1")],
            "does not move",
        ),
        (
            [
                products_body([], more="p1"),
                products_body([], more="p2"),
                products_body([], more="p1"),
            ],
            "does not move",
        ),
        (
            [
                products_body([product(1, [variant(1)], more="v1")]),
                variants_body(product(1, [variant(2)], more="v1")),
            ],
            "does not move",
        ),
        (
            [
                {
                    "data": {
                        "products": {
                            "pageInfo": {"hasNextPage": True, "endCursor": None},
                            "nodes": [],
                        }
                    }
                }
            ],
            "gives no cursor",
        ),
        ([products_body([product(1, [])], more="c" * 5000)], "has 5000 characters"),
        (
            [products_body([product(1, [variant(1)], more="v" * 4097)])],
            "has 4097 characters",
        ),
        ([products_body([], more=f"p{number}") for number in range(11)], "empty pages"),
        (
            [{"data": {"products": {"pageInfo": {"hasNextPage": "no"}, "nodes": []}}}],
            "does not say",
        ),
        ([{"data": {"products": {"nodes": []}}}], "'pageInfo'"),
        ([{"data": {"products": None}}], "'products'"),
        ([{"data": {"products": {"pageInfo": page_info(), "nodes": None}}}], "nodes"),
        ([products_body([None])], "no id"),
        ([products_body([{"id": "gid://shopify/Product/1"}])], "'variants'"),
        ([products_body([product(1, [], id="gid://shopify/Order/1")])], "no id"),
        (
            [products_body([product(1, [variant(1)], more="v1")]), {"data": {}}],
            "'product'",
        ),
    ],
)
async def test_a_walk_that_leads_nowhere_ends(
    shopify: ScriptedShopify, read: Read, report: FetchReport, bodies: list[Any], words: str
) -> None:
    """It makes no endless loop and no complete snapshot."""
    shopify.script = [Said(shop_body(1)), *map(Said, bodies)]
    with pytest.raises(InvalidResponse, match=words):
        await read()
    assert len(shopify.received) == len(bodies) + 1
    assert not report.complete


async def test_a_page_that_breaks_the_contract_is_yielded_before_the_walk_fails(
    shopify: ScriptedShopify, shop: Shop, tokens: Tokens, report: FetchReport
) -> None:
    """So it is in the archive, where somebody can look at it."""
    shopify.script = [Said(shop_body(1)), Said({"data": {"products": "none"}})]
    api = ShopifyAdapter(base_url=shopify.url, allow_private_hosts=True)
    fetch = api.fetch(shop, tokens, since=None, report=report)
    pages = [await anext(fetch), await anext(fetch)]
    with pytest.raises(InvalidResponse):
        await anext(fetch)
    assert json.loads(pages[-1].body) == {"data": {"products": "none"}}


@pytest.mark.parametrize("currency", [None, "sek", "SEKK", "SEK\n", 752, ""])
async def test_a_currency_is_never_assumed(
    shopify: ScriptedShopify, read: Read, report: FetchReport, currency: Any
) -> None:
    """A currencyCode that is no currency stops the sync."""
    shopify.script = [Said(shop_body(1, currency=currency))]
    with pytest.raises(InvalidResponse, match="currencyCode"):
        await read()
    assert report.currency is None


async def test_a_snapshot_that_disagrees_with_shopifys_count_is_not_complete(
    shopify: ScriptedShopify, read: Read, report: FetchReport
) -> None:
    """The count is asked for once more at the end, and then a warning states it."""
    shopify.script = [
        Said(shop_body(3)),
        Said(products_body([product(1, [variant(1)])])),
        Said(shop_body(3)),
    ]
    pages = await read()
    assert [page.kind for page in pages] == ["shop", "products", "shop"]
    assert not report.complete
    assert "counts 3 products, but 1 were read" in report.warnings[0]


async def test_a_product_added_or_deleted_while_reading_does_not_spoil_the_snapshot(
    shopify: ScriptedShopify, read: Read, report: FetchReport
) -> None:
    """The count at the end may agree as well as the one at the start."""
    shopify.script = [
        Said(shop_body(2)),
        Said(products_body([product(1, [variant(1)])])),
        Said(shop_body(1)),
    ]
    await read()
    assert report.complete
    assert report.warnings == []


async def test_a_count_that_is_a_lower_bound_is_taken_for_one(
    shopify: ScriptedShopify, read: Read, report: FetchReport
) -> None:
    """Its precision is AT_LEAST."""
    at_least = shop_body()
    at_least["data"]["productsCount"] = {"count": 1, "precision": "AT_LEAST"}
    shopify.script = [
        Said(at_least),
        Said(products_body([product(1, [variant(1)]), product(2, [variant(2)])])),
    ]
    await read()
    assert report.complete


async def test_products_that_come_twice_make_no_complete_snapshot(
    shopify: ScriptedShopify, read: Read, report: FetchReport
) -> None:
    """One product twice and another missing would give the same count."""
    shopify.script = [
        Said(shop_body(2)),
        Said(products_body([product(1, [variant(1)]), product(1, [variant(1)])])),
    ]
    await read()
    assert not report.complete
    assert "order" in report.warnings[0]


async def test_a_product_deleted_while_its_variants_are_read_ends_its_own_chain_only(
    shopify: ScriptedShopify, read: Read, report: FetchReport
) -> None:
    """The walk goes on with the next product."""
    shopify.script = [
        Said(shop_body(2)),
        Said(
            products_body(
                [product(1, [variant(1)], more="v1"), product(2, [variant(2)], more="v2")]
            )
        ),
        Said(variants_body(None)),
        Said(variants_body(product(2, [variant(3)]))),
    ]
    pages = await read()
    assert [page.facts.get("product_id") for page in pages] == [None, None, "1", "2"]
    assert report.complete
    assert "Product 1 was deleted" in report.warnings[0]


async def test_a_fetch_that_is_left_early_is_not_complete(
    shopify: ScriptedShopify, shop: Shop, tokens: Tokens, report: FetchReport
) -> None:
    """After a stop at any page, the connection is closed and the report is not complete."""
    shopify.script = [Said(shop_body(1)), Said(products_body([product(1, [variant(1)])]))]
    api = ShopifyAdapter(base_url=shopify.url, allow_private_hosts=True)
    fetch = api.fetch(shop, tokens, since=None, report=report)
    assert (await anext(fetch)).kind == "shop"
    await fetch.aclose()
    assert len(shopify.received) == 1
    assert not report.complete


PAGES = {
    (None, "shop"): shop_body(3),
    (None, None): products_body(
        [product(1, [variant(1)], more="v1"), product(2, [variant(2)])], more="p1"
    ),
    ("1", "v1"): variants_body(product(1, [variant(3)], more="v2")),
    ("1", "v2"): variants_body(product(1, [variant(4)])),
    (None, "p1"): products_body([product(3, [variant(5)])]),
}


async def replayed(
    shopify: ScriptedShopify, shop: Shop, archived: list[RawPage], since: datetime | None = None
) -> tuple[list[RawPage], FetchReport]:
    """The pages of a fetch that resumes from the archived ones, and its report."""
    shopify.received.clear()
    shopify.checked.clear()
    report = FetchReport()
    api = ShopifyAdapter(base_url=shopify.url, allow_private_hosts=True)
    tokens = Tokens([{"access_token": "shpat_first"}])
    fetch = api.fetch(shop, tokens, since=since, report=report, archived=iter(archived))
    return [page async for page in fetch], report


@pytest.mark.parametrize("kept", range(6))
async def test_archived_pages_are_not_asked_for_again(
    shopify: ScriptedShopify, shop: Shop, kept: int
) -> None:
    """After a cut at any page, the pages, their order and the counts are the same."""
    shopify.script = [by_question(dict(PAGES))]
    whole, reported = await replayed(shopify, shop, [])
    again, report = await replayed(shopify, shop, whole[:kept])
    assert again == whole
    assert len(shopify.received) == len(whole) - kept
    assert report.requests == len(shopify.received) + len(shopify.checked)
    assert report.complete
    assert report.currency == reported.currency
    assert report.details.get("pages_from_archive", 0) == kept
    for name in ("pages", "products", "variants"):
        assert report.details[name] == reported.details[name]


@pytest.mark.parametrize(
    "stranger",
    [
        RawPage("variants", b"{}", {"product_id": "9", "after": "v1"}),
        RawPage("products", b"{}", {"after": "elsewhere"}),
        RawPage("products", b"not json", {"after": None}),
        RawPage("products", b'{"data": {"products": "none"}}', {"after": None}),
        RawPage("bulk", b"{}", {}),
    ],
)
async def test_an_archived_page_that_is_no_answer_ends_the_resumption(
    shopify: ScriptedShopify, shop: Shop, stranger: RawPage
) -> None:
    """Later pages are asked for, and a page that broke one attempt does not break the next."""
    shopify.script = [by_question(dict(PAGES))]
    whole, _ = await replayed(shopify, shop, [])
    again, report = await replayed(shopify, shop, [whole[0], stranger, *whole[1:]])
    assert again == whole
    assert len(shopify.received) == len(whole) - 1
    assert report.complete


async def test_the_pages_of_a_full_sync_are_no_increments(
    shopify: ScriptedShopify, shop: Shop
) -> None:
    """The pages of an increment from another time are not used either."""
    shopify.script = [by_question(dict(PAGES))]
    whole, _ = await replayed(shopify, shop, [])
    since = datetime(2026, 11, 25, 1, 2, 3, tzinfo=UTC)
    increment, _ = await replayed(shopify, shop, whole, since=since)
    assert len(shopify.received) == len(whole) - 1
    products = [received for received in shopify.received if "changed" in received.variables]
    assert len(products) == 2
    assert {received.variables["changed"] for received in products} == {
        "updated_at:>='2026-11-25T01:02:03Z'"
    }
    assert "sortKey: UPDATED_AT, query: $changed" in products[0].body["query"]
    _, other = await replayed(shopify, shop, increment, since=since + timedelta(seconds=1))
    assert len(shopify.received) == len(whole) - 1
    assert other.complete


async def test_an_increment_is_whole_although_products_come_again(
    shopify: ScriptedShopify, shop: Shop
) -> None:
    """In the order of changes ids do not ascend, and Shopify does not count changes."""
    changed = [product(5, [variant(1)]), product(2, [variant(2)])]
    shopify.script = [
        by_question(
            {
                (None, "shop"): shop_body(900),
                (None, None): products_body(changed, more="p1"),
                (None, "p1"): products_body([product(5, [variant(1)])]),
            }
        )
    ]
    pages, report = await replayed(shopify, shop, [], since=datetime(2026, 11, 25, tzinfo=UTC))
    assert [page.kind for page in pages] == ["shop", "products", "products", "deletions"]
    assert report.complete
    assert not report.read_in_full
    assert report.warnings == []


async def test_an_increment_with_an_empty_page_in_its_middle_is_not_whole(
    shopify: ScriptedShopify, shop: Shop
) -> None:
    """A broken page with status 200 looks the same."""
    shopify.script = [
        by_question(
            {
                (None, "shop"): shop_body(900),
                (None, None): products_body([], more="p1"),
                (None, "p1"): products_body([product(5, [variant(1)])]),
            }
        )
    ]
    _, report = await replayed(shopify, shop, [], since=datetime(2026, 11, 25, tzinfo=UTC))
    assert not report.complete


async def test_a_fetch_that_is_left_gives_up_what_it_asked_ahead(
    shopify: ScriptedShopify, shop: Shop, tokens: Tokens, report: FetchReport
) -> None:
    """No task and no connection outlives it."""
    shopify.script = [by_question(dict(PAGES))]
    api = ShopifyAdapter(base_url=shopify.url, allow_private_hosts=True)
    fetch = api.fetch(shop, tokens, since=None, report=report)
    before = asyncio.all_tasks()
    assert [(await anext(fetch)).kind, (await anext(fetch)).kind] == ["shop", "products"]
    await fetch.aclose()
    served = {task for task in asyncio.all_tasks() - before if "answer" not in repr(task)}
    assert served == set()


async def test_a_page_asked_for_too_small_for_want_of_points_is_asked_for_again(
    shopify: ScriptedShopify, read: Read, report: FetchReport
) -> None:
    """The last products have many more variants than all products before them."""
    short_of_points = cost(available=-200, rate=1000)
    few = [product(number, [variant(number)]) for number in range(1, 21)]
    many = [
        product(number, [variant(number), variant(100 + number)], more=f"v{number}")
        for number in range(21, 31)
    ]
    whole = [product(number, [variant(number)] * 9) for number in range(21, 31)]

    def said(received: Received) -> Said:
        if received.variables.get("after") is None:
            first = products_body(few, more="p1", extensions=short_of_points)
            return Said(shop_body(30) if "first" not in received.variables else first)
        cut_short = received.variables["variants"] < 250
        return Said(products_body(many if cut_short else whole))

    shopify.script = [said]
    pages = await read(batch_size=20)
    sizes = [
        (received.variables["first"], received.variables["variants"])
        for received in shopify.received[1:]
    ]
    assert sizes == [(20, 250), (10, 2), (20, 250)]
    assert [page.kind for page in pages] == ["shop", "products", "products"]
    assert report.details["variants"] == 20 + 90
    assert report.complete
