"""Promises of a whole fetch, kept against the sandbox's WooCommerce."""

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from connector_pipeline.credentials.token_service import TokenService
from connector_pipeline.model.errors import (
    CurrencyUnknown,
    InvalidResponse,
    PlatformUnavailable,
    ShopDisconnected,
)
from connector_pipeline.platforms.woocommerce.adapter import WooCommerceAdapter
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.expected import expected_items
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline_tests.platforms.woocommerce.shop_reading import (
    ALL_VARIATIONS,
    ENDPOINTS,
    PRODUCTS,
    SMALL,
    WOOCOMMERCE_SHOPS,
    Reading,
)


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    """One sandbox for the module."""
    with SandboxServer() as running:
        yield running


@pytest.fixture
def sandbox(server: SandboxServer) -> Iterator[SandboxServer]:
    """The sandbox without faults, with an empty log and its default shops."""
    for spec in (*WOOCOMMERCE_SHOPS, SMALL):
        server.store.put(spec)
    server.requests.clear()
    yield server
    server.faults.clear()


def fault(sandbox: SandboxServer, kind: str, path: str = "/products", **rule: Any) -> None:
    """Break the shop's answers to this path, always or the first `times`."""
    match = {"platform": "woocommerce", "path_contains": path}
    sandbox.faults.set([{"match": match, "kind": kind, **rule}])


@pytest.mark.parametrize("spec", WOOCOMMERCE_SHOPS, ids=lambda spec: spec.domain)
async def test_a_default_shop_is_read_field_for_field(
    sandbox: SandboxServer, spec: ShopSpec
) -> None:
    """Every column of every item is as the shop's own records state."""
    reading = Reading(sandbox, spec)
    await reading.read()
    assert reading.items() == reading.expected()
    assert reading.report.currency == spec.currency
    assert reading.report.complete


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("batch_size", [7, 100])
async def test_every_endpoint_of_variations_gives_the_same_catalog(
    sandbox: SandboxServer, endpoint: str, batch_size: int
) -> None:
    """The best endpoint of the shop is found by asking, and every page names it."""
    spec = replace(WOOCOMMERCE_SHOPS[0], orphan_variations=0, **ENDPOINTS[endpoint])
    sandbox.store.put(spec)
    reading = Reading(sandbox, spec, batch_size=batch_size)
    await reading.read()
    assert reading.items() == reading.expected()
    assert reading.report.details["variations_endpoint"] == endpoint
    assert {page.facts["endpoint"] for page in reading.pages} == {PRODUCTS, endpoint}
    assert (reading.report.complete, reading.report.warnings) == (True, [])


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_a_fetch_asks_no_more_than_it_must(sandbox: SandboxServer, endpoint: str) -> None:
    """It sends one request a page, one for the currency, and one for each missing endpoint.

    One more, without a key, finds the URL at which the shop answers.
    """
    spec = replace(SMALL, **ENDPOINTS[endpoint])
    shop = sandbox.store.put(spec)
    reading = Reading(sandbox, spec, batch_size=20)
    await reading.read()
    products = [product for product in shop.products() if product.status == "publish"]
    variable = [
        product for product in products if product.type == "variable" and product.variations
    ]
    listed = [product for product in shop.products() if getattr(product, "variations", ())]
    pages_of_products = -(-len(products) // 20)
    pages_of_variations = -(-sum(len(product.variations) for product in listed) // 20)
    if endpoint not in (ALL_VARIATIONS, "/wc-analytics/variations"):
        pages_of_variations = len(variable)
    not_there = list(ENDPOINTS).index(endpoint)
    assert reading.report.requests == pages_of_products + 2 + not_there + pages_of_variations
    assert len(reading.paths()) + 1 == reading.report.requests


@pytest.mark.parametrize("allowed", [1, 3])
async def test_a_shop_is_never_asked_more_at_once_than_allowed(
    sandbox: SandboxServer, allowed: int
) -> None:
    """This holds even if it answers quickly."""
    reading = Reading(sandbox, SMALL, batch_size=2, max_concurrency=allowed)
    await reading.read()
    assert sandbox.requests.shop("woocommerce", SMALL.domain).peak_in_flight <= allowed
    assert 1 <= reading.report.details["requests_at_once"] <= allowed
    assert reading.items() == reading.expected()


@pytest.mark.parametrize(
    ("status", "as_date"), [(429, False), (503, True)], ids=["seconds", "date"]
)
async def test_retry_after_holds_for_the_whole_shop(
    sandbox: SandboxServer, status: int, as_date: bool
) -> None:
    """After one refusal no other request is sent, and the report has the wait."""
    # Far longer than the watching takes, on a busy machine too.
    after = str(3)
    if as_date:
        after = format_datetime(datetime.now(UTC) + timedelta(seconds=6), usegmt=True)
    heard: list[int] = []
    reading = Reading(sandbox, SMALL, batch_size=5)
    fault(
        sandbox,
        "status",
        status=status,
        headers={"Retry-After": after},
        body="<html>Too many</html>",
        skip=4,
        times=1,
    )
    watching = asyncio.create_task(watch(sandbox, status, heard))
    await reading.read()
    watching.cancel()
    assert reading.items() == reading.expected()
    assert reading.report.retries == 1
    # A date is nearer by what the requests before it took.
    assert reading.report.waited_seconds > (0 if as_date else 2.9)
    # Only requests that were under way already were still answered.
    assert heard[-1] - heard[0] <= 4


async def watch(sandbox: SandboxServer, status: int, heard: list[int]) -> None:
    """Note how many answers the shop gave by each look, from the refusal until 0.7 s after it."""
    until = None
    while until is None or time.monotonic() < until:
        requests = sandbox.requests.shop("woocommerce", SMALL.domain)
        if requests.statuses[status]:
            heard.append(requests.count)
            until = until or time.monotonic() + 0.7
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("batch_size", [100, 20, 7])
@pytest.mark.parametrize("path", ["/v3/products", "/v3/variations"])
async def test_a_page_that_takes_too_long_is_read_in_smaller_ones(
    sandbox: SandboxServer, batch_size: int, path: str
) -> None:
    """The web server gives up twice, and no object is lost or read twice."""
    # The first request for products has no key: it finds the URL at which the shop answers.
    skip = 1 if path.endswith("products") else 0
    page = "<html>Gateway Timeout</html>"
    fault(sandbox, "status", path, status=504, body=page, skip=skip, times=2)
    reading = Reading(sandbox, SMALL, batch_size=batch_size, max_retries=2)
    await reading.read()
    assert reading.items() == reading.expected()
    assert reading.report.complete
    sizes = {page.facts["per_page"] for page in reading.pages}
    assert len(sizes) > 1 or batch_size == 7
    assert reading.report.details["smaller_pages"] == (0 if batch_size == 7 else 2)
    found = [page.facts for page in reading.pages if page.kind == path.rpartition("/")[2]]
    reached = 0
    for facts in found:
        assert (facts["page"] - 1) * facts["per_page"] == reached
        reached += facts["per_page"]


async def test_a_list_of_slow_pages_is_read_in_smaller_ones_to_its_end(
    sandbox: SandboxServer,
) -> None:
    """After two slow pages, no more time is lost with pages of that size."""
    fault(sandbox, "status", status=504, body="<html>Gateway Timeout</html>", skip=2, times=2)
    reading = Reading(sandbox, SMALL, batch_size=10, max_concurrency=1)
    await reading.read()
    assert reading.items() == reading.expected()
    sizes = [page.facts["per_page"] for page in reading.pages if page.kind == "products"]
    assert sizes[0] == 10
    assert set(sizes[1:]) == {5}


async def test_a_shop_without_variable_products_is_not_asked_for_variations(
    sandbox: SandboxServer,
) -> None:
    """Three simple products cost one page and the currency."""
    spec = replace(SMALL, products=3, variants=(0, 0), awkward=False)
    sandbox.store.put(spec)
    reading = Reading(sandbox, spec)
    await reading.read()
    assert reading.paths() == [PRODUCTS, "/wc/v3/data/currencies/current"]
    assert reading.report.complete
    assert "variations_endpoint" not in reading.report.details


async def test_an_empty_shop_is_a_complete_snapshot(sandbox: SandboxServer) -> None:
    """It has one empty page, and the currency is known."""
    spec = replace(SMALL, products=0, awkward=False)
    sandbox.store.put(spec)
    reading = Reading(sandbox, spec)
    await reading.read()
    assert [page.facts["total"] for page in reading.pages] == [0]
    assert (reading.items(), reading.report.complete) == ([], True)


async def test_every_status_asked_for_is_read(sandbox: SandboxServer) -> None:
    """Each status has a list of its own."""
    statuses = ("publish", "draft", "pending", "private", "future")
    reading = Reading(sandbox, SMALL, statuses=",".join(statuses))
    await reading.read()
    assert reading.items() == reading.expected(statuses)
    assert reading.report.complete


async def test_an_incremental_sync_reads_everything(sandbox: SandboxServer) -> None:
    """For now exactly what a full one reads."""
    reading = Reading(sandbox, SMALL)
    await reading.read(datetime(2026, 1, 1, tzinfo=UTC))
    assert reading.items() == reading.expected()


async def test_pages_say_where_they_stand_and_carry_no_secret(sandbox: SandboxServer) -> None:
    """Number, totals and endpoint are facts of every page, and the body is as received."""
    reading = Reading(sandbox, SMALL, batch_size=10)
    await reading.read()
    credentials = sandbox.store.shop("woocommerce", SMALL.domain).credentials
    for kind in ("products", "variations"):
        pages = [page for page in reading.pages if page.kind == kind]
        assert [page.facts["page"] for page in pages] == list(range(1, len(pages) + 1))
        assert {page.facts["total_pages"] for page in pages} == {len(pages)}
    for page in reading.pages:
        assert isinstance(json.loads(page.body), list)
        assert credentials.consumer_secret not in repr(page)


async def test_orphans_leave_a_snapshot_complete(sandbox: SandboxServer) -> None:
    """The shop counts objects that it does not list. No product lists them, so none is missing."""
    spec = replace(SMALL, orphan_variations=3)
    sandbox.store.put(spec)
    reading = Reading(sandbox, spec)
    await reading.read()
    assert reading.items() == reading.expected()
    assert reading.report.complete
    (warning,) = reading.report.warnings
    assert warning.startswith("Variations: the shop counts 3 ")
    assert warning.endswith("Nothing is missing.")


async def test_a_product_removed_behind_the_reader_loses_none(sandbox: SandboxServer) -> None:
    """The list skips a live product, the totals differ, and the product is read by its id.

    See docs/facts/woocommerce.md, Lists: order and totals.
    """
    shop = sandbox.store.shop("woocommerce", SMALL.domain)
    reading = Reading(sandbox, SMALL, batch_size=5, max_concurrency=1)
    await reading.read(after_first=lambda: shop.remove_product(shop.product_ids()[0]))
    assert (reading.report.complete, reading.report.all_read) == (False, True)
    assert {row["variant_id"] for row in reading.expected()} <= {
        row["variant_id"] for row in reading.items()
    }
    assert reading.report.details["read_by_id"] == 1


async def test_products_added_behind_the_reader_lose_none(sandbox: SandboxServer) -> None:
    """Ids rise, so an added product comes last, and the end moves with it."""
    shop = sandbox.store.shop("woocommerce", SMALL.domain)
    before = expected_items(shop)
    reading = Reading(sandbox, SMALL, batch_size=5, max_concurrency=1)
    await reading.read(after_first=lambda: shop.append_products(12))
    read = {row["variant_id"] for row in reading.items()}
    assert {row["variant_id"] for row in before} <= read
    assert reading.items() == reading.expected()


async def test_a_key_rotated_behind_the_reader_is_fetched_anew(sandbox: SandboxServer) -> None:
    """The walk goes on with the fresh key, and no page is read twice."""
    credentials = sandbox.store.shop("woocommerce", SMALL.domain).credentials
    reading = Reading(sandbox, SMALL, batch_size=5)
    await reading.read(after_first=credentials.rotate)
    assert reading.items() == reading.expected()
    numbers = [page.facts["page"] for page in reading.pages if page.kind == "products"]
    assert numbers == list(range(1, len(numbers) + 1))
    fetched = sandbox.requests.requests(service="token-service", domain=SMALL.domain)
    assert len(fetched) == 2


async def test_a_key_revoked_behind_the_reader_disconnects_the_shop(
    sandbox: SandboxServer,
) -> None:
    """Fresh credentials confirm it once, and the error has WooCommerce's own code."""
    credentials = sandbox.store.shop("woocommerce", SMALL.domain).credentials

    def revoke() -> None:
        credentials.revoked = True

    reading = Reading(sandbox, SMALL, batch_size=5)
    text = await reading.fails(ShopDisconnected, after_first=revoke)
    assert "401 woocommerce_rest_cannot_view" in text


async def test_a_wrong_secret_is_distinguished_from_an_unknown_key(sandbox: SandboxServer) -> None:
    """WooCommerce has a code for each (docs/facts/woocommerce.md, Refusals)."""
    body = {"code": "woocommerce_rest_authentication_error", "message": "x", "data": {}}
    fault(sandbox, "status", status=401, body=body)
    text = await Reading(sandbox, SMALL).fails(ShopDisconnected)
    assert "woocommerce_rest_authentication_error" in text
    assert "secret is wrong" in text


async def test_a_role_too_low_disconnects_with_a_hint(sandbox: SandboxServer) -> None:
    """WooCommerce itself answers 403."""
    body = {"code": "woocommerce_rest_cannot_view", "message": "x", "data": {"status": 403}}
    fault(sandbox, "status", status=403, body=body)
    assert "Shop manager" in await Reading(sandbox, SMALL).fails(ShopDisconnected)


async def test_a_firewalls_page_does_not_disconnect_a_shop(sandbox: SandboxServer) -> None:
    """403 with HTML does not show that the key is bad.

    See docs/facts/woocommerce.md, Answers by others.
    """
    fault(sandbox, "status", status=403, body="<html>Blocked</html>")
    assert "firewall" in await Reading(sandbox, SMALL).fails(PlatformUnavailable)


async def test_a_site_without_woocommerce_is_named(sandbox: SandboxServer) -> None:
    """Both REST roots are tried with the key, once each, and the home page without it."""
    body = {"code": "rest_no_route", "message": "x", "data": {"status": 404}}
    fault(sandbox, "status", status=404, body=body)
    reading = Reading(sandbox, SMALL)
    assert "no WooCommerce REST API here" in await reading.fails(InvalidResponse)
    assert reading.report.requests == 4


async def test_a_shop_with_plain_permalinks_is_found(sandbox: SandboxServer) -> None:
    """/index.php/wp-json is tried once and kept (docs/facts/woocommerce.md, Plain permalinks)."""
    spec = replace(SMALL, plain_permalinks=True)
    sandbox.store.put(spec)
    reading = Reading(sandbox, spec, batch_size=10)
    await reading.read()
    assert reading.items() == reading.expected()
    assert reading.report.details["rest_root"] == "/index.php/wp-json"
    assert reading.report.requests == len(reading.pages) + 3


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        ("status", {"status": 500}),
        ("status", {"status": 503, "headers": {"Retry-After": "0"}}),
        ("html", {}),
        ("captcha", {}),
        ("truncate", {}),
        ("reset", {}),
        ("garbage", {}),
    ],
)
@pytest.mark.parametrize("path", ["/products", "/variations"])
async def test_passing_trouble_is_retried_and_lasting_trouble_is_unavailable(
    sandbox: SandboxServer, kind: str, rule: dict[str, Any], path: str
) -> None:
    """After trouble that comes once, the catalog is whole. Lasting trouble is an error."""
    fault(sandbox, kind, path, skip=1, times=1, **rule)
    reading = Reading(sandbox, SMALL, batch_size=20)
    await reading.read()
    assert reading.items() == reading.expected()
    assert reading.report.retries == 1
    fault(sandbox, kind, path, skip=1, **rule)
    reading = Reading(sandbox, SMALL, batch_size=20)
    await reading.fails(PlatformUnavailable)


@pytest.mark.parametrize("body", [{}, {"code": "odd"}, None, [1], "text"])
async def test_a_list_that_is_none_breaks_the_contract(sandbox: SandboxServer, body: Any) -> None:
    """The answer has status 200 and JSON that is no list of objects."""
    headers = {"X-WP-Total": "1", "X-WP-TotalPages": "1"}
    fault(sandbox, "body", body=json.dumps(body), headers=headers)
    await Reading(sandbox, SMALL).fails(InvalidResponse)


async def test_a_list_without_its_totals_breaks_the_contract(sandbox: SandboxServer) -> None:
    """Otherwise every shop behind a cache that strips headers would look one page long."""
    fault(sandbox, "status", status=200, body=[])
    assert "X-WP-Total" in await Reading(sandbox, SMALL).fails(InvalidResponse)


async def test_a_redirect_to_another_host_gets_no_key(sandbox: SandboxServer) -> None:
    """The error names the other host, which gets no request."""
    fault(sandbox, "redirect", location="http://localhost:9/wp-json/wc/v3/products")
    assert "redirects to" in await Reading(sandbox, SMALL).fails(InvalidResponse)


async def test_the_currency_setting_is_the_second_to_be_asked(sandbox: SandboxServer) -> None:
    """Where the data endpoint refuses, the setting states the currency."""
    fault(sandbox, "status", "/data/currencies", status=403, body={"code": "rest_forbidden"})
    reading = Reading(sandbox, SMALL)
    await reading.read()
    assert reading.report.currency == SMALL.currency


async def test_a_shop_that_keeps_its_currency_needs_the_registrys(sandbox: SandboxServer) -> None:
    """The registry has one for shops that answer 403. Without it, no page is yielded."""
    spec = replace(SMALL, settings_readable=False)
    sandbox.store.put(spec)
    read = Reading(sandbox, spec, currency="NOK")
    await read.read()
    assert read.report.currency == "NOK"
    without = Reading(sandbox, spec)
    text = await without.fails(CurrencyUnknown)
    assert "currencies/current answered 403, " in text
    assert "shops add woocommerce/small.example --merchant-id merchant-small --currency" in text
    assert without.pages == []


async def test_the_shops_own_currency_comes_before_the_registrys(sandbox: SandboxServer) -> None:
    """An outdated currency in the registry changes no price, and a warning names it."""
    reading = Reading(sandbox, SMALL, currency="NOK")
    await reading.read()
    assert reading.report.currency == SMALL.currency
    assert any("The registry says NOK" in warning for warning in reading.report.warnings)


@pytest.mark.parametrize("stated", ["", "sek", "SEKK", None, 752])
async def test_a_currency_that_is_no_code_is_not_corrected(
    sandbox: SandboxServer, stated: Any
) -> None:
    """It is neither capitalized nor cut to three letters. The registry's is used, if any."""
    match = {"platform": "woocommerce"}
    sandbox.faults.set(
        [
            {"match": {**match, "path_contains": path}, "kind": "body", "body": {key: stated}}
            for path, key in (("/data/currencies", "code"), ("/settings/general", "value"))
        ]
    )
    told_by_registry = Reading(sandbox, SMALL, currency="NOK")
    await told_by_registry.read()
    assert told_by_registry.report.currency == "NOK"
    assert told_by_registry.report.details["currency_from"] == "registry"
    await Reading(sandbox, SMALL).fails(CurrencyUnknown)


async def test_a_firewall_before_the_currency_is_not_taken_for_a_shop_that_keeps_it(
    sandbox: SandboxServer,
) -> None:
    """Its page says nothing of the key. The registry's currency is used, if there is one."""
    matches = [{"path_contains": path} for path in ("/data/currencies", "/settings/general")]
    sandbox.faults.set([{"match": each, "kind": "html", "status": 403} for each in matches])
    assert "blocks us" in await Reading(sandbox, SMALL).fails(PlatformUnavailable)
    registered = Reading(sandbox, SMALL, currency="SEK")
    await registered.read()
    assert registered.report.currency == "SEK"


async def test_a_shop_without_credentials_is_disconnected(sandbox: SandboxServer) -> None:
    """The error of the Token Service's 404 names the shop, and the shop is not asked."""
    sandbox.store.shop("woocommerce", SMALL.domain).credentials.removed = True
    reading = Reading(sandbox, SMALL)
    await reading.fails(ShopDisconnected)
    assert reading.report.requests == 0


async def test_no_key_is_sent_to_plain_http_elsewhere(sandbox: SandboxServer) -> None:
    """A base URL of neither HTTPS nor loopback is refused before a key is fetched."""
    reading = Reading(sandbox, SMALL)
    reading.api = WooCommerceAdapter(base_url="http://{domain}", allow_private_hosts=True)
    assert "HTTPS only" in await reading.fails(InvalidResponse)
    assert reading.report.requests == 0


async def test_a_reader_who_stops_leaves_nothing_under_way(sandbox: SandboxServer) -> None:
    """Closing the generator ends the requests that were sent in advance."""
    reading = Reading(sandbox, SMALL, batch_size=1)
    tokens = TokenService(url=sandbox.token_service_url)
    before = asyncio.all_tasks()
    async with tokens.open("test-correlation") as source:
        pages: Any = reading.api.fetch(reading.shop, source, since=None, report=reading.report)
        for _ in range(3):
            await anext(pages)
        await pages.aclose()
    assert asyncio.all_tasks() == before
