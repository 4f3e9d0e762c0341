"""Promises about a list of all variations that the shop fails with.

The lists by product never meet an orphan, so they are read in its place.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connector_pipeline.platforms.kit.contract import FetchReport
from connector_pipeline.platforms.woocommerce.reading.endpoints import Endpoints
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline_tests.platforms.woocommerce.shop_reading import (
    ALL_VARIATIONS,
    ANALYTICS,
    BY_PARENT,
    SMALL,
    Reading,
)

SINCE = datetime(2026, 11, 20, 12, tzinfo=UTC)
LATER = SINCE + timedelta(hours=1)
OLD = replace(
    SMALL,
    domain="old.example",
    products=60,
    variants=(3, 3),
    awkward=False,
    root_variations=False,
    orphans_break_analytics=True,
)
"""A shop of WooCommerce 8.4.0: its wc-analytics answers 500 for pages with orphans."""


def put(sandbox: SandboxServer, orphaned: int, *, step: int = 4, **spec: Any) -> tuple[Any, Any]:
    """A shop like OLD, after this many variable products lost their row: every `step`-th."""
    made = replace(OLD, **spec)
    shop = sandbox.store.put(made)
    for product_id in shop.product_ids()[3 :: max(1, step)][:orphaned]:
        assert shop.orphan_variations_of(product_id)
    return made, shop


def published(shop: SandboxShop) -> list[int]:
    """The ids of the published products."""
    return [each for each in shop.product_ids() if shop.status(each) == "publish"]


def after(earlier: Reading, spec: ShopSpec, **settings: Any) -> Reading:
    """The next sync, which knows what the earlier one learned."""
    reading = Reading(earlier.sandbox, spec, **settings)
    reading.report = FetchReport(
        page_sizes=dict(earlier.report.page_sizes), learned=dict(earlier.report.learned)
    )
    return reading


@pytest.mark.parametrize("batch_size", [100, 20])
@pytest.mark.parametrize(
    ("orphaned", "step"), [(1, 1), (2, 4), (4, 4), (4, 1), (12, 4)], ids="{}".format
)
async def test_orphans_that_break_wc_analytics_cost_a_request_a_product(
    sandbox: SandboxServer, orphaned: int, step: int, batch_size: int
) -> None:
    """The catalog is whole and complete in one reading, and the next one meets no failure."""
    spec, shop = put(sandbox, orphaned, step=step)
    first = Reading(sandbox, spec, max_retries=3, batch_size=batch_size)
    await first.read()
    assert first.items() == first.expected()
    assert (first.report.complete, first.report.warnings) == (True, [])
    assert first.report.details["variations_endpoint"] == BY_PARENT
    assert "answered 500" in str(first.report.details["variations_read_by_product"])
    parents = len(published(shop))
    pages = -(-parents // batch_size)
    assert first.report.requests <= 2 + pages + 1 + 24 + parents
    assert first.report.retries <= 2
    sandbox.requests.clear()
    second = after(first, spec, batch_size=batch_size)
    await second.read()
    assert second.items() == second.expected()
    assert second.report.requests == 2 + pages + parents
    assert (second.report.complete, second.report.retries) == (True, 0)
    assert ANALYTICS not in second.paths()


async def test_a_variation_that_came_before_the_failure_is_one_item(
    sandbox: SandboxServer,
) -> None:
    """The list fails with its third page, and the lists by product repeat the first two."""
    spec, shop = put(sandbox, 0)
    shop.orphan_variations_of(shop.product_ids()[20])
    reading = Reading(sandbox, spec, batch_size=20, max_concurrency=1)
    await reading.read()
    kinds = [page.facts["endpoint"] for page in reading.pages]
    assert ANALYTICS in kinds
    assert kinds[-1] == BY_PARENT
    assert reading.items() == reading.expected()
    assert len({row["variant_id"] for row in reading.items()}) == len(reading.items())
    rows = list(reading.api.rows(reading.shop, "SEK", reading.pages))
    assert len(rows) == len(reading.items())


async def test_a_list_is_looked_at_again_after_a_week(sandbox: SandboxServer) -> None:
    """A merchant may have removed the orphans, and the list of all variations is cheaper."""
    spec, _ = put(sandbox, 4)
    reading = Reading(sandbox, spec)
    await reading.read()
    week_ago = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    reading.report.learned["variations_endpoint"] = {"look_again_at": week_ago}
    again = after(reading, spec)
    await again.read()
    assert again.items() == again.expected()
    assert again.report.details["variations_endpoint"] == BY_PARENT
    assert Endpoints(learned=again.report.learned).whole_list_fails
    again.report.learned["variations_endpoint"] = {"look_again_at": week_ago}
    sandbox.store.put(spec)
    repaired = after(again, spec)
    await repaired.read()
    assert repaired.items() == repaired.expected()
    assert repaired.report.details["variations_endpoint"] == ANALYTICS
    assert "variations_endpoint" not in repaired.report.learned


@pytest.mark.parametrize(
    "written",
    [None, 5, {}, {"look_again_at": "soon"}, {"look_again_at": 5}, {"look_again_at": "2999-01-01"}],
)
def test_what_cannot_be_read_in_the_memory_is_not_known(written: Any) -> None:
    """Then the shop is asked."""
    assert not Endpoints(learned={"variations_endpoint": written}).whole_list_fails


async def test_changes_are_still_listed_where_the_whole_list_fails(
    sandbox: SandboxServer,
) -> None:
    """No orphan changed, so an increment costs no more than in another shop."""
    spec, shop = put(sandbox, 4)
    full = Reading(sandbox, spec)
    await full.read()
    changed = published(shop)[0]
    shop.edit_variant(shop.variant_ids(changed)[0], {"stock_quantity": 77}, at=LATER)
    sandbox.requests.clear()
    increment = after(full, spec)
    await increment.read(SINCE)
    assert [row["inventory"] for row in increment.items()] == [77]
    assert (increment.report.complete, increment.report.read_in_full) == (True, False)
    # The lengths of the two lists cost two of them.
    assert increment.report.requests <= 8
    assert Endpoints(learned=increment.report.learned).whole_list_fails


@pytest.mark.parametrize("batch_size", [100, 5])
async def test_a_changed_orphan_makes_an_increment_read_all(
    sandbox: SandboxServer, batch_size: int
) -> None:
    """Also where the list of changes fails only after some of its pages."""
    spec, shop = put(sandbox, 0)
    for product_id in published(shop)[:8]:
        for variation_id in shop.variant_ids(product_id):
            shop.edit_variant(variation_id, {"stock_quantity": 5, "manage_stock": True}, at=LATER)
    lost = shop.product_ids()[30]
    shop.edit_variant(shop.variant_ids(lost)[0], {"stock_quantity": 5}, at=LATER)
    shop.orphan_variations_of(lost)
    reading = Reading(sandbox, spec, batch_size=batch_size, max_concurrency=1)
    await reading.read(SINCE)
    report = reading.report
    assert (report.complete, report.read_in_full) == (True, True)
    assert "the shop fails with the list of its changed variations" in str(
        report.details["read_in_full"]
    )
    last = {row["variant_id"]: row for row in reading.items()}
    assert list(last.values()) == reading.expected()
    assert ALL_VARIATIONS in reading.paths()
    assert Endpoints(learned=report.learned).whole_list_fails


@pytest.mark.parametrize(("broken", "endpoint"), [(1, ALL_VARIATIONS), (4, BY_PARENT)])
async def test_a_few_broken_variations_do_not_cost_the_list_of_all(
    sandbox: SandboxServer, broken: int, endpoint: str
) -> None:
    """/wc/v3/variations leaves orphans out itself. With many broken objects it is given up."""
    spec = replace(OLD, root_variations=True, domain="new.example")
    shop = sandbox.store.put(spec)
    for product_id in published(shop)[5 : 5 + 6 * broken : 6]:
        shop.broken[shop.variant_ids(product_id)[1]] = "price"
    reading = Reading(sandbox, spec)
    await reading.read()
    assert reading.report.details["variations_endpoint"] == endpoint
    assert len(reading.report.details["broken_objects"]) == broken  # type: ignore[arg-type]
    assert len(reading.items()) == len(reading.expected()) - broken
    assert not reading.report.complete
