"""Whatever JSON Shopify answers, each reader of it ends in a value or in an InvalidResponse."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.http.client import Answer
from connector_pipeline.platforms.http.json_body import parse_json
from connector_pipeline.platforms.kit.contract import FetchReport
from connector_pipeline.platforms.shopify.bulk.left import list_operations
from connector_pipeline.platforms.shopify.bulk.operation import BulkOperations, BulkPatience
from connector_pipeline.platforms.shopify.bulk.queries import CATALOG, query_digest
from connector_pipeline.platforms.shopify.reading.chains import ProductsPage, variants_page
from connector_pipeline.platforms.shopify.reading.counts import counted_products
from connector_pipeline.platforms.shopify.reading.shop_page import ShopPage
from connector_pipeline.platforms.shopify.throttle import (
    PointBudget,
    actual_points,
    requested_points,
)
from connector_pipeline.platforms.shopify.times import time_of
from connector_pipeline_tests.any_json import any_json, near

GID: Final = "gid://shopify/BulkOperation/7"
_PAGE_INFO: Final = {"hasNextPage": False, "endCursor": "c"}
_VARIANTS: Final = {"pageInfo": _PAGE_INFO, "nodes": [{"id": "gid://shopify/ProductVariant/3"}]}
_PRODUCT: Final = {"id": "gid://shopify/Product/5", "title": "Cup", "variants": _VARIANTS}
PRODUCTS: Final = {"products": {"pageInfo": _PAGE_INFO, "nodes": [_PRODUCT]}}
SHOP: Final = {"shop": {"currencyCode": "SEK"}, "productsCount": {"count": 3, "precision": "EXACT"}}
OPERATION: Final = {
    "id": GID, "status": "COMPLETED", "errorCode": None, "objectCount": "7", "rootObjectCount": "3",
    "createdAt": "2026-11-01T00:00:00Z", "url": "https://x/", "partialDataUrl": None,
    "query": CATALOG, "completedAt": "2026-11-01T00:01:00Z",
}  # fmt: skip
COST: Final = {
    "requestedQueryCost": 101, "actualQueryCost": 9.5,
    "throttleStatus": {"maximumAvailable": 2000.0, "currentlyAvailable": 5, "restoreRate": 100.0},
}  # fmt: skip


class Asked:
    """A client that gives the same answer to every question."""

    def __init__(self, body: Any):
        # As the client has it: parsed from bytes, fractions as Decimal.
        sent = json.dumps(body).encode()
        self._answer = Answer(200, {}, sent, parse_json(sent))
        self.asked = 0

    async def ask(self, document: str, variables: Any) -> Answer:
        self.asked += 1
        return self._answer

    ask_aside = ask


def ends_well(read: Callable[[], Any]) -> Any:
    """The value of `read`, None for an InvalidResponse with a short text."""
    try:
        return read()
    except InvalidResponse as error:
        refusal = str(error)
    assert len(refusal) < 1_500
    return None


@given(near(SHOP))
def test_any_answer_about_the_shop_has_a_currency_or_is_refused(data: Any) -> None:
    page = ends_well(lambda: ShopPage.of(data))
    if page is not None:
        assert len(page.currency) == 3
        assert page.missing(3) >= 0
        page.disagreement(3)


@given(near(PRODUCTS))
def test_any_page_of_products_is_read_or_refused(data: Any) -> None:
    page = ends_well(lambda: ProductsPage.of(data))
    assert page is None or all(product.number.isdigit() for product in page.products)


@given(near({"product": _PRODUCT}))
def test_any_page_of_variants_is_read_or_refused(data: Any) -> None:
    page = ends_well(lambda: variants_page(data, "5"))
    assert page is None or page.variants >= 0


@given(near(COST))
def test_any_cost_leads_to_a_wait_of_some_seconds_or_to_none(cost: Any) -> None:
    requested = requested_points(cost)
    assert requested is None or abs(requested) < 1e12
    assert abs(actual_points(cost)) < 1e12
    status = cost.get("throttleStatus") if isinstance(cost, dict) else cost
    budget = PointBudget.from_throttle_status(status, learned_at=0.0)
    assert budget is None or budget.seconds_until(requested or 0.0, 1.0) >= 0


@given(any_json() | st.text("0123456789-:TZ.+ W", max_size=30))
def test_any_time_has_a_zone_or_is_none(written: Any) -> None:
    time = time_of(written)
    assert time is None or time.tzinfo is not None


@given(near({"data": {"bulkOperation": OPERATION}}))
def test_any_poll_states_an_operation_or_is_refused(body: Any) -> None:
    operations = BulkOperations(Asked(body), CATALOG, patience=BulkPatience(), report=FetchReport())
    found = ends_well(lambda: asyncio.run(operations.poll(GID)))
    assert found is None or (found.gid == GID and found.objects >= 0)


@given(near({"data": {"bulkOperations": {"nodes": [OPERATION]}}}))
def test_any_list_of_operations_is_read(body: Any) -> None:
    """An operation that is not ours, or has another form, is passed over."""
    listed = asyncio.run(list_operations(Asked(body), query_digest(CATALOG)))
    adopted = listed.adoptable(
        newer_than=datetime(2026, 1, 1, tzinfo=UTC),
        published=None,
        longest=timedelta(hours=2),
        within=timedelta(hours=1),
    )
    assert adopted is None or adopted.gid.startswith("gid://shopify/BulkOperation/")


@given(
    near(
        {
            "data": {
                "products": {
                    "nodes": [{"id": "gid://shopify/Product/5", "variantsCount": {"count": 2}}],
                    "pageInfo": {"hasNextPage": False, "endCursor": "c"},
                }
            }
        }
    )
)
def test_any_counts_end(body: Any) -> None:
    """Also where the answer to every page is the same one."""
    client = Asked(body)

    async def counted() -> int:
        return len(
            [each async for each in counted_products(client, expected=10, newest_first=True)]
        )

    with suppress(InvalidResponse):
        assert asyncio.run(counted()) <= 2 * client.asked
    assert client.asked <= 2
