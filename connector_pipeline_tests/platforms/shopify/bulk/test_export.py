"""Promises of bulk operations, kept against the sandbox: any end of one gives a whole catalog."""

import asyncio
import json
import logging
import re
import traceback
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from connector_pipeline.model.errors import (
    InvalidResponse,
    PlatformUnavailable,
    ShopDisconnected,
)
from connector_pipeline.platforms.kit.contract import FetchReport, RawPage
from connector_pipeline.platforms.shopify.bulk.export import BULK_THRESHOLD
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shopify.bulk_operations import BulkPlan
from connector_pipeline.sandbox.shopify.bulk_result import BulkResult
from connector_pipeline.sandbox.shops.expected import expected_items
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline.settings import load_settings
from connector_pipeline_tests.platforms.shopify.test_adapter import (
    SandboxTokens,
    api,
    in_order,
    shop_of,
)

DOMAIN = "large.myshopify.com"
SPEC = ShopSpec(
    platform="shopify",
    domain=DOMAIN,
    merchant_id="m-1",
    platform_shop_id="s-1",
    products=200,
    variants=(1, 5),
    big_products=(300,),
)
SOON = {"bulk_threshold": 50, "bulk_poll_interval": 0.005, "bulk_end_awaited": 0.05}


@pytest.fixture(scope="module")
def running_sandbox() -> Iterator[SandboxServer]:
    with SandboxServer(()) as server:
        yield server


@pytest.fixture
def sandbox(running_sandbox: SandboxServer) -> SandboxServer:
    """A sandbox with one shop, which is above the threshold of these tests."""
    running_sandbox.store.put(SPEC)
    running_sandbox.faults.clear()
    running_sandbox.requests.clear()
    return running_sandbox


@pytest.fixture
def held(sandbox: SandboxServer) -> SandboxShop:
    return sandbox.store.shop("shopify", DOMAIN)


class Reading:
    """One fetch of the shop, with its pages and its report."""

    def __init__(self, sandbox: SandboxServer, **settings: Any):
        self.sandbox = sandbox
        self.report = FetchReport()
        self.pages: list[RawPage] = []
        self.api = api(sandbox, **{**SOON, **settings})
        _, self.shop = shop_of(sandbox, DOMAIN)

    async def run(self, archived: list[RawPage] | None = None, since: Any = None) -> "Reading":
        """Fetch to the end. Pages yielded before an error stay."""
        tokens = SandboxTokens(self.sandbox)
        fetch = self.api.fetch(
            self.shop, tokens, since=since, report=self.report, archived=archived or ()
        )
        async for page in fetch:
            self.pages.append(page)
        return self

    @property
    def kinds(self) -> list[str]:
        """The kinds of its pages, each once, in order."""
        return list(dict.fromkeys(page.kind for page in self.pages))

    def rows(self) -> list[dict[str, Any]]:
        items = self.api.normalize(self.shop, self.report.currency or "", self.pages)
        return in_order([item.model_dump() for item in items])

    def assert_whole(self) -> None:
        """Assert that every variant is as the shop holds it, and that the snapshot is complete."""
        expected = expected_items(self.sandbox.store.shop("shopify", DOMAIN))
        assert self.rows() == in_order(expected)
        assert self.report.complete


def downloads(sandbox: SandboxServer) -> list[int]:
    return [each.status for each in sandbox.requests.requests(service="storage")]


async def test_a_large_shop_is_read_by_one_bulk_operation(sandbox: SandboxServer) -> None:
    """The snapshot is complete, for 40 points and a few requests at any size."""
    reading = await Reading(sandbox).run()
    reading.assert_whole()
    assert reading.kinds == ["shop", "bulk_operation", "bulk"]
    assert reading.report.warnings == []
    details = reading.report.details
    assert details["products"] == 200
    assert details["variants"] == len(reading.rows())
    assert details["points"] <= 40
    assert downloads(sandbox) == [200]


@pytest.mark.parametrize(("lags", "poll_interval"), [(False, 3600.0), (True, 0.005)])
async def test_an_operation_is_fetched_when_its_webhook_comes(
    sandbox: SandboxServer, held: SandboxShop, *, lags: bool, poll_interval: float
) -> None:
    """No poll is waited for. If the state lags behind the webhook, polls go on as without one."""
    held.bulk.plan = BulkPlan(polls=5)
    asked: list[str] = []

    async def announced(token: str, seconds: float) -> bool:
        assert seconds == poll_interval
        asked.append(token)
        operation = held.bulk.find(token.removeprefix("bulk/"))
        assert operation is not None
        for _ in range(2_000):
            if operation.result.written:
                break
            await asyncio.sleep(0.005)
        if not lags:
            operation.finish()
        return True

    reading = Reading(sandbox, bulk_poll_interval=poll_interval)
    reading.report.announced = announced
    await reading.run()
    reading.assert_whole()
    assert asked == [f"bulk/{reading.report.details['bulk_operation']}"]
    assert reading.report.details["bulk_announced"] is True


async def test_without_a_webhook_an_operation_is_polled_as_ever(sandbox: SandboxServer) -> None:
    """Deliveries are lost."""

    async def announced(token: str, seconds: float) -> bool:
        return False

    reading = Reading(sandbox)
    reading.report.announced = announced
    await reading.run()
    reading.assert_whole()
    assert "bulk_announced" not in reading.report.details


@pytest.mark.parametrize(
    ("threshold", "since"), [(200, None), (50, datetime(2026, 1, 1, tzinfo=UTC))]
)
async def test_small_shops_and_increments_are_paged(
    sandbox: SandboxServer, threshold: int, since: datetime | None
) -> None:
    """The start of a bulk operation would cost more than it saves."""
    paged = await Reading(sandbox, bulk_threshold=threshold).run(since=since)
    paged.assert_whole()
    assert [kind for kind in paged.kinds if kind != "deletions"] == ["shop", "products", "variants"]


def test_the_threshold_of_the_settings_is_the_one_reasoned_for() -> None:
    """SHOPIFY_BULK_THRESHOLD has the number of the simulation as its default."""
    assert load_settings().shopify_bulk_threshold == BULK_THRESHOLD
    assert load_settings().shopify_bulk_hosts == "storage.googleapis.com"


async def test_pages_are_whole_lines_of_a_bounded_size(sandbox: SandboxServer) -> None:
    """Memory does not grow with the shop, and a fetch can resume after every page."""
    reading = await Reading(sandbox, bulk_page_bytes=1000).run()
    reading.assert_whole()
    pages = [page for page in reading.pages if page.kind == "bulk"]
    assert len(pages) > 2
    offset = 0
    for page in pages:
        assert page.facts["offset"] == offset
        assert page.facts["objects"] == len(page.body.splitlines())
        assert all(json.loads(line) for line in page.body.splitlines())
        offset += len(page.body)
    assert offset == pages[0].facts["length"]


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        ({"outcome": "FAILED", "error_code": "INTERNAL_SERVER_ERROR"}, "INTERNAL_SERVER_ERROR"),
        ({"outcome": "FAILED", "error_code": "TIMEOUT", "partial": True}, "TIMEOUT.*not used"),
        ({"outcome": "FAILED", "error_code": "ACCESS_DENIED"}, "ACCESS_DENIED"),
        ({"outcome": "CANCELED"}, "ended as CANCELED"),
        ({"outcome": "EXPIRED"}, "ended as EXPIRED"),
        ({"outcome": "STALLED"}, "stood still.*cancelled"),
        ({"places_taken": 5}, "five bulk operations of this app are under way"),
        ({"refused": 403}, "answered 403"),
        ({"refused": 404}, "answered 404"),
    ],
)
async def test_the_catalog_is_read_whole_after_any_end_of_an_operation(
    sandbox: SandboxServer,
    held: SandboxShop,
    caplog: pytest.LogCaptureFixture,
    plan: dict[str, Any],
    reason: str,
) -> None:
    """It is read by pages, and the log, the warnings and the details have the reason."""
    held.bulk.set_plan(**plan)
    # On a busy machine any operation stands still for a moment.
    stalled = {"bulk_stalled_after": 0.05} if plan.get("outcome") == "STALLED" else {}
    reading = await Reading(sandbox, **stalled).run()
    reading.assert_whole()
    assert "products" in reading.kinds
    assert "bulk" not in reading.kinds
    (warning,) = reading.report.warnings
    assert warning.startswith("Read page by page instead of in bulk")
    for shown in (warning, str(reading.report.details["bulk_fallback"]), caplog.text):
        assert re.search(reason, shown)
    assert f"shopify/{DOMAIN}: read page by page" in caplog.text
    ours = [each.status for each in held.bulk.all()]
    assert len(ours) == (0 if "places_taken" in plan else 1)
    assert not {"CREATED", "RUNNING"} & set(ours)


async def test_a_missing_scope_is_named_as_ever(sandbox: SandboxServer, held: SandboxShop) -> None:
    """Paging confirms the ACCESS_DENIED of the operation with a fresh token."""
    held.bulk.set_plan(outcome="FAILED", error_code="ACCESS_DENIED")
    denied = {
        "errors": [{"message": "Access denied", "extensions": {"code": "ACCESS_DENIED"}}],
        "data": None,
    }
    sandbox.faults.set(
        [{"match": {"body_contains": "query Products"}, "kind": "body", "body": denied}]
    )
    with pytest.raises(ShopDisconnected, match="read_products"):
        await Reading(sandbox).run()


async def test_the_end_of_another_operation_is_awaited_before_paging(
    sandbox: SandboxServer, held: SandboxShop
) -> None:
    """Five run at once per app and shop, and the sixth waits for a while."""
    held.bulk.set_plan(places_taken=5)
    reading = Reading(sandbox, bulk_end_awaited=30.0)
    until_refused = {"match": {"body_contains": "RunBulk"}, "kind": "latency", "seconds": 0.0}
    sandbox.faults.set([until_refused])
    fetch = reading.api.fetch(
        reading.shop, SandboxTokens(sandbox), since=None, report=reading.report
    )
    reading.pages.append(await anext(fetch))

    async def end_one() -> None:
        # An asyncio.Event will not do, because the server counts in another thread.
        while sandbox.faults.as_json()[0]["matched"] < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        held.bulk.set_plan(places_taken=4)

    freeing = asyncio.create_task(end_one())
    reading.pages += [page async for page in fetch]
    await freeing
    reading.assert_whole()
    assert reading.kinds == ["shop", "bulk_operation", "bulk"]


async def test_a_result_without_rows_is_an_empty_shop(sandbox: SandboxServer) -> None:
    """COMPLETED with `url: null` is a complete snapshot without products."""
    sandbox.store.put(ShopSpec("shopify", DOMAIN, "m-1", "s-1", products=0, awkward=False))
    reading = await Reading(sandbox, bulk_threshold=-1).run()
    assert reading.kinds == ["shop", "bulk_operation"]
    assert reading.rows() == []
    assert reading.report.complete
    assert reading.report.currency == "EUR"
    assert reading.report.details["products"] == 0


async def test_a_result_without_rows_of_a_shop_with_products_is_not_believed(
    sandbox: SandboxServer, held: SandboxShop
) -> None:
    """The shop, asked once more, still counts products."""
    held.bulk.set_plan(no_url=True)
    reading = await Reading(sandbox).run()
    assert not reading.report.complete
    assert [page.kind for page in reading.pages] == ["shop", "bulk_operation", "shop"]
    assert "counts" in reading.report.warnings[0]


@pytest.mark.parametrize("of_product", [True, False])
async def test_a_result_with_a_broken_line_is_not_complete(
    sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch, of_product: bool
) -> None:
    """Its counts are right. Nothing could be published of it, at any later time either."""
    add = BulkResult.add

    def cut(result: BulkResult, line: bytes, *, root: bool, **kept: Any) -> None:
        add(result, line[:-1] if root is of_product else line, root=root, **kept)

    monkeypatch.setattr(BulkResult, "add", cut)
    reading = await Reading(sandbox).run()
    assert not reading.report.complete
    assert not reading.report.all_read
    [warning] = reading.report.warnings
    assert "no objects" in warning


@pytest.mark.parametrize(
    "odd",
    [
        {"objectCount": "many"},
        {"rootObjectCount": None},
        {"id": "gid://shopify/BulkOperation/1"},
    ],
)
async def test_an_operation_in_a_state_that_cannot_be_read_is_no_reason_to_fail(
    sandbox: SandboxServer, odd: dict[str, Any]
) -> None:
    """The pages bring the catalog."""
    operation = {
        "id": "gid://shopify/BulkOperation/7000000000001",
        "status": "COMPLETED",
        "errorCode": None,
        "objectCount": "1",
        "rootObjectCount": "1",
        "createdAt": "2026-11-01T00:00:00Z",
        "url": None,
        "partialDataUrl": None,
        **odd,
    }
    match = {"body_contains": "query PollBulk"}
    body = {"data": {"bulkOperation": operation}}
    sandbox.faults.set([{"match": match, "kind": "body", "body": body}])
    reading = await Reading(sandbox).run()
    reading.assert_whole()
    assert "products" in reading.kinds
    assert "cannot be read" in str(reading.report.details["bulk_fallback"])


async def test_a_result_that_lacks_objects_is_not_complete(
    sandbox: SandboxServer, held: SandboxShop
) -> None:
    """The operation's own count is compared with the objects read."""
    held.bulk.set_plan(short_by=1)
    reading = await Reading(sandbox).run()
    assert not reading.report.complete
    assert "objects" in reading.report.warnings[0]


async def test_products_added_while_it_ran_are_no_gap(
    sandbox: SandboxServer, held: SandboxShop
) -> None:
    """The shop is asked for its count again, as after paging."""
    reading = Reading(sandbox)
    fetch = reading.api.fetch(
        reading.shop, SandboxTokens(sandbox), since=None, report=reading.report
    )
    reading.pages.append(await anext(fetch))
    held.append_products(3)
    reading.pages += [page async for page in fetch]
    reading.assert_whole()
    assert [page.kind for page in reading.pages][-1] == "shop"


@pytest.mark.parametrize("kind", ["truncate", "reset"])
@pytest.mark.parametrize("ranges", [True, False])
async def test_an_interrupted_download_is_resumed(
    sandbox: SandboxServer, held: SandboxShop, kind: str, ranges: bool
) -> None:
    """It resumes by a range, or skips the known bytes where the host has no ranges."""
    held.bulk.set_plan(ranges=ranges)
    sandbox.faults.set(
        [{"match": {"platform": "storage"}, "kind": kind, "at": "middle", "times": 1}]
    )
    reading = await Reading(sandbox, bulk_page_bytes=1000).run()
    reading.assert_whole()
    assert downloads(sandbox)[-1] == (206 if ranges else 200)
    assert reading.report.retries == 1


async def test_a_token_that_expires_while_polling_is_replaced(
    sandbox: SandboxServer, held: SandboxShop
) -> None:
    """Tokens live 60 minutes, and operations may take longer."""
    held.bulk.set_plan(polls=6)
    reading = Reading(sandbox)
    fetch = reading.api.fetch(
        reading.shop, SandboxTokens(sandbox), since=None, report=reading.report
    )
    reading.pages += [await anext(fetch), await anext(fetch)]
    assert reading.pages[-1].kind == "bulk_operation"
    held.credentials.rotate()
    reading.pages += [page async for page in fetch]
    reading.assert_whole()
    assert len(held.bulk.all()) == 1
    # The question for the variants' count may be under way when the token expires.
    assert sandbox.requests.shop("shopify", DOMAIN).statuses[401] in (1, 2)


async def test_an_operation_started_by_a_lost_answer_is_not_left_beside_ours(
    sandbox: SandboxServer, held: SandboxShop
) -> None:
    """When its answer is lost, the mutation is sent again, and it may have started two."""
    sandbox.faults.set([{"match": {"body_contains": "RunBulk"}, "kind": "truncate", "times": 1}])
    held.bulk.set_plan(polls=4)
    reading = await Reading(sandbox).run()
    reading.assert_whole()
    assert Counter(each.status for each in held.bulk.all()) == {"COMPLETED": 1, "CANCELED": 1}


async def test_a_killed_runs_operation_is_adopted_by_the_retry(
    sandbox: SandboxServer, held: SandboxShop
) -> None:
    """Its id is archived as soon as it is started, so no second one is started."""
    held.bulk.set_plan(polls=6)
    killed = Reading(sandbox)
    fetch = killed.api.fetch(killed.shop, SandboxTokens(sandbox), since=None, report=killed.report)
    killed.pages += [await anext(fetch), await anext(fetch)]
    await fetch.aclose()
    retry = await Reading(sandbox).run(killed.pages)
    retry.assert_whole()
    assert retry.pages[:2] == killed.pages
    assert len(held.bulk.all()) == 1
    assert retry.report.details["bulk_adopted"] is True


async def test_a_killed_runs_download_is_resumed_by_the_retry(
    sandbox: SandboxServer, held: SandboxShop
) -> None:
    """Archived pages are not downloaded again."""
    whole = await Reading(sandbox, bulk_page_bytes=1000).run()
    archived = whole.pages[:3]
    sandbox.requests.clear()
    retry = await Reading(sandbox, bulk_page_bytes=1000).run(archived)
    retry.assert_whole()
    assert retry.pages[:3] == archived
    assert len(held.bulk.all()) == 1
    # One byte to identify the file, and the rest of it.
    assert downloads(sandbox) == [206, 206]


async def test_archived_pages_of_another_file_are_not_resumed_from(
    sandbox: SandboxServer, held: SandboxShop
) -> None:
    """Another file is read whole, from its beginning."""
    whole = await Reading(sandbox, bulk_page_bytes=1000).run()
    archived = [
        RawPage(page.kind, page.body, {**page.facts, "etag": '"other"'})
        if page.kind == "bulk"
        else page
        for page in whole.pages[:3]
    ]
    retry = await Reading(sandbox, bulk_page_bytes=1000).run(archived)
    retry.assert_whole()
    assert len(held.bulk.all()) == 1
    assert downloads(sandbox)[-1] == 200


@pytest.mark.parametrize("change", ["ended", "query", "unknown"])
async def test_an_archived_operation_that_cannot_be_adopted_is_not_waited_for(
    sandbox: SandboxServer, held: SandboxShop, change: str
) -> None:
    """It was canceled meanwhile, is of another query, or is unknown to the shop.

    An operation of our query that the shop lists is adopted instead.
    """
    killed = Reading(sandbox)
    fetch = killed.api.fetch(killed.shop, SandboxTokens(sandbox), since=None, report=killed.report)
    shop, started = await anext(fetch), await anext(fetch)
    await fetch.aclose()
    facts = dict(started.facts)
    if change == "ended":
        held.bulk.all()[0].status = "CANCELED"
    elif change == "query":
        facts["query"] = "0" * 64
    else:
        facts["operation"] = "gid://shopify/BulkOperation/1"
    retry = await Reading(sandbox).run([shop, RawPage(started.kind, started.body, facts)])
    retry.assert_whole()
    canceled = {"CANCELED": 1} if change == "ended" else {}
    assert Counter(each.status for each in held.bulk.all()) == {"COMPLETED": 1, **canceled}
    assert retry.pages[1].facts["operation"] == held.bulk.all()[0].gid


async def test_a_retry_of_an_attempt_that_paged_pages_too(
    sandbox: SandboxServer, held: SandboxShop
) -> None:
    """It starts no operation, because its archived pages are of paging."""
    held.bulk.set_plan(outcome="CANCELED")
    first = await Reading(sandbox).run()
    retry = await Reading(sandbox).run(first.pages[:3])
    retry.assert_whole()
    assert len(held.bulk.all()) == 1
    assert retry.pages[:2] == first.pages[:2]


async def test_no_token_is_sent_to_the_host_of_the_result(sandbox: SandboxServer) -> None:
    """The sandbox's storage refuses a request with a token, and the result came."""
    await Reading(sandbox).run()
    assert downloads(sandbox) == [200]


async def test_a_result_elsewhere_is_not_fetched(sandbox: SandboxServer) -> None:
    """Shopify's answer names the host, and the settings list the allowed ones."""
    body = {
        "data": {
            "bulkOperation": {
                "id": "gid://shopify/BulkOperation/7000000000001",
                "status": "COMPLETED",
                "errorCode": None,
                "objectCount": "1",
                "rootObjectCount": "1",
                "url": "https://evil.example/bulk?X-Goog-Signature=s3cr3t",
                "partialDataUrl": None,
            }
        }
    }
    sandbox.faults.set([{"match": {"body_contains": "PollBulk"}, "kind": "body", "body": body}])
    with pytest.raises(InvalidResponse, match=r"evil\.example") as caught:
        await Reading(sandbox).run()
    assert "s3cr3t" not in "".join(traceback.format_exception(caught.value))


async def test_the_signed_url_is_archived_and_shown_nowhere(
    sandbox: SandboxServer, held: SandboxShop, caplog: pytest.LogCaptureFixture
) -> None:
    """The URL gives access to the whole catalog for a week."""
    caplog.set_level(logging.DEBUG)
    reading = await Reading(sandbox).run()
    signature = held.bulk.all()[0].signature
    shown = caplog.text + repr(reading.report) + repr(reading.pages)
    assert signature not in shown
    assert "X-Goog-Signature" not in shown


async def test_a_result_that_stays_out_of_reach_fails_and_may_be_retried(
    sandbox: SandboxServer, held: SandboxShop
) -> None:
    """The result of the operation stays for a week, so the shop is not paged instead."""
    sandbox.faults.set(
        [{"match": {"platform": "storage"}, "kind": "status", "status": 503, "times": None}]
    )
    failed = Reading(sandbox, max_retries=1)
    with pytest.raises(PlatformUnavailable, match="503"):
        await failed.run()
    sandbox.faults.clear()
    retry = await Reading(sandbox).run(failed.pages)
    retry.assert_whole()
    assert len(held.bulk.all()) == 1
