"""Promises of the Shopify adapter, kept against the sandbox."""

import traceback
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from connector_pipeline.model.catalog_item import CatalogItem
from connector_pipeline.model.errors import InvalidShop, PlatformUnavailable, ShopDisconnected
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.kit.contract import FetchReport, RawPage
from connector_pipeline.platforms.shopify.adapter import ShopifyAdapter
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.default_shops import DEFAULT_SHOPS
from connector_pipeline.sandbox.shops.expected import expected_items
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.shops.spec import ShopSpec

SHOPS = [spec.domain for spec in DEFAULT_SHOPS if spec.platform == "shopify"]
TEA = "nordic-tea.myshopify.com"
PAPER = "kyoto-paper.myshopify.com"
COUNT_OF_VARIANTS = 1
"""A full sync asks once how many variants Shopify counts; the answer is no page."""


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    """The sandbox with its default shops."""
    with SandboxServer() as server:
        yield server


class SandboxTokens:
    """The sandbox's Token Service, asked over HTTP."""

    def __init__(self, sandbox: SandboxServer):
        self._url = sandbox.token_service_url
        self.asked = 0

    async def credentials(self, shop: Shop, model: type[Any]) -> Any:
        self.asked += 1
        async with httpx.AsyncClient(trust_env=False, verify=False) as client:
            answer = await client.get(
                f"{self._url}/api/v1/tokens/shopify/{shop.domain}",
                headers={"X-Correlation-ID": "test"},
            )
        return model.model_validate(answer.raise_for_status().json()["data"])


def api(sandbox: SandboxServer, **settings: Any) -> ShopifyAdapter:
    return ShopifyAdapter(
        base_url=sandbox.shopify_base_url,
        allow_private_hosts=True,
        **{"retry_delay": 0.01, **settings},
    )


def shop_of(sandbox: SandboxServer, domain: str) -> tuple[SandboxShop, Shop]:
    held = sandbox.store.shop("shopify", domain)
    return held, Shop(
        merchant_id=held.spec.merchant_id,
        platform_name="shopify",
        platform_shop_id=held.spec.platform_shop_id,
        domain=domain,
    )


def fetch(
    sandbox: SandboxServer, domain: str, report: FetchReport, **settings: Any
) -> AsyncGenerator[RawPage, None]:
    _, shop = shop_of(sandbox, domain)
    since = settings.pop("since", None)
    return api(sandbox, **settings).fetch(shop, SandboxTokens(sandbox), since=since, report=report)


def rows_of(
    sandbox: SandboxServer, domain: str, pages: list[RawPage], report: FetchReport
) -> list[dict[str, Any]]:
    """The items of the pages, in the order of expected_items; none is rejected."""
    _, shop = shop_of(sandbox, domain)
    assert report.currency is not None
    items = list(api(sandbox).normalize(shop, report.currency, pages))
    rows = [item.model_dump() for item in items if isinstance(item, CatalogItem)]
    assert len(rows) == len(items)
    return in_order(rows)


def in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: (int(row["product_id"]), int(row["variant_id"])))


def expected(sandbox: SandboxServer, domain: str) -> list[dict[str, Any]]:
    return in_order(expected_items(sandbox.store.shop("shopify", domain)))


@pytest.mark.parametrize("domain", SHOPS)
@pytest.mark.parametrize("since", [None, datetime(2026, 1, 1, tzinfo=UTC)])
async def test_every_field_of_every_variant_is_what_the_shop_holds(
    sandbox: SandboxServer, domain: str, since: datetime | None
) -> None:
    """An increment since a time before all changes has everything, too."""
    report = FetchReport()
    pages = [page async for page in fetch(sandbox, domain, report, since=since)]
    assert rows_of(sandbox, domain, pages, report) == expected(sandbox, domain)
    assert report.complete
    assert report.warnings == []
    assert report.retries == 0


@pytest.mark.parametrize(("domain", "variants"), [(TEA, 300), (PAPER, 2048)])
async def test_a_product_of_many_variants_comes_whole_with_one_more_request(
    sandbox: SandboxServer, domain: str, variants: int
) -> None:
    """250 variants come with the product, and all others on one page of their own."""
    report = FetchReport()
    pages = [page async for page in fetch(sandbox, domain, report)]
    rows = rows_of(sandbox, domain, pages, report)
    assert Counter(row["product_id"] for row in rows).most_common(1)[0][1] == variants
    assert [page.kind for page in pages].count("variants") == 1
    assert report.requests == len(pages) + COUNT_OF_VARIANTS


@pytest.mark.parametrize("batch_size", [1, 7, 250])
async def test_the_page_size_changes_nothing_but_the_number_of_pages(
    sandbox: SandboxServer, batch_size: int
) -> None:
    """SHOPIFY_BATCH_SIZE changes only the speed."""
    sandbox.store.shop("shopify", PAPER).bucket.resize(20_000, 20_000)
    report = FetchReport()
    pages = [page async for page in fetch(sandbox, PAPER, report, batch_size=batch_size)]
    assert rows_of(sandbox, PAPER, pages, report) == expected(sandbox, PAPER)


async def test_a_shop_of_few_points_is_read_without_ever_being_throttled(
    sandbox: SandboxServer,
) -> None:
    """The adapter waits for the points of its next query, by the budget of the last answer."""
    sandbox.store.shop("shopify", TEA).bucket.resize(400, 4000)
    report = FetchReport()
    pages = [page async for page in fetch(sandbox, TEA, report, batch_size=50)]
    assert rows_of(sandbox, TEA, pages, report) == expected(sandbox, TEA)
    assert report.retries == 0


async def test_a_shop_of_few_points_is_waited_for_to_the_point(sandbox: SandboxServer) -> None:
    """900 products, 4,500 variants, a bucket of 400: no answer is THROTTLED, and no point idle.

    (At ten times the restore rate of the smallest plans.)
    """
    small = ShopSpec(
        platform="shopify",
        domain="few-points.myshopify.com",
        merchant_id="m",
        platform_shop_id="1",
        products=900,
        variants=(5, 5),
        awkward=False,
    )
    sandbox.store.put(small).bucket.resize(400, 500)
    report = FetchReport()
    pages = [page async for page in fetch(sandbox, small.domain, report)]
    assert rows_of(sandbox, small.domain, pages, report) == expected(sandbox, small.domain)
    assert (report.retries, report.requests, len(pages)) == (0, 5 + COUNT_OF_VARIANTS, 5)
    used = report.details["points"]
    assert isinstance(used, int)
    # Points that are restored while answers are on their way need no wait. An answer states whole
    # points, of what is there and of what a query costs, so each wait may be two points too long.
    assert report.waited_seconds <= (used - 400 + 2 * report.requests) / 500


async def test_many_large_products_are_read_at_once_without_being_throttled(
    sandbox: SandboxServer,
) -> None:
    """Requests at the same time share the shop's points."""
    large = ShopSpec(
        platform="shopify",
        domain="large.myshopify.com",
        merchant_id="m",
        platform_shop_id="1",
        products=60,
        variants=(1, 2),
        big_products=(251,) * 25,
        awkward=False,
    )
    sandbox.store.put(large).bucket.resize(350, 1000)
    # Long enough for requests to overlap on any machine.
    match = {"domain": large.domain, "platform": "shopify"}
    sandbox.faults.set([{"match": match, "kind": "latency", "seconds": 0.03}])
    report = FetchReport()
    pages = [page async for page in fetch(sandbox, large.domain, report, batch_size=30)]
    assert rows_of(sandbox, large.domain, pages, report) == expected(sandbox, large.domain)
    assert (report.retries, report.requests) == (0, len(pages) + COUNT_OF_VARIANTS)
    assert sandbox.requests.shop("shopify", large.domain).peak_in_flight > 1
    assert report.complete


async def test_a_restore_rate_lowered_on_the_way_is_followed(sandbox: SandboxServer) -> None:
    """After the merchant changed the plan, the next wait is by the new rate."""
    held, _ = shop_of(sandbox, TEA)
    held.bucket.resize(330, 4000)
    report = FetchReport()
    pages: list[RawPage] = []
    async for page in fetch(sandbox, TEA, report, batch_size=40):
        pages.append(page)
        if len(pages) == 4:
            held.bucket.restore_rate = 400.0
    assert rows_of(sandbox, TEA, pages, report) == expected(sandbox, TEA)
    # At most the one request that was waiting when the rate was lowered.
    assert report.retries <= 1
    assert report.complete


async def test_a_bucket_smaller_than_a_page_is_read_in_smaller_pages(
    sandbox: SandboxServer,
) -> None:
    """A page of 250 requests more points than such a bucket ever holds."""
    sandbox.store.shop("shopify", TEA).bucket.resize(200, 4000)
    report = FetchReport()
    pages = [page async for page in fetch(sandbox, TEA, report)]
    assert rows_of(sandbox, TEA, pages, report) == expected(sandbox, TEA)


async def test_a_token_rotated_on_the_way_costs_one_request(sandbox: SandboxServer) -> None:
    """The walk goes on with the token that the Token Service has by then."""
    report = FetchReport()
    pages: list[RawPage] = []
    async for page in fetch(sandbox, TEA, report, batch_size=100):
        pages.append(page)
        if len(pages) == 3:
            sandbox.store.shop("shopify", TEA).credentials.rotate()
    assert rows_of(sandbox, TEA, pages, report) == expected(sandbox, TEA)
    assert report.complete
    assert report.requests == len(pages) + COUNT_OF_VARIANTS + 1


async def test_a_token_revoked_on_the_way_disconnects_the_shop(sandbox: SandboxServer) -> None:
    """The app was uninstalled, so the Token Service's token is dead, and the next one too."""
    held, _ = shop_of(sandbox, TEA)
    report = FetchReport()
    pages = fetch(sandbox, TEA, report)
    await anext(pages)
    held.credentials.revoked = True
    with pytest.raises(ShopDisconnected) as caught:
        await anext(pages)
    shown = "".join(traceback.format_exception(caught.value))
    assert held.credentials.access_token not in shown
    assert "shopify/nordic-tea.myshopify.com: Shopify does not accept" in str(caught.value)
    assert not report.complete


async def test_a_shop_that_refused_us_answers_when_its_products_may_be_counted(
    sandbox: SandboxServer,
) -> None:
    """A token without the scope read_products is accepted, and is no answer."""
    _, shop = shop_of(sandbox, TEA)
    await api(sandbox).answers(shop, SandboxTokens(sandbox))
    denied = {
        "data": {"shop": {"id": "gid://shopify/Shop/1"}, "productsCount": None},
        "errors": [
            {
                "message": "Access denied for productsCount field. Required access: "
                "`read_products` access scope.",
                "path": ["productsCount"],
                "extensions": {"code": "ACCESS_DENIED", "requiredAccess": "`read_products`"},
            }
        ],
    }
    fault = {"match": {"platform": "shopify", "domain": TEA}, "kind": "body", "body": denied}
    sandbox.faults.set([fault])
    with pytest.raises(ShopDisconnected, match="read_products"):
        await api(sandbox).answers(shop, SandboxTokens(sandbox))


@pytest.mark.parametrize("kind", ["html", "truncate", "reset", "garbage"])
async def test_a_trouble_on_the_way_is_overcome(sandbox: SandboxServer, kind: str) -> None:
    """The request is retried, and the snapshot is whole."""
    sandbox.faults.set(
        [{"match": {"platform": "shopify", "domain": TEA}, "kind": kind, "skip": 1, "times": 1}]
    )
    report = FetchReport()
    pages = [page async for page in fetch(sandbox, TEA, report)]
    assert rows_of(sandbox, TEA, pages, report) == expected(sandbox, TEA)
    assert report.retries == 1
    assert report.complete


async def test_a_trouble_that_stays_is_unavailable(sandbox: SandboxServer) -> None:
    """This holds after max_retries, and the pages before it are no snapshot."""
    sandbox.faults.set(
        [
            {
                "match": {"platform": "shopify", "domain": TEA},
                "kind": "status",
                "status": 503,
                "skip": 1,
                "times": None,
            }
        ]
    )
    report = FetchReport()
    pages = fetch(sandbox, TEA, report, max_retries=1)
    await anext(pages)
    with pytest.raises(PlatformUnavailable, match="503"):
        await anext(pages)
    assert not report.complete


def trouble(kind: str, skip: int, **how: Any) -> dict[str, Any]:
    return {"match": {"platform": "shopify", "domain": TEA}, "kind": kind, "skip": skip, **how}


ROTATION = "the token rotated"
TROUBLES: dict[str, dict[str, Any]] = {
    "three times 503": trouble("status", 3, status=503, times=3),
    "half a body": trouble("truncate", 4, times=1),
    "HTML at 200": trouble("html", 6, status=200, times=1),
    "two resets": trouble("reset", 8, times=2),
}


def throttled_for(seconds: float) -> dict[str, Any]:
    return trouble("throttled", 9, lasting=seconds)


ALONE = [
    *((name, [rule], name) for name, rule in TROUBLES.items()),
    (ROTATION, [], ROTATION),
    ("throttled", [throttled_for(10)], "THROTTLED for 10 s"),
]
TOGETHER = [*TROUBLES.values(), throttled_for(2)]
TOGETHER_LONG = [*TROUBLES.values(), throttled_for(10)]


@pytest.mark.parametrize(
    ("rules", "rotated"),
    [
        *(pytest.param(rules, name == ROTATION, id=shown) for name, rules, shown in ALONE),
        pytest.param(TOGETHER, True, id="all together"),
        pytest.param(TOGETHER_LONG, True, id="all, for 10 s", marks=pytest.mark.slow),
    ],
)
async def test_troubles_on_the_way_leave_no_trace(
    sandbox: SandboxServer, rules: list[dict[str, Any]], rotated: bool
) -> None:
    """With each trouble and with all together, the snapshot is complete and every field right."""
    held, _ = shop_of(sandbox, TEA)
    sandbox.faults.set(rules)
    report = FetchReport()
    pages: list[RawPage] = []
    async for page in fetch(sandbox, TEA, report, batch_size=25):
        pages.append(page)
        if rotated and len(pages) == 6:
            held.credentials.rotate()
    assert rows_of(sandbox, TEA, pages, report) == expected(sandbox, TEA)
    assert report.complete
    assert report.warnings == []
    assert report.retries >= len(rules) + rotated
    assert all(rule["applied"] for rule in sandbox.faults.as_json())


async def test_products_deleted_behind_the_reader_shift_no_page(sandbox: SandboxServer) -> None:
    """Cursors are keysets, so every product that is there at the end of the walk was read."""
    held, _ = shop_of(sandbox, TEA)
    first, *_ = held.product_ids()
    report = FetchReport()
    pages: list[RawPage] = []
    async for page in fetch(sandbox, TEA, report, batch_size=100):
        pages.append(page)
        if len(pages) == 2:
            held.remove_product(first)
    rows = rows_of(sandbox, TEA, pages, report)
    still_there = [row for row in rows if row["product_id"] != str(first)]
    assert still_there == expected(sandbox, TEA)


async def test_a_domain_that_is_not_shopifys_gets_no_token(sandbox: SandboxServer) -> None:
    """The URL is built from the domain."""
    shop = Shop(
        merchant_id="m",
        platform_name="shopify",
        platform_shop_id="s",
        domain="acme.example",
    )
    tokens = SandboxTokens(sandbox)
    pages = api(sandbox).fetch(shop, tokens, since=None, report=FetchReport())
    with pytest.raises(InvalidShop):
        await anext(pages)
    assert tokens.asked == 0


def test_the_adapter_names_itself_and_holds_no_secret() -> None:
    """It asks for a token when it needs one, and does not keep it."""
    adapter = ShopifyAdapter()
    assert adapter.platform_name == "shopify"
    names = {each.name for each in fields(adapter)}
    assert names >= {"api_version", "batch_size", "base_url"}
    assert not any("token" in name or "secret" in name for name in names)


@pytest.mark.parametrize(
    "domain",
    [
        "acme.example.com",
        "acme.myshopify.com\n",
        "acme.myshopify.com.evil.example",
        "evil.example#.myshopify.com",
        "evil.example.myshopify.com",
        "ACME.myshopify.com",
        "-acme.myshopify.com",
        ".myshopify.com",
    ],
)
def test_a_domain_that_a_token_must_not_follow_is_refused(domain: str) -> None:
    """The URL that gets the token is built from the domain."""
    with pytest.raises(InvalidShop):
        ShopifyAdapter.valid_domain(domain)


@pytest.mark.parametrize("domain", ["acme.myshopify.com", "a-1.myshopify.com"])
def test_a_shops_own_domain_is_accepted(domain: str) -> None:
    """These have the form that Shopify gives to shops."""
    assert ShopifyAdapter.valid_domain(domain) == domain
