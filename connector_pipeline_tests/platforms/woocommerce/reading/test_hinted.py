"""Promises about reading the products that hints name, kept against the sandbox."""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from connector_pipeline.credentials.token_service import TokenService
from connector_pipeline.model.catalog_item import rows_of
from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.kit.contract import RawPage
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.records import WooProduct
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline_tests.platforms.woocommerce.shop_reading import ENDPOINTS, Reading

LATER = datetime(2026, 11, 28, 12, 0, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer() as running:
        yield running


@pytest.fixture(params=[*ENDPOINTS])
def shop(request: pytest.FixtureRequest, server: SandboxServer) -> SandboxShop:
    """A new shop for each endpoint for variations that shops have."""
    server.requests.clear()
    return server.store.put(spec_of(**ENDPOINTS[request.param]))


def spec_of(**changes: Any) -> ShopSpec:
    return ShopSpec(
        platform="woocommerce",
        domain="hinted.example",
        merchant_id="merchant-hinted",
        platform_shop_id="wc-hinted",
        currency="SEK",
        products=400,
        variants=(0, 4),
        seed=5,
        big_products=(130,),
        orphan_variations=2,
        **changes,
    )


class HintedReading(Reading):
    """One hinted fetch. `cataloged` are the products that the catalog has."""

    def __init__(self, server: SandboxServer, shop: SandboxShop, cataloged: Iterable[int] = ()):
        super().__init__(server, shop.spec)
        self._cataloged = {str(each) for each in cataloged}
        self.report.in_catalog = self._in_catalog

    async def _in_catalog(self, product_ids: Collection[str]) -> set[str]:
        return self._cataloged & set(product_ids)

    async def of(
        self, tokens: Mapping[str, datetime | None], archived: Iterable[RawPage] = ()
    ) -> "HintedReading":
        service = TokenService(url=self.sandbox.token_service_url, retry_delay=0.001)
        async with service.open("test-correlation") as source:
            async for page in self.api.fetch_hinted(
                self.shop, source, tokens=tokens, report=self.report, archived=archived
            ):
                self.pages.append(page)
        return self

    def rows(self) -> list[dict[str, Any]]:
        """The items, which the fast way of decoding gives, too."""
        assert self.report.currency is not None
        plain = list(self.api.rows(self.shop, self.report.currency, self.pages))
        slow = self.api.normalize(self.shop, self.report.currency, self.pages)
        assert plain == list(rows_of(slow))
        return self.items()

    def of_products(self, ids: Iterable[int]) -> list[dict[str, Any]]:
        wanted = {str(each) for each in ids}
        return [row for row in self.expected() if row["product_id"] in wanted]


def variable_and_simple(shop: SandboxShop) -> tuple[list[int], list[int]]:
    """Published products with variations and without."""
    found = [
        each
        for each in shop.products()
        if isinstance(each, WooProduct) and each.status == "publish"
    ]
    return (
        [each.id for each in found if each.type == "variable" and each.variations],
        [each.id for each in found if each.type == "simple"],
    )


async def test_products_come_whole_with_their_variations(
    server: SandboxServer, shop: SandboxShop
) -> None:
    """The one of 130 variations, other variable ones, and simple ones."""
    variable, simple = variable_and_simple(shop)
    ids = [*variable[-3:], *[each for each in variable if len(shop.variant_ids(each)) == 130]]
    ids += simple[:3]
    reading = await HintedReading(server, shop).of({str(each): None for each in ids})
    assert reading.rows() == reading.of_products(ids)
    assert reading.report.complete
    assert reading.report.currency == "SEK"
    assert reading.report.warnings == []
    assert not reading.report.perhaps_gone | reading.report.not_yet


async def test_a_variations_id_leads_to_its_product(
    server: SandboxServer, shop: SandboxShop
) -> None:
    """WooCommerce sends product.updated for variations, too."""
    product_id = variable_and_simple(shop)[0][-1]
    variation_id = shop.variant_ids(product_id)[0]
    shop.edit_variant(variation_id, {"price": "7"}, at=LATER)
    reading = await HintedReading(server, shop).of({str(variation_id): LATER})
    assert reading.rows() == reading.of_products([product_id])
    assert not reading.report.perhaps_gone | reading.report.not_yet


@pytest.mark.parametrize("gone_by", ["deletion", "trash", "draft"])
async def test_a_product_that_the_lists_would_not_have_seems_to_be_gone(
    server: SandboxServer, gone_by: str
) -> None:
    """Then it is looked up by its id, as in an increment. It costs one request."""
    shop = server.store.put(spec_of())
    gone, other = variable_and_simple(shop)[1][:2]
    if gone_by == "deletion":
        shop.remove_product(gone)
    elif gone_by == "trash":
        shop.trash_product(gone)
    else:
        shop.edit_product(gone, {"status": "draft"}, at=LATER)
    tokens: dict[str, datetime | None] = {str(gone): LATER, str(other): None}
    reading = await HintedReading(server, shop, cataloged=[gone, other]).of(tokens)
    assert reading.rows() == reading.of_products([other])
    assert reading.report.perhaps_gone == {str(gone)}
    assert reading.report.not_yet == set()
    # A draft that the catalog never had is known for one, and not asked for again.
    fresh = await HintedReading(server, shop).of(tokens)
    assert fresh.report.not_yet == (set() if gone_by == "draft" else {str(gone)})


async def test_a_change_that_is_not_shown_yet_is_asked_for_again(
    server: SandboxServer, shop: SandboxShop
) -> None:
    """The rows are as they were; a new product is not found; a deleted one is still there."""
    simple = variable_and_simple(shop)[1]
    changed, deleted = simple[:2]
    before = HintedReading(server, shop).of_products([changed, deleted])
    shop.stay_behind(math.inf)
    shop.edit_product(changed, {"name": "New"}, at=LATER)
    shop.trash_product(deleted)
    (new,) = shop.append_products(1, at=LATER)
    shop.edit_product(new, {"status": "publish"}, at=LATER)
    tokens: dict[str, datetime | None] = {
        str(changed): LATER,
        f"deleted/{deleted}": None,
        str(new): LATER,
    }
    reading = await HintedReading(server, shop, cataloged=simple).of(tokens)
    assert reading.rows() == before
    assert reading.report.not_yet == {*tokens}
    shop.stay_behind(0)
    again = await HintedReading(server, shop, cataloged=simple).of(tokens)
    assert again.rows() == again.of_products([changed, new])
    assert again.report.not_yet == set()
    assert again.report.perhaps_gone == {str(deleted)}


async def test_a_sale_moves_the_variations_date_alone(server: SandboxServer) -> None:
    """So the newest date of a product and its variations answers a hint."""
    shop = server.store.put(spec_of())
    product_id = variable_and_simple(shop)[0][-1]
    shop.edit_variant(shop.variant_ids(product_id)[0], {"stock_quantity": 3}, at=LATER)
    reading = await HintedReading(server, shop).of({str(product_id): LATER})
    assert reading.report.not_yet == set()


async def test_250_products_are_asked_for_a_hundred_at_a_time(server: SandboxServer) -> None:
    """Three requests for products, and the pages of their variations, a hundred products' each."""
    shop = server.store.put(spec_of())
    variable, simple = variable_and_simple(shop)
    ids = sorted([*variable, *simple])[:250]
    assert len(ids) == 250
    server.requests.clear()
    reading = await HintedReading(server, shop).of({str(each): None for each in ids})
    assert reading.rows() == reading.of_products(ids)
    lists = [page for page in reading.pages if page.kind == "products"]
    assert len(lists) == 3
    assert all(page.facts["total"] == len(page.facts["read_by_id"]) for page in lists)  # type: ignore[arg-type]
    # To find the shop's address, and its currency.
    assert reading.report.requests == len(reading.pages) + 2


async def test_an_interrupted_reading_asks_for_the_rest_only(
    server: SandboxServer, shop: SandboxShop
) -> None:
    """Archived pages answer the questions that they answered."""
    variable, simple = variable_and_simple(shop)
    variation_id = shop.variant_ids(variable[-1])[0]
    tokens = {str(each): None for each in [*variable[:3], *simple[:2], variation_id, 77]}
    whole = await HintedReading(server, shop).of(tokens)
    for left in range(1, len(whole.pages) + 1):
        again = await HintedReading(server, shop).of(tokens, iter(whole.pages[:left]))
        assert again.rows() == whole.rows()
        assert again.pages[:left] == whole.pages[:left]
        assert again.report.requests <= whole.report.requests - left


async def test_tokens_that_name_nothing_are_left_out_with_a_warning(
    server: SandboxServer,
) -> None:
    """They reach no URL, and the currency is there all the same."""
    shop = server.store.put(spec_of())
    server.requests.clear()
    reading = await HintedReading(server, shop).of({"1&status=any": LATER, "../7": None})
    assert reading.pages == []
    assert reading.report.currency == "SEK"
    assert len(reading.report.warnings) == 1
    asked = server.requests.requests(service="woocommerce", domain=shop.spec.domain)
    assert not [each for each in asked if "status" in each.query or each.path.endswith("7")]


async def test_a_shop_that_ignores_the_ids_publishes_nothing(server: SandboxServer) -> None:
    """A cache that drops the query string answers with the first page of all."""
    shop = server.store.put(spec_of())
    reading = HintedReading(server, shop)
    first_page: list[dict[str, Any]] = [
        {"id": 4, "status": "publish", "variations": [], "type": "simple"}
    ]
    server.faults.set(
        [
            {
                "kind": "body",
                "match": {"query_contains": "include="},
                "body": first_page,
                "headers": {"X-WP-Total": "1", "X-WP-TotalPages": "1"},
            }
        ]
    )
    with pytest.raises(InvalidResponse, match="ignores include"):
        await reading.of({str(variable_and_simple(shop)[1][0]): None})
    server.faults.clear()
