"""Promises for days on which Shopify, or somebody in between, does not answer as it should.

Each is played by the sandbox over HTTP, as `trouble` or as faults of the shop.
"""

import re
from collections.abc import Iterator, Set
from datetime import UTC, datetime
from typing import Any

import pytest

from connector_pipeline.model.catalog_item import CatalogItem, RejectedVariant, row_of
from connector_pipeline.model.errors import (
    ConnectorError,
    InvalidResponse,
    PlatformUnavailable,
    ShopDisconnected,
)
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.kit.contract import FetchReport, RawPage
from connector_pipeline.platforms.shopify.adapter import ShopifyAdapter
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shopify.trouble import trouble_from_json
from connector_pipeline.sandbox.shops.expected import expected_items
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline_tests.platforms.shopify.test_adapter import SandboxTokens

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    """A sandbox without shops."""
    with SandboxServer(shops=()) as server:
        yield server


class Reading:
    """One shop of the sandbox, and the readings of it that share the adapter's memory."""

    def __init__(
        self,
        sandbox: SandboxServer,
        domain: str,
        *,
        products: int = 12,
        variants: tuple[int, int] = (2, 2),
        big_products: tuple[int, ...] = (),
        platform_shop_id: str = "",
        **settings: Any,
    ):
        spec = ShopSpec(
            platform="shopify",
            domain=domain,
            merchant_id="m",
            platform_shop_id=platform_shop_id or domain,
            products=products,
            variants=variants,
            big_products=big_products,
            awkward=False,
            seed=11,
        )
        self.sandbox = sandbox
        self.held: SandboxShop = sandbox.store.put(spec)
        self.held.bucket.resize(50_000, 50_000)
        self.shop = Shop(
            merchant_id="m",
            platform_name="shopify",
            platform_shop_id=spec.platform_shop_id,
            domain=domain,
        )
        self.adapter = ShopifyAdapter(
            base_url=sandbox.shopify_base_url,
            allow_private_hosts=True,
            **{"retry_delay": 0.001, "max_retries": 2, **settings},
        )
        self.report = FetchReport()
        self.pages: list[RawPage] = []

    def product_id(self, place: int) -> int:
        return list(self.held.product_ids())[place]

    def trouble(self, **trouble: Any) -> None:
        self.held.trouble = trouble_from_json(trouble)

    def fault(self, **fault: Any) -> None:
        """`raw` of the cases: an answer in Shopify's place, `times` times after `skip`."""
        headers = {"Content-Type": fault.pop("type", "application/json")}
        rule = {"kind": "body", "match": {"platform": "shopify"}, "headers": headers, **fault}
        self.sandbox.faults.set([rule])

    async def read(
        self, *, since: datetime | None = None, archived: list[RawPage] | None = None
    ) -> list[dict[str, Any]]:
        """Read the shop once more; its items in the order of their ids."""
        self.sandbox.requests.clear()
        self.report = FetchReport(page_sizes=self.report.page_sizes)
        fetch = self.adapter.fetch(
            self.shop,
            SandboxTokens(self.sandbox),
            since=since,
            report=self.report,
            archived=iter(archived or ()),
        )
        self.pages = []
        async for page in fetch:
            self.pages.append(page)
        return self.items()

    def items(self) -> list[dict[str, Any]]:
        items = [each for each in self._normalized() if isinstance(each, CatalogItem)]
        rows = [each for each in self._rows() if not isinstance(each, RejectedVariant)]
        assert rows == [row_of(item) for item in items]
        found = [item.model_dump() for item in items]
        return sorted(found, key=lambda item: int(item["variant_id"]))

    def rejects(self) -> list[RejectedVariant]:
        return [each for each in self._normalized() if isinstance(each, RejectedVariant)]

    def _normalized(self) -> list[CatalogItem | RejectedVariant]:
        return list(self.adapter.normalize(self.shop, "EUR", self.pages))

    def _rows(self) -> list[Any]:
        return list(self.adapter.rows(self.shop, "EUR", self.pages))

    def expected(self, *, without: Set[str] = frozenset()) -> list[dict[str, Any]]:
        """The shop's items, without those of products or variants with these ids."""
        found = expected_items(self.held)
        kept = [each for each in found if not {each["product_id"], each["variant_id"]} & without]
        return sorted(kept, key=lambda item: int(item["variant_id"]))

    def asked(self) -> int:
        return self.sandbox.requests.shop("shopify", self.shop.domain).count


# A page that Shopify did not write: c02, and others of its kind.
FOREIGN = [
    (
        403,
        "text/html",
        "<!DOCTYPE html><title>Attention Required! | Cloudflare</title>"
        "<h1>Sorry, you have been blocked</h1>",
    ),
    (401, "text/html", "<html><h1>Sign in to the guest network</h1></html>"),
    (404, "application/json", '{"message": "no Route matched with those values"}'),
    (402, "text/plain", ""),
]


@pytest.mark.parametrize(("status", "media_type", "body"), FOREIGN)
async def test_a_firewall_for_a_moment_costs_two_requests(
    sandbox: SandboxServer, status: int, media_type: str, body: str
) -> None:
    """The shop is read whole by the same fetch."""
    reading = Reading(sandbox, "c02.myshopify.com")
    reading.fault(status=status, type=media_type, body=body, times=2)
    assert await reading.read() == reading.expected()
    assert reading.report.complete
    assert reading.report.retries == 2


@pytest.mark.parametrize(("status", "media_type", "body"), FOREIGN)
async def test_a_firewall_that_stays_makes_the_shop_unavailable(
    sandbox: SandboxServer, status: int, media_type: str, body: str
) -> None:
    """No word of Shopify's was heard, so nothing is said about the token."""
    reading = Reading(sandbox, "c02.myshopify.com")
    reading.fault(status=status, type=media_type, body=body)
    with pytest.raises(PlatformUnavailable) as raised:
        await reading.read()
    assert "not Shopify's" in raised.value.message
    assert "firewall or a proxy" in raised.value.remedy


async def test_a_token_that_is_refused_twice_and_then_accepted_is_no_lost_shop(
    sandbox: SandboxServer,
) -> None:
    """Case c03: a later round of the run reads the shop whole."""
    reading = Reading(sandbox, "c03.myshopify.com")
    refusal = "[API] Invalid API key or access token (unrecognized login or wrong password)"
    reading.fault(status=401, times=2, body={"errors": refusal})
    with pytest.raises(ShopDisconnected, match="the same token again") as raised:
        await reading.read()
    assert raised.value.about_credentials
    assert await reading.read() == reading.expected()


@pytest.mark.parametrize(
    ("status", "errors", "words"),
    [
        (402, "Unavailable Shop", "bill is unpaid"),
        (423, "Locked", "locked"),
        (404, "Not Found", "no such shop"),
    ],
)
async def test_a_shop_that_is_closed_is_asked_again_and_blames_no_token(
    sandbox: SandboxServer, status: int, errors: str, words: str
) -> None:
    """Case c19, and others of its kind."""
    reading = Reading(sandbox, "c19.myshopify.com")
    reading.fault(status=status, times=1000, body={"errors": errors})
    with pytest.raises(ShopDisconnected, match=words) as raised:
        await reading.read()
    assert not raised.value.about_credentials
    assert "asked again" in raised.value.remedy


PASSING = [
    {"errors": [{"message": "Timeout"}]},
    {"errors": [{"message": "Throttled"}]},
    {"errors": [{"message": "Internal error. Looks like something went wrong on our end."}]},
    {"errors": [{"message": "timeout", "extensions": {"code": ""}}]},
    {"errors": "Internal Server Error"},
]


@pytest.mark.parametrize("body", PASSING, ids=str)
@pytest.mark.parametrize("skip", [0, 1])
async def test_an_error_without_a_code_that_passes_is_waited_out(
    sandbox: SandboxServer, body: Any, skip: int
) -> None:
    """Case c06. It leaves no smaller pages behind."""
    reading = Reading(sandbox, "c06.myshopify.com")
    reading.fault(status=200, times=1, skip=skip, body=body)
    assert await reading.read() == reading.expected()
    assert reading.report.complete
    assert reading.report.page_sizes == {}


@pytest.mark.parametrize("how", ["504", "500", "INTERNAL_SERVER_ERROR", "Timeout", "hang"])
async def test_pages_that_never_come_in_time_are_asked_for_smaller(
    sandbox: SandboxServer, how: str
) -> None:
    """Case c05: no page of more than 100 products comes, however it fails."""
    # Short where it must run out, and long where a busy machine must not make it run out.
    patience = 3.0 if how == "hang" else 60.0
    reading = Reading(
        sandbox, "c05.myshopify.com", products=300, variants=(1, 1), read_timeout=patience
    )
    reading.trouble(heavy={"first": 100, "how": how})
    assert await reading.read() == reading.expected()
    assert reading.report.complete
    assert 31 <= reading.report.page_sizes["products.first"] <= 100
    assert reading.report.details["smaller_pages"]
    first = reading.asked()
    assert await reading.read() == reading.expected()
    # The second sync begins with pages that can be borne.
    assert reading.asked() < first
    assert reading.report.page_sizes["products.first"] <= 100


@pytest.mark.parametrize("since", [None, LONG_AGO])
async def test_products_that_come_only_one_by_one_are_still_read(
    sandbox: SandboxServer, since: datetime | None
) -> None:
    """The smallest page is of one product and part of its variants."""
    reading = Reading(sandbox, "c05b.myshopify.com", products=5, big_products=(300,), max_retries=0)
    reading.trouble(heavy={"first": 1, "variants": 100})
    assert await reading.read(since=since) == reading.expected()
    assert reading.report.complete


async def test_a_shop_at_which_the_smallest_page_fails_is_unavailable(
    sandbox: SandboxServer,
) -> None:
    """The error says where, and an outage leaves no small pages behind."""
    reading = Reading(sandbox, "c05c.myshopify.com", products=40, batch_size=10)
    reading.fault(status=504, skip=3, body="<h1>504</h1>", type="text/html")
    with pytest.raises(PlatformUnavailable) as raised:
        await reading.read()
    # The count is asked for beside the pages, and may be the third request or the fourth.
    assert re.search("at the product after the first [12]0", raised.value.message)
    assert "www.shopifystatus.com" in raised.value.remedy
    assert reading.report.page_sizes == {}


def long_titles(kilobytes: int) -> dict[str, Any]:
    """Every product has a title so long, in an answer that is no more than its JSON."""
    path = ["data", "products", "nodes", "*", "title"]
    return {
        "kind": "edit",
        "match": {"platform": "shopify"},
        "edits": [{"path": path, "value": "a" * 1024 * kilobytes}],
    }


async def test_a_page_too_large_for_us_is_asked_for_in_smaller_ones(sandbox: SandboxServer) -> None:
    """100 products of 60 kB are 6 MB. The size that is small enough is remembered."""
    reading = Reading(sandbox, "c05e.myshopify.com", products=100, batch_size=100)
    sandbox.faults.set([long_titles(60)])
    items = await reading.read()
    assert reading.report.complete
    assert reading.report.page_sizes["products.first"] == 50
    assert [item["variant_id"] for item in items] == [
        item["variant_id"] for item in reading.expected()
    ]
    assert {len(item["product_title"]) for item in items} == {60 * 1024}


async def test_a_product_too_large_for_us_is_called_that(sandbox: SandboxServer) -> None:
    """No page is small enough, and the error says where; no sizes stay behind."""
    reading = Reading(sandbox, "c05f.myshopify.com", products=40, batch_size=40)
    sandbox.faults.set([long_titles(5 * 1024)])
    with pytest.raises(InvalidResponse, match="more than 4,194,304 bytes in one answer") as raised:
        await reading.read()
    assert "Even the smallest page is too large, at the product after" in raised.value.message
    assert reading.report.page_sizes == {}


async def test_one_504_does_not_slow_a_shop_down_for_long(sandbox: SandboxServer) -> None:
    """After some full pages the usual size is back, and after some more nothing is remembered."""
    reading = Reading(sandbox, "c05d.myshopify.com", products=100, batch_size=10)
    reading.fault(status=504, times=1, skip=1, body="<h1>504</h1>", type="text/html")
    assert await reading.read() == reading.expected()
    assert reading.report.page_sizes == {}
    assert reading.asked() < 18


# Fields that may be null, that may not, and that have the cursors below them.
FIELDS = ["featuredMedia", "title", "status", "createdAt", "variants"]
CODES = [None, "INTERNAL_SERVER_ERROR", "SOMETHING_NEW"]


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("field", FIELDS)
async def test_a_product_with_a_field_that_fails_costs_only_itself(
    sandbox: SandboxServer, field: str, code: str | None
) -> None:
    """Case c07, with each field that we ask for: of 20 products 19 are read."""
    reading = Reading(sandbox, "c07.myshopify.com", products=20)
    failed = str(reading.product_id(7))
    reading.trouble(partial={"product": failed, "field": field, "code": code})
    assert await reading.read() == reading.expected(without={failed})
    assert reading.report.complete
    assert {reject.product_id for reject in reading.rejects()} == {failed}
    assert all(field in reject.reason for reject in reading.rejects())
    (warning,) = reading.report.warnings
    assert failed in warning
    assert field in warning
    assert reading.report.page_sizes == {}


@pytest.mark.parametrize("place", [0, 4, 5, 11])
@pytest.mark.parametrize("since", [None, LONG_AGO])
async def test_the_product_may_stand_anywhere(
    sandbox: SandboxServer, place: int, since: datetime | None
) -> None:
    """It is the first or the last of its page, or of the shop, in a full sync and an increment."""
    reading = Reading(sandbox, "c07b.myshopify.com", batch_size=5)
    failed = str(reading.product_id(place))
    reading.trouble(partial={"product": failed, "field": "title"})
    assert await reading.read(since=since) == reading.expected(without={failed})
    assert reading.report.complete
    assert {reject.product_id for reject in reading.rejects()} == {failed}


@pytest.mark.parametrize("place", [0, 100, 260, 299])
@pytest.mark.parametrize("field", ["inventoryQuantity", "image"])
async def test_a_variant_with_a_field_that_fails_costs_only_itself(
    sandbox: SandboxServer, place: int, field: str
) -> None:
    """The field may be null, so the others of the product are read, on whichever page it is."""
    reading = Reading(sandbox, "c07c.myshopify.com", big_products=(300,))
    failed = variant_ids(reading, 0)[place]
    reading.trouble(partial={"variant": failed, "field": field})
    assert await reading.read() == reading.expected(without={failed})
    (reject,) = reading.rejects()
    assert (reject.variant_id, reject.product_id) == (failed, str(reading.product_id(0)))
    assert field in reject.reason
    assert str(reading.product_id(0)) in reading.report.warnings[0]


@pytest.mark.parametrize("place", [0, 260, 299])
async def test_a_variant_whose_price_fails_hides_as_little_as_possible(
    sandbox: SandboxServer, place: int
) -> None:
    """A price cannot be null, so it makes null what is around it: the whole page."""
    reading = Reading(sandbox, "c07d.myshopify.com", big_products=(300,))
    variants = variant_ids(reading, 0)
    reading.trouble(partial={"variant": variants[place], "field": "price"})
    on_its_own_page = place >= 250
    lost = {variants[place]} if on_its_own_page else {str(reading.product_id(0))}
    assert await reading.read() == reading.expected(without=lost)
    (reject,) = reading.rejects()
    assert reject.product_id == str(reading.product_id(0))
    assert reject.variant_id == (variants[place] if on_its_own_page else None)


async def test_a_fetch_goes_on_after_pages_with_failed_fields(sandbox: SandboxServer) -> None:
    """The archived pages give the same items and warnings; only counts are asked for."""
    reading = Reading(sandbox, "c07e.myshopify.com", batch_size=5)
    for field in ("featuredMedia", "title"):
        reading.trouble(partial={"product": reading.product_id(7), "field": field})
        whole = await reading.read()
        pages, warnings = reading.pages, reading.report.warnings
        assert await reading.read(archived=pages) == whole
        assert reading.asked() == (1 if field == "featuredMedia" else 5)
        assert reading.report.warnings == warnings
        assert reading.report.complete


async def test_a_field_that_fails_once_costs_nothing(sandbox: SandboxServer) -> None:
    """The page is asked for again before a product is given up."""
    reading = Reading(sandbox, "c07f.myshopify.com")
    errors = [{"message": "oops", "path": ["products", "nodes", 3, "featuredMedia"]}]
    body = {"data": {"products": {"nodes": []}}, "errors": errors}
    reading.fault(status=200, times=1, skip=1, body=body)
    assert await reading.read() == reading.expected()
    assert reading.rejects() == []


async def test_a_page_on_which_most_products_fail_fails_the_sync(sandbox: SandboxServer) -> None:
    """Then it is Shopify that fails, and not some products."""
    reading = Reading(sandbox, "c07g.myshopify.com", products=20)
    errors = [
        {"message": "oops", "path": ["products", "nodes", place, "featuredMedia"]}
        for place in range(20)
    ]
    reading.fault(status=200, skip=1, body={"data": {"products": None}, "errors": errors})
    with pytest.raises(InvalidResponse, match="oops"):
        await reading.read()


def variant_ids(reading: Reading, place: int) -> list[str]:
    product: Any = reading.held.product(reading.product_id(place))
    return [str(variant.id) for variant in product.variants]


@pytest.mark.parametrize("answers_as", ["other.myshopify.com", "acme-old.myshopify.com", ""])
@pytest.mark.parametrize("settings", [{}, {"bulk_threshold": 5}])
@pytest.mark.parametrize("since", [None, LONG_AGO])
async def test_the_answers_of_another_shop_are_an_error_that_names_both(
    sandbox: SandboxServer, answers_as: str, settings: dict[str, Any], since: datetime | None
) -> None:
    """No product is asked for, by pages or in bulk."""
    reading = Reading(sandbox, "acme.myshopify.com", **settings)
    reading.trouble(answers_as=answers_as or None)
    failure: ConnectorError | None = None
    try:
        await reading.read(since=since)
    except InvalidResponse as error:
        failure = error
    if not answers_as:
        assert failure is None
        return
    assert failure is not None
    assert "acme.myshopify.com was asked" in failure.message
    assert answers_as in failure.message
    assert [page.kind for page in reading.pages] == ["shop"]


async def test_the_archived_answers_of_another_shop_are_not_gone_on_with(
    sandbox: SandboxServer,
) -> None:
    """An interrupted sync may have begun with them."""
    reading = Reading(sandbox, "acme.myshopify.com")
    reading.trouble(answers_as="other.myshopify.com")
    with pytest.raises(InvalidResponse):
        await reading.read()
    reading.trouble()
    with pytest.raises(InvalidResponse, match=r"other\.myshopify\.com"):
        await reading.read(archived=reading.pages)


async def test_a_domain_is_the_same_in_capitals(sandbox: SandboxServer) -> None:
    """Host names do not distinguish them."""
    reading = Reading(sandbox, "acme.myshopify.com")
    reading.trouble(answers_as="ACME.myshopify.com")
    assert await reading.read() == reading.expected()
    assert reading.report.warnings == []


@pytest.mark.parametrize("form", ["{}", "gid://shopify/Shop/{}"])
async def test_a_shop_that_was_renamed_is_known_by_its_id(
    sandbox: SandboxServer, form: str
) -> None:
    """It is read, with a warning that names both domains."""
    number = sum(b"acme.myshopify.com")
    reading = Reading(sandbox, "acme.myshopify.com", platform_shop_id=form.format(number))
    reading.trouble(answers_as="new-name.myshopify.com")
    assert await reading.read() == reading.expected()
    (warning,) = reading.report.warnings
    assert "acme.myshopify.com" in warning
    assert "new-name.myshopify.com" in warning
