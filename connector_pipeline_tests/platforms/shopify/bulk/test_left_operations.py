"""Promises about bulk operations that an earlier sync left, kept against the sandbox."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connector_pipeline.platforms.shopify.bulk.operation import LAST_OPERATION
from connector_pipeline.platforms.shopify.bulk.queries import CATALOG
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shopify.bulk_operations import BulkOperation
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline_tests.platforms.shopify.bulk.test_export import (
    DOMAIN,
    SPEC,
    Reading,
    SandboxTokens,
)

THEIRS = "{ products { edges { node { id } } } }"


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer(()) as server:
        server.store.put(SPEC)
        yield server


@pytest.fixture
def held(sandbox: SandboxServer) -> SandboxShop:
    return sandbox.store.shop("shopify", DOMAIN)


async def left_by_an_earlier_sync(
    sandbox: SandboxServer, held: SandboxShop, **plan: Any
) -> BulkOperation:
    """An operation that a sync started and then left."""
    held.bulk.set_plan(**plan)
    killed = Reading(sandbox)
    fetch = killed.api.fetch(killed.shop, SandboxTokens(sandbox), since=None, report=killed.report)
    killed.pages += [await anext(fetch), await anext(fetch)]
    await fetch.aclose()
    held.bulk.set_plan(polls=2, outcome="COMPLETED")
    [left] = held.bulk.all()
    return left


def completed(held: SandboxShop, left: BulkOperation, ago: timedelta) -> None:
    """End the operation, as Shopify does without being asked."""
    while left.status != "COMPLETED":
        held.bulk.poll(left.gid)
    left.completed_at = datetime.now(UTC) - ago


@pytest.mark.parametrize("status", ["CREATED", "RUNNING", "COMPLETED"])
async def test_an_operation_of_an_earlier_sync_is_adopted(
    sandbox: SandboxServer, held: SandboxShop, status: str
) -> None:
    """No second one is started, and the data are said to be of the time when it was created."""
    left = await left_by_an_earlier_sync(sandbox, held, polls=3)
    left.created_at -= timedelta(minutes=50)
    left.status = "CREATED" if status == "COMPLETED" else status
    if status == "COMPLETED":
        completed(held, left, timedelta(minutes=10))
    reading = await Reading(sandbox).run()
    reading.assert_whole()
    assert held.bulk.all() == [left]
    report = reading.report
    assert report.details["bulk_adopted"] is True
    assert report.as_of == left.created_at - timedelta(minutes=1)
    assert report.learned[LAST_OPERATION] == left.gid


async def test_a_retry_knows_that_its_operation_is_of_an_earlier_sync(
    sandbox: SandboxServer, held: SandboxShop
) -> None:
    """The time of the data is in the page facts, so a resumed sync has it, too."""
    left = await left_by_an_earlier_sync(sandbox, held)
    left.created_at -= timedelta(minutes=5)
    first = await Reading(sandbox).run()
    retry = await Reading(sandbox).run(first.pages[:2])
    retry.assert_whole()
    assert retry.pages == first.pages
    assert retry.report.as_of == first.report.as_of == left.created_at - timedelta(minutes=1)


@pytest.mark.parametrize("why", ["published", "older than the catalog", "stale", "too old"])
async def test_what_must_not_be_published_is_not_adopted(
    sandbox: SandboxServer, held: SandboxShop, why: str
) -> None:
    """A new operation is started, and one that still runs is cancelled."""
    left = await left_by_an_earlier_sync(sandbox, held, polls=3)
    reading = Reading(sandbox)
    match why:
        case "published":
            completed(held, left, timedelta(minutes=1))
            reading.report.learned[LAST_OPERATION] = left.gid
        case "older than the catalog":
            reading.report.published_at = left.created_at + timedelta(seconds=1)
        case "stale":
            completed(held, left, timedelta(hours=2))
        case _:
            left.created_at -= timedelta(hours=4)
    await reading.run()
    reading.assert_whole()
    assert len(held.bulk.all()) == 2
    assert reading.report.as_of is None
    assert left.status == ("COMPLETED" if why in ("published", "stale") else "CANCELED")


async def test_operations_of_other_queries_are_left_alone(
    sandbox: SandboxServer, held: SandboxShop
) -> None:
    """White space in a query makes no difference."""
    held.bulk.set_plan(outcome="STALLED")
    theirs = held.bulk.start(THEIRS, lambda result: result.finish(), "")
    held.bulk.set_plan(outcome="COMPLETED")
    ours = held.bulk.start(CATALOG.replace("\n", "  \n"), lambda result: result.finish(), "")
    assert ours is not None
    assert theirs is not None
    ours.created_at -= timedelta(hours=3)
    reading = await Reading(sandbox).run()
    reading.assert_whole()
    assert (ours.status, theirs.status) == ("CANCELED", "CREATED")
    assert reading.report.details["bulk_cancelled"] == 1


def listed(*nodes: Any) -> dict[str, Any]:
    body = {"data": {"bulkOperations": {"nodes": list(nodes)}}}
    return {"match": {"body_contains": "query ListBulk"}, "kind": "body", "body": body}


@pytest.mark.parametrize(
    "node",
    [
        {"id": "gid://shopify/BulkOperation/1", "status": "PAUSED", "query": THEIRS},
        {"id": "gid://shopify/BulkOperation/1", "status": None, "query": THEIRS},
        {"id": "gid://shopify/BulkMutation/1", "status": "RUNNING", "query": THEIRS},
        {"id": None, "status": "RUNNING", "query": "mutation { x }"},
        {"id": 12, "status": "RUNNING", "query": CATALOG},
        {"status": "RUNNING"},
        "none",
        None,
    ],
)
async def test_an_odd_operation_in_the_list_fails_nothing(
    sandbox: SandboxServer, node: Any
) -> None:
    """It is somebody else's, and not ours to judge."""
    sandbox.faults.set([listed(node)])
    reading = await Reading(sandbox).run()
    reading.assert_whole()
    assert "bulk" in reading.kinds


async def test_a_list_of_no_form_fails_nothing(sandbox: SandboxServer) -> None:
    """Then no operation is known to be left."""
    fault = listed() | {"body": {"data": {"bulkOperations": None}}}
    sandbox.faults.set([fault])
    reading = await Reading(sandbox).run()
    reading.assert_whole()


def polled(status: Any, times: int | None = 3) -> dict[str, Any]:
    node = {
        "id": "gid://shopify/BulkOperation/7000000000001",
        "status": status,
        "objectCount": "0",
        "rootObjectCount": "0",
    }
    match = {"body_contains": "query PollBulk"}
    return {
        "match": match,
        "kind": "body",
        "times": times,
        "body": {"data": {"bulkOperation": node}},
    }


@pytest.mark.parametrize("status", ["QUEUED", "PAUSED", None, 7])
async def test_an_unknown_status_of_our_operation_is_waited_for(
    sandbox: SandboxServer, held: SandboxShop, status: Any
) -> None:
    """A newer version of Shopify may have more words for one that is under way."""
    sandbox.faults.set([polled(status)])
    reading = await Reading(sandbox).run()
    reading.assert_whole()
    assert "bulk" in reading.kinds
    assert Counter(each.status for each in held.bulk.all()) == {"COMPLETED": 1}


async def test_an_unknown_status_that_stays_is_waited_for_until_patience_ends(
    sandbox: SandboxServer, held: SandboxShop
) -> None:
    """Then the operation is cancelled and the shop is read by pages."""
    sandbox.faults.set([polled("PAUSED", None)])
    reading = await Reading(sandbox, bulk_stalled_after=0.05).run()
    reading.assert_whole()
    assert "stood still" in reading.report.warnings[0]
    assert [each.status for each in held.bulk.all()] == ["CANCELING"]


@pytest.mark.parametrize("document", ["mutation RunBulk", "query ListBulk"])
async def test_an_app_that_may_run_no_bulk_operation_reads_by_pages(
    sandbox: SandboxServer, document: str
) -> None:
    """The permission is one of its own (docs/facts/shopify.md, Bulk operations)."""
    denied = {
        "errors": [{"message": "Access denied", "extensions": {"code": "ACCESS_DENIED"}}],
        "data": None,
    }
    sandbox.faults.set(
        [{"match": {"body_contains": document}, "kind": "body", "body": denied, "times": None}]
    )
    reading = await Reading(sandbox).run()
    reading.assert_whole()
    assert "Shopify refuses bulk operations" in reading.report.warnings[0]
