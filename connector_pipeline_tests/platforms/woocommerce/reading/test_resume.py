"""Promises of a fetch that resumes from the pages of an interrupted attempt."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connector_pipeline.platforms.kit.contract import RawPage
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.edits import now
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline_tests.platforms.woocommerce.shop_reading import (
    ENDPOINTS,
    SMALL,
    WITHOUT_KEY,
    Reading,
)

SINCE = datetime(2026, 11, 20, 12, tzinfo=UTC)
LATER = SINCE + timedelta(hours=1)
SPEC = replace(SMALL, products=24)


def asked(sandbox: SandboxServer) -> list[str]:
    """Every question to the shop since the log was cleared, as one text each."""
    requests = sandbox.requests.requests(service="woocommerce", domain=SPEC.domain)
    return sorted(f"{each.path}?{each.query}" for each in requests if each.query != WITHOUT_KEY)


async def every_interruption(
    sandbox: SandboxServer, spec: Any, since: datetime | None, **settings: Any
) -> None:
    """Cut a reading off after each page and resume: the same pages, none asked for twice."""
    whole = Reading(sandbox, spec, **settings)
    sandbox.requests.clear()
    await whole.read(since)
    questions = asked(sandbox)
    for kept in range(1, len(whole.pages) + 1):
        sandbox.requests.clear()
        resumed = Reading(sandbox, spec, **settings)
        await resumed.read(since, archived=whole.pages[:kept])
        assert resumed.pages == whole.pages
        assert resumed.items() == whole.items()
        again = asked(sandbox)
        assert set(again) <= set(questions)
        assert len(again) <= len(questions) - kept
        assert (resumed.report.complete, resumed.report.currency) == (True, spec.currency)
        assert resumed.report.read_in_full == whole.report.read_in_full
        for name in ("products", "variations", "variations_endpoint", "read_in_full"):
            assert resumed.report.details.get(name) == whole.report.details.get(name)
    assert again == []


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_nothing_archived_is_asked_again(sandbox: SandboxServer, endpoint: str) -> None:
    """This holds after any page of a full reading, for each endpoint."""
    spec = replace(SPEC, **ENDPOINTS[endpoint])
    sandbox.store.put(spec)
    await every_interruption(sandbox, spec, None, batch_size=10)


async def test_a_shop_with_plain_permalinks_is_found_again_without_asking(
    sandbox: SandboxServer,
) -> None:
    """The REST root is among the facts of the first page."""
    spec = replace(SPEC, plain_permalinks=True)
    sandbox.store.put(spec)
    await every_interruption(sandbox, spec, None, batch_size=20)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("batch_size", [3, 100])
async def test_an_increment_goes_on_where_it_stopped(
    sandbox: SandboxServer, endpoint: str, batch_size: int
) -> None:
    """Its pages have changed products, their variations, other products, and one full reading."""
    spec = replace(SPEC, **ENDPOINTS[endpoint])
    shop = sandbox.store.put(spec)
    for number, product in enumerate(list(shop.products())):
        if number % 3 == 0:
            shop.edit_product(product.id, {}, at=LATER)
        for each in getattr(product, "variations", ()) if number % 2 else ():
            shop.edit_variant(each.id, {}, at=LATER)
    await every_interruption(sandbox, spec, SINCE, batch_size=batch_size)


async def test_a_page_read_in_parts_is_resumed_in_the_middle(sandbox: SandboxServer) -> None:
    """The rest of the page is read in the smaller size, and later pages in the usual one."""
    sandbox.store.put(SPEC)
    whole = Reading(sandbox, SPEC, batch_size=10)
    sandbox.faults.set(
        [
            {
                "match": {"path_contains": "/v3/products"},
                "kind": "status",
                "status": 504,
                "skip": 1,
                "times": 1,
            }
        ]
    )
    await whole.read()
    sandbox.faults.clear()
    sizes = [page.facts["per_page"] for page in whole.pages if page.kind == "products"]
    assert sizes[:3] == [5, 5, 10]
    resumed = Reading(sandbox, SPEC, batch_size=10)
    await resumed.read(archived=whole.pages[:1])
    assert resumed.pages == whole.pages


def published(shop: SandboxShop) -> list[int]:
    """The ids of the published products."""
    return [each for each in shop.product_ids() if shop.status(each) == "publish"]


@pytest.mark.parametrize("added", [False, True])
async def test_an_edit_between_the_attempts_loses_nothing(
    sandbox: SandboxServer, added: bool
) -> None:
    """A deleted product makes the list skip a live one, also where an added one hides it."""
    shop = sandbox.store.put(SPEC)
    first = Reading(sandbox, SPEC, batch_size=5)
    await first.read()
    shop.remove_product(published(shop)[0])
    if added:
        (new,) = shop.append_products(1, at=now())
        shop.edit_product(new, {"status": "publish"}, at=now())
    resumed = Reading(sandbox, SPEC, batch_size=5)
    await resumed.read(archived=first.pages[:2])
    assert (resumed.report.complete, resumed.report.all_read) == (False, True)
    assert {row["variant_id"] for row in resumed.expected()} <= {
        row["variant_id"] for row in resumed.items()
    }


@pytest.mark.parametrize("since", [None, SINCE], ids=["full", "incremental"])
async def test_pages_of_another_question_are_not_taken_for_answers(
    sandbox: SandboxServer, since: datetime | None
) -> None:
    """The archive may have pages of other settings, or pages of no question."""
    shop = sandbox.store.put(SPEC)
    shop.edit_product(shop.product_ids()[3], {}, at=LATER)
    drafts = Reading(sandbox, SPEC, statuses="draft", batch_size=10)
    await drafts.read(None if since else SINCE)
    strange = RawPage("products", b"[]", {"page": 1})
    for archived in (drafts.pages, [strange], [RawPage("other", b"")]):
        reading, fresh = (Reading(sandbox, SPEC, batch_size=10) for _ in range(2))
        await reading.read(since, archived=archived)
        await fresh.read(since)
        assert reading.items() == fresh.items()
        assert reading.report.complete
