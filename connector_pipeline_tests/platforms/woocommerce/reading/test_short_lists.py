"""Promises about lists that are short: which are read another way, explained, or not believed.

The parameters are the table of all ways: how the list is short, and what comes of it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.woocommerce.reading.list_page import ListPage
from connector_pipeline.platforms.woocommerce.reading.paging_works import PagingWorks
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.edits import now
from connector_pipeline.sandbox.shops.records import WooProduct
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.woocommerce.mishaps import Mishaps
from connector_pipeline_tests.platforms.woocommerce.shop_reading import ENDPOINTS, SMALL, Reading

SHOP = replace(SMALL, domain="short.example", products=200, awkward=False)
PAGE: Final = 50
SINCE_EVER: Final = datetime(2000, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxServer]:
    """One sandbox for the module."""
    with SandboxServer(()) as running:
        yield running


def published(shop: SandboxShop) -> list[WooProduct]:
    """The products that the list of published ones has, by id."""
    return [
        each
        for each in shop.products()
        if isinstance(each, WooProduct) and each.status == "publish"
    ]


def children(shop: SandboxShop) -> list[int]:
    """The variations that published products list."""
    return [each.id for product in published(shop) for each in product.variations]


@dataclass(frozen=True)
class Proof:
    """A way in which a shop shows that it ignores parameters. `said` is in the error."""

    name: str
    mishaps: Mishaps
    said: str
    most_requests: int = 12
    batch_size: int = PAGE


PROOFS: Final = (
    Proof("a cache gives page 1 for every page", Mishaps(ignored=("page",)), "ignores page"),
    Proof(
        "the same for the variations alone",
        Mishaps(lists="/variations", ignored=("page",)),
        "/wc/v3/variations gave on page 2",
        most_requests=20,
    ),
    Proof("the same in pages of 20", Mishaps(ignored=("page",)), "ignores page", batch_size=20),
    Proof("nginx without $args", Mishaps(ignored=("*",)), "ignores"),
    Proof("per_page and page are ignored", Mishaps(ignored=("per_page", "page")), "ignores page"),
    Proof("pages are clamped to 4", Mishaps(largest_page=4), "ignores per_page"),
    Proof("status is ignored", Mishaps(ignored=("status",)), "gave an object of status"),
)


@pytest.mark.parametrize("proof", PROOFS, ids=lambda proof: proof.name)
async def test_a_shop_that_ignores_parameters_is_refused_at_once(
    sandbox: SandboxServer, proof: Proof
) -> None:
    """The error names the parameter and the cache or nginx, and few requests were spent."""
    sandbox.store.put(SHOP).mishaps = proof.mishaps
    reading = Reading(sandbox, SHOP, batch_size=proof.batch_size)
    said = await reading.fails(InvalidResponse)
    assert proof.said in said
    assert "try_files" in said
    assert "cache" in said
    assert reading.report.requests <= proof.most_requests


@dataclass(frozen=True)
class Way:
    """A way in which a list is short. `mishaps` makes it of the shop's records.

    `complete`, `all_read`: the outcome. `lost`: the variants that nobody can have. `warned`: a part
    of each warning. `extra`: the most requests beyond those of the shop without the trouble.
    """

    name: str
    mishaps: Callable[[SandboxShop], Mishaps]
    complete: bool = True
    all_read: bool = True
    lost: Callable[[SandboxShop], list[int]] = lambda _: []
    warned: tuple[str, ...] = ()
    extra: int = 0


def ids(shop: SandboxShop, *places: int) -> tuple[int, ...]:
    """The ids of the published products at these places."""
    return tuple(published(shop)[place].id for place in places)


def nearly_half(shop: SandboxShop) -> tuple[int, ...]:
    """The ids of many published products."""
    return tuple(each.id for each in published(shop)[10:80])


WAYS: Final = (
    Way("nothing is wrong", lambda _: Mishaps()),
    Way(
        "a page in the middle is empty",
        lambda _: Mishaps(lists="/products", empty_pages=(2,)),
        warned=("50 were missing on the pages",),
        extra=5,
    ),
    Way(
        "an empty page of variations",
        lambda _: Mishaps(lists="/variations", empty_pages=(3,)),
        warned=("or are not of a status that is read. Nothing is missing.",),
        extra=1,
    ),
    Way(
        "a page lacks products that can be had",
        lambda shop: Mishaps(left_out=ids(shop, 3, 60, 61, 149)),
        warned=("4 were missing on the pages",),
        extra=30,
    ),
    Way(
        "the list lacks variations that can be had",
        lambda shop: Mishaps(left_out=tuple(children(shop)[7:190:3])),
        extra=2,
    ),
    Way(
        "the last pages are missing",
        lambda _: Mishaps(lists="/products", empty_pages=(3, 4)),
        warned=("were missing on the pages",),
        extra=10,
    ),
    Way(
        "no list gives more than 120 products",
        lambda _: Mishaps(lists="/products", cut_after=120),
        warned=("were missing on the pages",),
        extra=10,
    ),
    Way(
        "the last pages of variations are missing",
        lambda _: Mishaps(lists="/variations", cut_after=90),
        warned=("Nothing is missing.",),
        extra=12,
    ),
    Way(
        "the headers are of an older, shorter list",
        lambda _: Mishaps(lists="/products", total_short=60),
        complete=False,
        warned=("counts fewer than it gives",),
        extra=6,
    ),
    Way(
        "the headers count one too few",
        lambda _: Mishaps(lists="/products", total_short=1),
        complete=False,
        warned=("counts fewer than it gives",),
        extra=5,
    ),
    Way(
        "the headers of the variations are old",
        lambda _: Mishaps(lists="/variations", total_short=120),
        extra=5,
    ),
    Way(
        "the shop cannot load two products",
        lambda shop: Mishaps(unloadable=ids(shop, 5, 120)),
        lost=lambda shop: [*ids(shop, 5, 120)],
        warned=("Products of status publish: the shop counts 2 that it cannot load itself",),
        extra=45,
    ),
    Way(
        "the shop cannot load its last product",
        lambda shop: Mishaps(unloadable=ids(shop, -1)),
        lost=lambda shop: [*ids(shop, -1)],
        warned=("the shop counts 1 that it cannot load itself",),
        extra=25,
    ),
    Way(
        "the shop cannot load a variation that its product lists",
        lambda shop: Mishaps(unloadable=(children(shop)[9],)),
        lost=lambda shop: [children(shop)[9]],
        warned=("Variations: the shop counts 1 that it cannot load itself",),
        extra=1,
    ),
    Way(
        "a third of the products comes in no way",
        lambda shop: Mishaps(unloadable=nearly_half(shop)),
        complete=False,
        all_read=False,
        lost=lambda shop: [*nearly_half(shop)],
        warned=("Products of status publish: the shop counts",),
        extra=60,
    ),
    Way(
        "a third of the variations comes in no way",
        lambda shop: Mishaps(unloadable=tuple(children(shop)[::3])),
        complete=False,
        all_read=False,
        lost=lambda shop: children(shop)[::3],
        warned=("that products list are counted by the shop and not given",),
        extra=3,
    ),
    Way(
        "a page is empty, and ids are not listed by offset",
        lambda _: Mishaps(lists="/products", empty_pages=(3,), ignored=("offset",)),
        complete=False,
        all_read=False,
        lost=lambda shop: [each.id for each in published(shop)[2 * PAGE : 3 * PAGE]],
        warned=("does not list its ids either",),
        extra=30,
    ),
)


def without(rows: list[dict[str, Any]], lost: list[int]) -> list[dict[str, Any]]:
    """The rows without those of these products and variations."""
    gone = {str(each) for each in lost}
    return [row for row in rows if row["product_id"] not in gone and row["variant_id"] not in gone]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
async def test_a_short_list_is_read_another_way_or_explained(
    sandbox: SandboxServer, way: Way
) -> None:
    """Everything that can be had is read once, and what is missing without a reason is said."""
    shop = sandbox.store.put(SHOP)
    usual = Reading(sandbox, SHOP, batch_size=PAGE)
    await usual.read()
    shop.mishaps = way.mishaps(shop)
    reading = Reading(sandbox, SHOP, batch_size=PAGE)
    await reading.read()
    assert reading.items() == without(reading.expected(), way.lost(shop))
    report = reading.report
    assert (report.complete, report.all_read) == (way.complete, way.all_read)
    assert len(report.warnings) == len(way.warned)
    for warning, said in zip(report.warnings, way.warned, strict=True):
        assert said in warning
    assert report.requests <= usual.report.requests + way.extra


LIMITS: Final = {
    "clamped to 50": Mishaps(largest_page=50),
    "clamped to 20": Mishaps(largest_page=20),
    "clamped to 33": Mishaps(largest_page=33),
    "per_page is ignored": Mishaps(ignored=("per_page",)),
    "clamped for the variations alone": Mishaps(lists="/variations", largest_page=30),
    "refused over 50": Mishaps(largest_page=50, refuses_larger=True),
    "refused over 24": Mishaps(largest_page=24, refuses_larger=True),
}


@pytest.mark.parametrize("limit", LIMITS.values(), ids=LIMITS)
async def test_a_shop_that_allows_smaller_pages_is_read_in_those(
    sandbox: SandboxServer, limit: Mishaps
) -> None:
    """The catalog is whole and complete, and the next sync knows the size, of changes too."""
    shop = sandbox.store.put(SHOP)
    shop.mishaps = limit
    first, second, changes = (Reading(sandbox, SHOP, batch_size=100) for _ in range(3))
    await first.read()
    assert first.items() == first.expected()
    assert first.report.complete
    assert first.report.retries == 0
    second.report.page_sizes, second.report.learned = first.report.page_sizes, first.report.learned
    await second.read()
    assert second.items() == first.items()
    assert second.report.requests <= first.report.requests
    changes.report.page_sizes = second.report.page_sizes
    await changes.read(since=SINCE_EVER)
    assert changes.items() == first.items()
    assert changes.report.complete
    assert not changes.report.read_in_full


async def test_a_shop_that_ignores_the_order_is_all_read_when_it_was_read_twice(
    sandbox: SandboxServer,
) -> None:
    """Its ids cannot be joined, so an edit leaves the first reading open and the second one not."""
    shop = sandbox.store.put(SHOP)
    shop.mishaps = Mishaps(ignored=("orderby", "order"))
    shop.edit_product(published(shop)[5].id, {"name": "Another"}, at=now())
    first, second = (Reading(sandbox, SHOP, batch_size=PAGE) for _ in range(2))
    await first.read()
    assert first.items() == first.expected()
    assert (first.report.complete, first.report.all_read) == (False, False)
    second.report.reading = 2
    await second.read()
    assert second.items() == second.expected()
    assert (second.report.complete, second.report.all_read) == (False, True)
    assert "changes the order of products" in second.report.warnings[0]
    shop.mishaps = Mishaps(ignored=("orderby", "order"), unloadable=ids(shop, 9))
    lacking = Reading(sandbox, SHOP, batch_size=PAGE)
    lacking.report.reading = 2
    await lacking.read()
    assert not lacking.report.all_read


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_orphans_cost_no_request_at_any_endpoint(
    sandbox: SandboxServer, endpoint: str
) -> None:
    """Every variation that a product lists was read, so what is counted besides is no one's."""
    spec = replace(SHOP, **ENDPOINTS[endpoint])
    sandbox.store.put(spec)
    usual = Reading(sandbox, spec)
    await usual.read()
    spec = replace(spec, orphan_variations=40)
    sandbox.store.put(spec)
    reading = Reading(sandbox, spec)
    await reading.read()
    assert reading.report.complete
    assert reading.items() == reading.expected()
    pages_of_orphans = 1
    assert reading.report.requests <= usual.report.requests + pages_of_orphans


async def test_what_was_explained_is_not_asked_about_again_until_it_changes(
    sandbox: SandboxServer,
) -> None:
    """The next sync makes no more requests than a sound shop needs, and warns of nothing."""
    shop = sandbox.store.put(SHOP)
    usual = Reading(sandbox, SHOP)
    await usual.read()
    shop.mishaps = Mishaps(unloadable=ids(shop, 5, 120))
    first, second, third = (Reading(sandbox, SHOP) for _ in range(3))
    await first.read()
    second.report.learned = first.report.learned
    await second.read()
    assert second.report.complete
    assert second.report.requests == usual.report.requests
    assert second.report.warnings == []
    assert second.report.details["explained"] == first.report.details["explained"]
    shop.mishaps = Mishaps(unloadable=ids(shop, 5, 70, 120))
    third.report.learned = second.report.learned
    await third.read()
    assert "counts 3 that it cannot load" in third.report.warnings[0]
    assert third.report.requests > usual.report.requests


def judged(pages: list[list[int]], *, size: int, total: int) -> None:
    """Look at these pages of ids, of a list of this length."""
    works = PagingWorks("/wc/v3/products", status="publish")
    for number, page in enumerate(pages, start=1):
        rows: list[dict[str, Any]] = [{"id": each, "status": "publish"} for each in page]
        works.check(ListPage(number, size, total, -(-total // size), rows, b""))


@pytest.mark.parametrize("size", [1, 4, 5, 20])
def test_pages_of_any_size_prove_a_repeat(size: int) -> None:
    """A large page proves it by itself, and small ones when several in a row are the same."""
    page = list(range(1, size + 1))
    with pytest.raises(InvalidResponse, match="ignores page"):
        judged([page] * 4, size=size, total=40 * size)


def test_a_page_of_the_first_one_later_on_proves_a_repeat() -> None:
    """A cache may have some pages and give the first one for others."""
    first, second = list(range(1, 51)), list(range(51, 101))
    with pytest.raises(InvalidResponse, match="page 3 of 4"):
        judged([first, second, first], size=50, total=180)


def test_objects_that_moved_to_the_next_page_prove_nothing() -> None:
    """A product that left the trash moves the list by one, so that the next page repeats one."""
    judged([list(range(1, 51)), list(range(50, 100)), list(range(100, 150))], size=50, total=150)


def test_a_product_edited_while_it_is_read_proves_nothing() -> None:
    """A merchant may unpublish it after the query found it and before the answer shows it."""
    for ago, proves in ((timedelta(seconds=5), False), (timedelta(hours=1), True)):
        modified = f"{datetime.now(UTC) - ago:%Y-%m-%dT%H:%M:%S}"
        rows: list[dict[str, Any]] = [
            {"id": 1, "status": "publish", "date_modified_gmt": "2026-01-01T00:00:00"},
            {"id": 2, "status": "draft", "date_modified_gmt": modified},
        ]
        works = PagingWorks("/wc/v3/products", status="publish")
        page = ListPage(1, 100, 2, 1, rows, b"")
        if proves:
            with pytest.raises(InvalidResponse, match="of status draft"):
                works.check(page)
        else:
            works.check(page)
