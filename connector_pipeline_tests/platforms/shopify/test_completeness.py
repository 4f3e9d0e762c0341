"""Promises about what counts as read, kept by `fetch` against the sandbox.

`connector_pipeline_tests/assets/test_short_shopify_lists.py` has the table of short lists.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.kit.contract import FetchReport, RawPage
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shopify.short_lists import ShortLists
from connector_pipeline.sandbox.shops.edits import now
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline_tests.platforms.shopify.test_adapter import (
    SandboxTokens,
    api,
    expected,
    fetch,
    rows_of,
    shop_of,
)

SPEC = ShopSpec("shopify", "short.myshopify.com", "m", "s", products=30, variants=(2, 3), seed=4)
SOON = {"bulk_poll_interval": 0.005, "bulk_end_awaited": 0.05}
BULK = {**SOON, "bulk_threshold": 5}
PAGES = {"batch_size": 10}
WAYS = pytest.mark.parametrize("way", [PAGES, BULK], ids=["pages", "bulk"])


@pytest.fixture(scope="module")
def running_sandbox() -> Iterator[SandboxServer]:
    with SandboxServer(()) as server:
        yield server


@pytest.fixture
def sandbox(running_sandbox: SandboxServer) -> SandboxServer:
    running_sandbox.store.put(SPEC)
    running_sandbox.faults.clear()
    running_sandbox.requests.clear()
    return running_sandbox


@pytest.fixture
def held(sandbox: SandboxServer) -> SandboxShop:
    return sandbox.store.shop("shopify", SPEC.domain)


async def read(
    sandbox: SandboxServer,
    way: dict[str, Any],
    edits: dict[int, Callable[[], object]] | None = None,
    report: FetchReport | None = None,
    **more: Any,
) -> tuple[list[RawPage], FetchReport]:
    """Fetch the shop, and make an edit after so many pages."""
    report = report or FetchReport()
    pages: list[RawPage] = []
    async for page in fetch(sandbox, SPEC.domain, report, **way, **more):
        pages.append(page)
        if edits and len(pages) in edits:
            edits[len(pages)]()
    return pages, report


async def resume(
    sandbox: SandboxServer, archived: list[RawPage], since: datetime | None = None
) -> tuple[list[RawPage], FetchReport]:
    """Fetch the shop again, after the archived pages of an interrupted attempt."""
    _, shop = shop_of(sandbox, SPEC.domain)
    report = FetchReport()
    again = api(sandbox, **PAGES).fetch(
        shop, SandboxTokens(sandbox), since=since, report=report, archived=archived
    )
    return [page async for page in again], report


def assert_whole(sandbox: SandboxServer, pages: list[RawPage], report: FetchReport) -> None:
    rows = {row["variant_id"]: row for row in rows_of(sandbox, SPEC.domain, pages, report)}
    served = {row["variant_id"]: row for row in expected(sandbox, SPEC.domain)}
    assert {key: rows.get(key) for key in served} == served


@WAYS
async def test_a_shop_that_nobody_edits_is_complete(
    sandbox: SandboxServer, way: dict[str, Any]
) -> None:
    """Products and variants agree with the counts."""
    pages, report = await read(sandbox, way)
    assert_whole(sandbox, pages, report)
    assert (report.complete, report.all_read, report.warnings) == (True, True, [])


@pytest.mark.parametrize("after", [1, 2, 3])
async def test_products_created_while_pages_are_read_are_read_too(
    sandbox: SandboxServer, held: SandboxShop, after: int
) -> None:
    """New products come last in the order of ids, so the walk reads on behind its last cursor."""
    pages, report = await read(sandbox, PAGES, {after: lambda: held.append_products(12, at=now())})
    assert_whole(sandbox, pages, report)
    assert (report.complete, report.warnings) == (True, [])


@pytest.mark.parametrize("after", [2, 3, 4])
async def test_products_deleted_while_pages_are_read_leave_nothing_out(
    sandbox: SandboxServer, held: SandboxShop, after: int
) -> None:
    """One behind the reader and one before it: absences are asked for by id."""
    ids = [*held.product_ids()]

    def delete() -> None:
        held.remove_product(ids[0])
        held.remove_product(ids[-1])

    pages, report = await read(sandbox, PAGES, {after: delete})
    assert_whole(sandbox, pages, report)
    assert report.all_read
    assert all("edited while it was read" in each for each in report.warnings)


@pytest.mark.parametrize("after", [1, 2, 3])
async def test_products_created_and_deleted_while_an_operation_runs_are_no_gap(
    sandbox: SandboxServer, held: SandboxShop, after: int
) -> None:
    """The next increment brings the new ones."""
    held.bulk.set_plan(polls=4)
    ids = [*held.product_ids()]

    def edit() -> None:
        held.append_products(3, at=now() + timedelta(seconds=1))
        held.remove_product(ids[0])
        held.remove_product(ids[7])

    new = {}
    pages, report = await read(sandbox, BULK, {after: lambda: new.update(done=edit())})
    assert new
    assert report.all_read
    assert all("edited while it was read" in each for each in report.warnings)
    assert {page.kind for page in pages} == {"shop", "bulk_operation", "bulk"}


@WAYS
@pytest.mark.parametrize("after", [1, 2])
async def test_variants_deleted_and_added_while_reading_are_no_gap(
    sandbox: SandboxServer, held: SandboxShop, way: dict[str, Any], after: int
) -> None:
    """They changed their products, which the next increment brings."""
    first, second, *_ = held.product_ids()
    gone = held.variant_ids(second)[0]
    held.remove_variant(gone, at=now())

    def edit() -> None:
        held.remove_variant(held.variant_ids(first)[0], at=now())

    _, report = await read(sandbox, way, {after: edit})
    assert report.complete
    assert report.warnings == []


@WAYS
@pytest.mark.parametrize("missing", [1, 4])
async def test_a_deletion_does_not_hide_a_gap(
    sandbox: SandboxServer, held: SandboxShop, way: dict[str, Any], missing: int
) -> None:
    """As many products are deleted behind the reader as are missing, so the counts would agree."""
    ids = [*held.product_ids()]
    if way is PAGES:
        held.short = ShortLists(hidden=tuple(range(12, 12 + missing)))
    else:
        held.bulk.set_plan(short_by=missing, missing="products", counted=False)

    def delete() -> None:
        held.short = ShortLists(hidden=tuple(range(12 - missing, 12)) if way is PAGES else ())
        for number in ids[20 : 20 + missing] if way is BULK else ids[:missing]:
            held.remove_product(number)

    pages, report = await read(sandbox, way, {3: delete})
    assert (report.complete, report.all_read) == (False, False)
    assert any(f"{missing} are missing" in each for each in report.warnings)
    assert pages


@pytest.mark.parametrize(
    "plan",
    [
        {"no_url": True},
        {"short_by": 7, "missing": "end"},
        {"short_by": 1, "missing": "variants", "counted": False},
    ],
)
async def test_a_short_bulk_result_is_read_again_by_pages(
    sandbox: SandboxServer, held: SandboxShop, plan: dict[str, Any]
) -> None:
    """What is doubtful is read another way before it is believed."""
    held.bulk.set_plan(**plan)
    _, first = await read(sandbox, BULK)
    assert (first.complete, first.all_read) == (False, False)
    pages, second = await read(sandbox, BULK, report=first.for_another_reading())
    assert_whole(sandbox, pages, second)
    assert second.complete
    assert {page.kind for page in pages} == {"shop", "products"}
    assert len(held.bulk.all()) == 1


@WAYS
@pytest.mark.parametrize(
    "fault",
    [
        {
            "kind": "body",
            "body": {
                "data": {"productVariantsCount": None},
                "errors": [{"message": "no", "extensions": {"code": "ACCESS_DENIED"}}],
            },
        },
        {"kind": "body", "body": {"data": {"productVariantsCount": None}}},
        {"kind": "body", "body": {"errors": [{"message": "Field doesn't exist"}]}},
        {"kind": "status", "status": 500},
        {"kind": "html", "status": 403},
    ],
)
async def test_a_shop_that_does_not_count_its_variants_is_complete_all_the_same(
    sandbox: SandboxServer, way: dict[str, Any], fault: dict[str, Any]
) -> None:
    """The question is one of its own, and its answer then unknown."""
    rule = {"match": {"body_contains": "CountVariants"}, "times": None, **fault}
    sandbox.faults.set([rule])
    pages, report = await read(sandbox, way)
    assert_whole(sandbox, pages, report)
    assert (report.complete, report.warnings) == (True, [])


async def test_a_product_whose_variants_end_early_is_read_again(
    sandbox: SandboxServer, held: SandboxShop
) -> None:
    """Shopify counts each product's variants; only products that are short are asked for."""
    held.short = ShortLists(nested_variants=2)
    short = sum(len(held.variant_ids(each)) > 2 for each in held.product_ids())
    pages, report = await read(sandbox, PAGES)
    assert_whole(sandbox, pages, report)
    assert report.complete
    assert [page.kind for page in pages].count("variants") == short
    assert report.details["products_read_again"] == short
    again, resumed = await resume(sandbox, pages)
    assert again == pages
    assert resumed.complete
    assert resumed.details["variants"] == report.details["variants"]


async def test_variants_that_stay_missing_are_named(
    sandbox: SandboxServer, held: SandboxShop
) -> None:
    """Shopify refuses to count each product's variants."""
    held.short = ShortLists(nested_variants=2)
    sandbox.faults.set(
        [{"match": {"body_contains": "ProductCounts"}, "kind": "status", "status": 502}]
    )
    _, report = await read(sandbox, PAGES, max_retries=0)
    assert (report.complete, report.all_read) == (False, False)
    total = len(expected(sandbox, SPEC.domain))
    counted = report.details["variants"]
    assert isinstance(counted, int)
    assert report.warnings == [
        f"Shopify counts {total} variants, but {counted} were read: {total - counted} are missing."
    ]


@pytest.mark.parametrize("since", [None, datetime(2026, 1, 1, tzinfo=UTC)])
@pytest.mark.parametrize(
    ("lists", "words"),
    [
        (ShortLists(repeats=True), "10 of the page before it again: paging does not work there"),
        (ShortLists(ignores_first=True), "20 products where at most 10 were asked for"),
    ],
)
async def test_paging_that_does_not_work_is_said(
    sandbox: SandboxServer,
    held: SandboxShop,
    since: datetime | None,
    lists: ShortLists,
    words: str,
) -> None:
    """A proxy that ignores the question, or a cache that answers for another one."""
    held.short = lists
    with pytest.raises(InvalidResponse, match=words):
        await read(sandbox, PAGES, since=since)


# Deletions in increments.

SINCE = datetime(2026, 11, 1, tzinfo=UTC)


async def test_an_increment_names_the_products_that_were_deleted_since(
    sandbox: SandboxServer, held: SandboxShop
) -> None:
    """Products deleted before, and what else happened, are not named."""
    ids = [*held.product_ids()]
    held.remove_product(ids[0], at=SINCE - timedelta(seconds=1))
    held.remove_product(ids[1], at=SINCE)
    held.remove_product(ids[2], at=SINCE + timedelta(days=2))
    held.append_products(2, at=SINCE + timedelta(days=1))
    pages, report = await read(sandbox, PAGES, since=SINCE)
    assert report.perhaps_gone == {str(ids[1]), str(ids[2])}
    assert (report.complete, report.warnings) == (True, [])
    assert pages[-1].kind == "deletions"
    assert len(rows_of(sandbox, SPEC.domain, pages, report)) > 0


async def test_many_deletions_come_page_by_page(sandbox: SandboxServer, held: SandboxShop) -> None:
    """250 events are on a page, and archived pages are not asked for again."""
    held.append_products(600, at=SINCE - timedelta(days=1))
    gone = held.product_ids()[-510:]
    for number in gone:
        held.remove_product(number, at=SINCE + timedelta(seconds=1))
    pages, report = await read(sandbox, PAGES, since=SINCE)
    assert report.perhaps_gone == {str(number) for number in gone}
    assert [page.kind for page in pages].count("deletions") == 3
    again, resumed = await resume(sandbox, pages, since=SINCE)
    assert again == pages
    assert resumed.requests == 0
    assert resumed.perhaps_gone == report.perhaps_gone


DENIED = {"errors": [{"message": "Access denied", "extensions": {"code": "ACCESS_DENIED"}}]}
UNKNOWN_FIELD = {"errors": [{"message": "Field 'events' doesn't exist on type 'QueryRoot'"}]}
IGNORED = {
    "data": {"events": {"pageInfo": {"hasNextPage": False}, "nodes": []}},
    "extensions": {"search": [{"warnings": [{"message": "Invalid search field"}]}]},
}


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "body", "body": DENIED},
        {"kind": "body", "body": UNKNOWN_FIELD},
        {"kind": "body", "body": IGNORED},
        {"kind": "body", "body": {"data": {"events": None}}},
    ],
)
async def test_an_increment_works_without_events(
    sandbox: SandboxServer, held: SandboxShop, fault: dict[str, Any]
) -> None:
    """It is complete, and one warning says that only full syncs find deletions."""
    sandbox.faults.set([{"match": {"body_contains": "query Deletions"}, "times": None, **fault}])
    held.remove_product(held.product_ids()[0], at=now())
    _, report = await read(sandbox, PAGES, since=SINCE)
    assert report.complete
    assert report.perhaps_gone == set()
    [warning] = report.warnings
    assert "only full syncs find them" in warning


async def test_events_that_fail_are_asked_for_again_by_the_next_increment(
    sandbox: SandboxServer,
) -> None:
    """The changes are complete, and the adapter remembers since when deletions were not named."""
    down = {"match": {"body_contains": "query Deletions"}, "kind": "status", "status": 502}
    sandbox.faults.set([down])
    _, report = await read(sandbox, PAGES, since=SINCE, max_retries=1)
    assert report.complete
    assert report.learned == {"deletions_not_named_since": SINCE.isoformat()}
    assert "the next increment asks again" in report.warnings[0]


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "html", "status": 404},
        {"kind": "html", "status": 200},
        {"kind": "status", "status": 500},
        {"kind": "throttled"},
        {
            "kind": "body",
            "body": {"errors": [{"message": "", "extensions": {"code": "INTERNAL_SERVER_ERROR"}}]},
        },
    ],
)
@pytest.mark.parametrize("since", [None, SINCE])
async def test_what_a_sync_can_do_without_is_given_up_soon(
    sandbox: SandboxServer, fault: dict[str, Any], since: datetime | None
) -> None:
    """A shop whose events or counts never come must not wait for all the retries of a page."""
    matches = [{"body_contains": f"query {name}"} for name in ("Deletions", "CountVariants")]
    sandbox.faults.set([{"match": match, **fault} for match in matches])
    _, report = await read(sandbox, PAGES, since=since, max_retries=5)
    assert report.complete
    # A throttled question waits for the points that Shopify states, and for no others.
    assert report.retries <= (4 if fault["kind"] == "throttled" else 1)


@pytest.mark.parametrize(
    "node",
    [
        {"action": "create", "subjectType": "PRODUCT", "subjectId": "gid://shopify/Product/8"},
        {"action": "destroy", "subjectType": "ORDER", "subjectId": "gid://shopify/Order/8"},
        {"action": "destroy", "subjectType": "PRODUCT", "subjectId": "gid://shopify/Order/8"},
        {"action": "destroy", "subjectType": "PRODUCT", "subjectId": None},
        {},
        None,
    ],
)
async def test_an_event_of_anything_else_names_no_product(
    sandbox: SandboxServer, node: Any
) -> None:
    """Shopify ignores a filter that it does not know."""
    body = {"data": {"events": {"pageInfo": {"hasNextPage": False}, "nodes": [node]}}}
    sandbox.faults.set(
        [{"match": {"body_contains": "query Deletions"}, "kind": "body", "body": body}]
    )
    _, report = await read(sandbox, PAGES, since=SINCE)
    assert report.perhaps_gone == set()
    assert report.complete
