"""Promises about reading the products that hints name, kept against the sandbox."""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from connector_pipeline.model.catalog_item import RejectedVariant, rows_of
from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.kit.contract import FetchReport, RawPage
from connector_pipeline.platforms.shopify.adapter import ShopifyAdapter
from connector_pipeline.platforms.shopify.cost import requested_cost
from connector_pipeline.platforms.shopify.queries import PRODUCTS_BY_ID
from connector_pipeline.platforms.shopify.reading.by_id import batches
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shopify.trouble import FailingField, HeavyPages, Trouble
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline_tests.platforms.shopify.test_adapter import (
    SandboxTokens,
    api,
    expected,
    shop_of,
)
from connector_pipeline_tests.platforms.shopify.test_adapter import (
    rows_of as rows_in,
)

MUGS = ShopSpec(
    platform="shopify",
    domain="mugs.myshopify.com",
    merchant_id="merchant-mugs",
    platform_shop_id="71000000009",
    products=400,
    variants=(1, 4),
    seed=3,
    big_products=(300, 120),
)
DOMAIN = MUGS.domain
LATER = datetime(2026, 11, 28, 12, 0, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer() as running:
        yield running


@pytest.fixture
def sandbox(server: SandboxServer) -> SandboxServer:
    """The server with a new shop, with no requests logged."""
    server.store.put(MUGS).bucket.resize(20_000, 20_000)
    server.requests.clear()
    return server


@pytest.fixture
def held(sandbox: SandboxServer) -> SandboxShop:
    return sandbox.store.shop("shopify", DOMAIN)


async def read(
    sandbox: SandboxServer,
    tokens: Mapping[str, datetime | None],
    report: FetchReport,
    archived: Iterable[RawPage] = (),
) -> list[RawPage]:
    _, shop = shop_of(sandbox, DOMAIN)
    found = api(sandbox).fetch_hinted(
        shop, SandboxTokens(sandbox), tokens=tokens, report=report, archived=archived
    )
    async with aclosing(found) as pages:
        return [page async for page in pages]


def of_products(sandbox: SandboxServer, ids: Iterable[int]) -> list[dict[str, Any]]:
    wanted = {str(each) for each in ids}
    return [row for row in expected(sandbox, DOMAIN) if row["product_id"] in wanted]


def both_ways(
    sandbox: SandboxServer, pages: list[RawPage], report: FetchReport
) -> list[dict[str, Any]]:
    """The rows of the pages, which the fast way of decoding gives, too."""
    _, shop = shop_of(sandbox, DOMAIN)
    assert report.currency is not None
    plain = list(api(sandbox).rows(shop, report.currency, pages))
    assert plain == list(rows_of(api(sandbox).normalize(shop, report.currency, pages)))
    return rows_in(sandbox, DOMAIN, pages, report)


async def test_one_product_is_one_request(sandbox: SandboxServer, held: SandboxShop) -> None:
    """It comes whole, with the shop's currency, for the points that it uses."""
    product_id = held.product_ids()[40]
    report = FetchReport()
    pages = await read(sandbox, {str(product_id): None}, report)
    assert both_ways(sandbox, pages, report) == of_products(sandbox, [product_id])
    assert report.requests == len(pages) == 1
    assert report.complete
    assert report.currency == MUGS.currency
    assert not report.perhaps_gone | report.not_yet
    assert report.warnings == []


async def test_the_most_products_that_hints_name_wait_for_no_points(
    sandbox: SandboxServer, held: SandboxShop
) -> None:
    """A full bucket of the Standard plan pays for them; one question more would have to wait."""
    held.bucket.resize(2_000, 0.001)
    ids = held.product_ids()[-ShopifyAdapter.most_hinted :]
    report = FetchReport()
    pages = await read(sandbox, {str(each): None for each in ids}, report)
    assert report.requests == len(pages) == 2
    asked = list(batches([str(each) for each in ids]))
    requested = [requested_cost(PRODUCTS_BY_ID, {"ids": i, "variants": room}) for i, room in asked]
    assert sum(requested) <= 2_000 < sum(requested) + requested[-1]


async def test_250_products_take_five_requests_and_one_for_each_that_has_many_variants(
    sandbox: SandboxServer, held: SandboxShop
) -> None:
    """Products of 120 and 300 variants are among them, and no query is refused for its cost."""
    ids = held.product_ids()[:250]
    report = FetchReport()
    pages = await read(sandbox, {str(each): None for each in ids}, report)
    assert both_ways(sandbox, pages, report) == of_products(sandbox, ids)
    assert [page.kind for page in pages].count("variants") == 2
    assert report.requests == len(pages) == 7
    assert report.retries == 0


async def test_many_products_with_many_variants_are_asked_for_again_together(
    sandbox: SandboxServer,
) -> None:
    """One by one they would take a request each."""
    held = sandbox.store.put(replace(MUGS, variants=(13, 40), big_products=(), awkward=False))
    held.bucket.resize(20_000, 20_000)
    ids = held.product_ids()[:110]
    report = FetchReport()
    pages = await read(sandbox, {str(each): None for each in ids}, report)
    last = {
        (row["product_id"], row["variant_id"]): row for row in both_ways(sandbox, pages, report)
    }
    assert list(last.values()) == of_products(sandbox, ids)
    assert report.requests == len(pages) == 2 + 6
    assert report.details["products"] == 110
    assert report.details["variants"] == len(last)
    resumed = FetchReport()
    again = await read(sandbox, {str(each): None for each in ids}, resumed, iter(pages))
    assert again == pages
    assert resumed.requests == 0


async def test_a_deleted_product_seems_to_be_gone_and_a_draft_is_read(
    sandbox: SandboxServer, held: SandboxShop
) -> None:
    """Lists of Shopify have every status, and so has an answer by id."""
    gone, draft = held.product_ids()[50:52]
    held.remove_product(gone)
    held.edit_product(draft, {"status": "DRAFT"})
    report = FetchReport()
    pages = await read(sandbox, {str(gone): None, str(draft): None}, report)
    assert rows_in(sandbox, DOMAIN, pages, report) == of_products(sandbox, [draft])
    assert report.perhaps_gone == {str(gone)}
    assert report.complete


async def test_a_change_that_is_not_shown_yet_is_asked_for_again(
    sandbox: SandboxServer, held: SandboxShop
) -> None:
    """The rows are as they were; a new product is not found; a deleted one is still there."""
    changed, deleted = held.product_ids()[60:62]
    before = of_products(sandbox, [changed, deleted])
    held.stay_behind(math.inf)
    held.edit_product(changed, {"title": "New"}, at=LATER)
    held.remove_product(deleted, at=LATER)
    (new,) = held.append_products(1, at=LATER)
    tokens: dict[str, datetime | None] = {
        str(changed): LATER,
        f"deleted/{deleted}": LATER,
        str(new): LATER,
    }
    report = FetchReport()
    pages = await read(sandbox, tokens, report)
    assert rows_in(sandbox, DOMAIN, pages, report) == before
    assert report.not_yet == {*tokens}
    held.stay_behind(0)
    again = FetchReport()
    pages = await read(sandbox, tokens, again)
    assert rows_in(sandbox, DOMAIN, pages, again) == of_products(sandbox, [changed, new])
    assert again.not_yet == set()
    assert again.perhaps_gone == {str(deleted)}


async def test_an_inventory_item_leads_to_its_product(
    sandbox: SandboxServer, held: SandboxShop
) -> None:
    """One request more says whose it is. An unknown item names nothing."""
    product_id = held.product_ids()[70]
    item = held.variant_ids(product_id)[0]
    report = FetchReport()
    tokens = {f"inventory_item/{item}": LATER, "inventory_item/77": LATER, str(product_id): None}
    pages = await read(sandbox, tokens, report)
    assert both_ways(sandbox, pages, report) == of_products(sandbox, [product_id])
    assert report.requests == 2
    assert report.not_yet == report.perhaps_gone == set()
    assert report.details["unknown_inventory_items"] == 1


async def test_tokens_that_name_nothing_are_left_out_with_a_warning(
    sandbox: SandboxServer,
) -> None:
    """The currency is there all the same."""
    report = FetchReport()
    pages = await read(sandbox, {'1") { id } }': LATER, "bulk/gid://shopify/X/1": None}, report)
    assert [page.kind for page in pages] == ["shop"]
    assert report.currency == MUGS.currency
    assert len(report.warnings) == 1
    assert report.complete


async def test_a_page_that_is_too_heavy_is_asked_for_in_parts(
    sandbox: SandboxServer, held: SandboxShop
) -> None:
    """Down to one product with room for few variants."""
    ids = held.product_ids()[23:29]
    held.trouble = Trouble(heavy=HeavyPages(variants=12, how="500"))
    report = FetchReport()
    _, shop = shop_of(sandbox, DOMAIN)
    found = api(sandbox, max_retries=0).fetch_hinted(
        shop, SandboxTokens(sandbox), tokens={str(each): None for each in ids[2:]}, report=report
    )
    pages = [page async for page in found]
    assert rows_in(sandbox, DOMAIN, pages, report) == of_products(sandbox, ids[2:])


async def test_a_product_with_a_field_that_fails_is_rejected_and_not_gone(
    sandbox: SandboxServer, held: SandboxShop
) -> None:
    """Shopify answers null for it, as it does for a deleted one."""
    failing, other = held.product_ids()[80:82]
    held.trouble = Trouble(partial=FailingField("title", variant=held.variant_ids(failing)[0]))
    report = FetchReport()
    pages = await read(sandbox, {str(failing): LATER, str(other): None}, report)
    _, shop = shop_of(sandbox, DOMAIN)
    made = list(api(sandbox).normalize(shop, MUGS.currency, pages))
    rejects = [each for each in made if isinstance(each, RejectedVariant)]
    assert [each.product_id for each in rejects] == [str(failing)]
    assert len(made) - 1 == len(of_products(sandbox, [other]))
    assert report.perhaps_gone == report.not_yet == set()
    assert any(str(failing) in warning for warning in report.warnings)


async def test_an_interrupted_reading_asks_for_the_rest_only(
    sandbox: SandboxServer, held: SandboxShop
) -> None:
    """Archived pages answer the questions that they answered."""
    ids = held.product_ids()[:120]
    item = held.variant_ids(held.product_ids()[200])[0]
    tokens = {f"inventory_item/{item}": None, **{str(each): None for each in ids}}
    first = FetchReport()
    pages = await read(sandbox, tokens, first)
    for left in range(len(pages) + 1):
        report = FetchReport()
        again = await read(sandbox, tokens, report, archived=iter(pages[:left]))
        assert again[:left] == pages[:left]
        assert [(page.kind, page.facts) for page in again] == [
            (page.kind, page.facts) for page in pages
        ]
        assert report.requests == len(pages) - left
        assert report.currency == MUGS.currency


async def test_another_shops_answer_is_refused(sandbox: SandboxServer, held: SandboxShop) -> None:
    """Nothing of it may be published."""
    held.trouble = Trouble(answers_as="other.myshopify.com")
    with pytest.raises(InvalidResponse, match="other"):
        await read(sandbox, {str(held.product_ids()[0]): None}, FetchReport())
