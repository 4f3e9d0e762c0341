"""Promises about pages that a host breaks over because of their size.

They are read in smaller pages, the size is remembered, and it grows again.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from connector_pipeline.model.errors import InvalidResponse, PlatformUnavailable
from connector_pipeline.platforms.kit.contract import FetchReport
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline_tests.platforms.woocommerce.shop_reading import (
    ALL_VARIATIONS,
    ANALYTICS,
    BY_PARENT,
    ENDPOINTS,
    SMALL,
    Reading,
)

SHOP = replace(SMALL, domain="heavy.example", products=230, awkward=False)
NGINX = "<html><head><title>502 Bad Gateway</title></head></html>"

HEAVY: dict[str, dict[str, Any]] = {
    "an empty 200": {"kind": "body", "body": ""},
    "502 of nginx": {"kind": "html", "status": 502, "body": NGINX},
    "500 of the web server": {"kind": "html", "status": 500},
    "500 of WordPress": {"kind": "status", "status": 500, "body": {"code": "internal"}},
    "503 without Retry-After": {"kind": "html", "status": 503},
    "520 of Cloudflare": {"kind": "html", "status": 520, "body": "Cloudflare Ray ID: 1"},
    "524 of Cloudflare": {"kind": "html", "status": 524},
    "504 of nginx": {"kind": "html", "status": 504},
    "a body cut off": {"kind": "truncate"},
    "half of the JSON": {"kind": "body", "body": '[{"id": 1, "na'},
    "a fatal error of PHP": {
        "kind": "body",
        "body": "<b>Fatal error</b>: Allowed memory size of 134217728 bytes exhausted",
    },
    "a reset": {"kind": "reset", "at": "start"},
    "a reset in the middle": {"kind": "reset", "at": "middle"},
}
LISTS = ("/products", "/variations")
AT_ONCE = ("504 of nginx", "524 of Cloudflare")
"""Answers that came too late are not asked for twice in the same size."""
OF_EACH_KIND = ("an empty 200", "502 of nginx", "504 of nginx", "a reset")
SIZES = (50, 75, 20, 5)


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    """One sandbox for the module."""
    with SandboxServer(()) as running:
        yield running


@pytest.fixture
def sandbox(server: SandboxServer) -> Iterator[SandboxServer]:
    """The sandbox with the shop, without faults and with an empty log."""
    server.store.put(SHOP)
    server.requests.clear()
    yield server
    server.faults.clear()


def breaks_over(sandbox: SandboxServer, over: int, *, path: str = "", **rule: Any) -> None:
    """Let the shop break over every page with more objects than `over`."""
    match = {"platform": "woocommerce", "path_contains": path, "per_page_over": over}
    # The host fails for every list, and not for the currency or for finding its address.
    sandbox.faults.set([{"match": match, **rule}])


def after(earlier: Reading, **settings: Any) -> Reading:
    """The next sync, which knows what the earlier one learned."""
    reading = Reading(earlier.sandbox, earlier.spec, **settings)
    reading.report = FetchReport(
        page_sizes=dict(earlier.report.page_sizes), learned=dict(earlier.report.learned)
    )
    return reading


@pytest.mark.parametrize(
    ("trouble", "over"),
    [
        # Each trouble in one size, and in each size those that are not asked for twice.
        pytest.param(
            trouble,
            over,
            marks=() if trouble in AT_ONCE or number % len(SIZES) == place else pytest.mark.slow,
        )
        for number, trouble in enumerate(HEAVY)
        for place, over in enumerate(SIZES)
    ],
)
async def test_a_page_too_heavy_for_the_shop_is_read_in_smaller_ones(
    sandbox: SandboxServer, trouble: str, over: int
) -> None:
    """The catalog is whole in this sync already, and the size is known to the next one."""
    breaks_over(sandbox, over, **HEAVY[trouble])
    first = Reading(sandbox, SHOP, max_retries=3)
    await first.read()
    assert first.items() == first.expected()
    assert (first.report.complete, first.report.warnings) == (True, [])
    size = {50: 50, 75: 50, 20: 5, 5: 5}[over]
    assert first.report.page_sizes["products"] == size
    assert first.report.page_sizes["variations"] == size
    # Twice in the size of 100, once in each other size that is too large, and for one object.
    assert first.report.retries <= (12 if trouble in AT_ONCE else 2)


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(trouble, marks=() if trouble in OF_EACH_KIND else pytest.mark.slow)
        for trouble in HEAVY
    ],
)
async def test_the_next_sync_begins_with_the_size_that_works(
    sandbox: SandboxServer, trouble: str
) -> None:
    """It tries one step more for each list, and then fails less and less often."""
    breaks_over(sandbox, 50, **HEAVY[trouble])
    reading = Reading(sandbox, SHOP)
    await reading.read()
    failures: list[list[int]] = []
    for _ in range(16):
        sandbox.requests.clear()
        reading = after(reading)
        await reading.read()
        assert reading.items() == reading.expected()
        assert reading.report.page_sizes["products"] == 50
        asked = sandbox.requests.requests(service="woocommerce", domain=SHOP.domain)
        too_large = [each.path for each in asked if "per_page=100" in each.query]
        failures.append([sum(path.endswith(of) for path in too_large) for of in LISTS])
    for of_list in zip(*failures, strict=True):
        assert max(of_list) <= 2
        assert 1 <= sum(map(bool, of_list)) <= 4


async def test_trouble_that_passed_does_not_shrink_a_shop_for_ever(
    sandbox: SandboxServer,
) -> None:
    """The next sync has the usual size again, and one more forgets that it was smaller."""
    breaks_over(sandbox, 50, path="/v3/products", times=2, **HEAVY["502 of nginx"])
    reading = Reading(sandbox, SHOP)
    await reading.read()
    assert reading.items() == reading.expected()
    assert reading.report.page_sizes["products"] == 50
    reading = after(reading)
    await reading.read()
    assert reading.items() == reading.expected()
    assert {page.facts["per_page"] for page in reading.pages} == {100}
    assert reading.report.page_sizes == {}


async def test_a_shop_that_can_do_a_little_less_grows_to_its_best_size(
    sandbox: SandboxServer,
) -> None:
    """The first sync goes down in large steps, and later ones go up in smaller ones."""
    breaks_over(sandbox, 20, **HEAVY["an empty 200"])
    reading = Reading(sandbox, SHOP)
    await reading.read()
    sizes = [reading.report.page_sizes["products"]]
    for _ in range(4):
        reading = after(reading)
        await reading.read()
        sizes.append(reading.report.page_sizes["products"])
    assert sizes == [5, 10, 20, 20, 20]


@pytest.mark.parametrize("endpoint", [ALL_VARIATIONS, ANALYTICS])
async def test_the_sizes_of_products_and_variations_are_independent(
    sandbox: SandboxServer, endpoint: str
) -> None:
    """A shop whose variations are heavy is asked for its products as before."""
    spec = replace(SHOP, **ENDPOINTS[endpoint])
    sandbox.store.put(spec)
    breaks_over(sandbox, 50, path=endpoint, **HEAVY["a body cut off"])
    reading = Reading(sandbox, spec)
    await reading.read()
    assert reading.items() == reading.expected()
    assert reading.report.details["variations_endpoint"] == endpoint
    assert (reading.report.page_sizes["variations"], "products" in reading.report.page_sizes) == (
        50,
        False,
    )


@pytest.mark.parametrize("trouble", [each for each in HEAVY if each not in AT_ONCE])
@pytest.mark.parametrize("skip", [1, 4], ids=["from the beginning", "while it is read"])
async def test_a_host_that_is_down_is_asked_few_times(
    sandbox: SandboxServer, trouble: str, skip: int
) -> None:
    """No size helps: the sync fails as it should, and the host is not asked more than before."""
    match = {"platform": "woocommerce"}
    sandbox.faults.set([{"match": match, "skip": skip, **HEAVY[trouble]}])
    reading = Reading(sandbox, SHOP, max_retries=3, batch_size=20)
    await reading.fails(PlatformUnavailable)
    # Eight pages are under way at most, each is asked for twice, and one object six times.
    assert reading.report.requests <= (skip + 14 if skip == 1 else skip + 2 * 8 + 12)
    assert reading.report.page_sizes.get("products", 20) == 20


async def test_a_shop_with_a_list_that_no_size_helps_is_read_product_by_product(
    sandbox: SandboxServer,
) -> None:
    """The list of all variations is one endpoint of several, and the others answer."""
    breaks_over(sandbox, 0, path=ALL_VARIATIONS, **HEAVY["502 of nginx"])
    reading = Reading(sandbox, SHOP)
    await reading.read()
    assert reading.items() == reading.expected()
    assert reading.report.complete
    assert reading.report.details["variations_endpoint"] == BY_PARENT


async def test_overload_with_a_stated_wait_is_waited_out_in_the_same_size(
    sandbox: SandboxServer,
) -> None:
    """503 with Retry-After says that the shop is busy, and nothing about the page."""
    rule = {"status": 503, "headers": {"Retry-After": "0"}, "times": 3}
    breaks_over(sandbox, 1, kind="html", **rule)
    reading = Reading(sandbox, SHOP, max_retries=3)
    await reading.read()
    assert reading.report.page_sizes == {}
    assert reading.report.retries == 3


def full_of_text(kilobytes: int, **match: Any) -> dict[str, Any]:
    """Each object of a list has a name so long, as where a plugin ignores `_fields`."""
    text = "\U0001f455" + "a" * 1024 * kilobytes
    return {
        "kind": "edit",
        "match": {"platform": "woocommerce", "query_contains": "orderby=id", **match},
        "edits": [{"path": ["*", "name"], "value": text}],
    }


def ids_of(reading: Reading) -> set[int]:
    """The ids on the pages of a reading."""
    return {row["id"] for page in reading.pages for row in json.loads(page.body)}


def names_of(reading: Reading) -> set[str]:
    """The titles that the reading gives."""
    pages = [page for page in reading.pages if page.kind in ("products", "variations")]
    rows = reading.api.normalize(reading.shop, reading.report.currency or "", pages)
    return {str(getattr(row, "product_title", row)) for row in rows}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_a_shop_of_pages_too_large_for_us_is_read_in_smaller_ones(
    sandbox: SandboxServer, endpoint: str
) -> None:
    """100 products of 30 kB are 3 MB. The size that is small enough is remembered."""
    spec = replace(SHOP, **ENDPOINTS[endpoint])
    sandbox.store.put(spec)
    sandbox.faults.set([full_of_text(30)])
    reading = Reading(sandbox, spec, max_retries=0)
    await reading.read()
    assert reading.report.complete
    assert reading.report.page_sizes["products"] < 100
    assert reading.report.details["smaller_pages"] >= 1
    sandbox.faults.clear()
    before = Reading(sandbox, spec)
    await before.read()
    assert ids_of(reading) == ids_of(before)
    assert {len(name) for name in names_of(reading)} == {1 + 30 * 1024}
    assert max(len(page.body) for page in reading.pages) < 4 * 1024 * 1024


async def test_a_shop_of_one_product_too_large_for_us_is_read_without_it(
    sandbox: SandboxServer,
) -> None:
    """3 MB of one product. It is named, and its items stay as they were."""
    sandbox.store.put(SHOP)
    fault = full_of_text(3 * 1024)
    for edit in fault["edits"]:
        edit["path"][0] = 0
    sandbox.faults.set([{**fault, "match": {**fault["match"], "query_contains": "&page=1&"}}])
    reading = Reading(sandbox, SHOP, max_retries=0)
    await reading.read()
    assert not reading.report.complete
    assert "left out" in " ".join(reading.report.warnings)


async def test_a_shop_of_objects_all_too_large_fails_with_their_size(
    sandbox: SandboxServer,
) -> None:
    """Nothing of it is read in vain for long."""
    spec = replace(SHOP, products=12)
    sandbox.store.put(spec)
    sandbox.faults.set([full_of_text(3 * 1024)])
    reading = Reading(sandbox, spec, max_retries=0)
    said = await reading.fails(InvalidResponse)
    assert "more than 2,097,152 bytes in one answer" in said
    assert len(sandbox.requests.requests()) < 40


@pytest.mark.parametrize("kilobytes", [900, 1600])
async def test_parts_that_are_too_large_together_make_pages_smaller(
    sandbox: SandboxServer, kilobytes: int
) -> None:
    """Each object alone is small enough. Five of 0.9 MB make a page, and five of 1.6 MB do not."""
    spec = replace(SHOP, products=12, variants=(1, 1))
    sandbox.store.put(spec)
    sandbox.faults.set([full_of_text(kilobytes)])
    reading = Reading(sandbox, spec, max_retries=0)
    if kilobytes < 1000:
        await reading.read()
        assert reading.report.complete
    else:
        said = await reading.fails(InvalidResponse)
        assert "so large that no page of them can be read" in said
