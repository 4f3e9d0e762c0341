"""The sandbox's events and short lists, played as Shopify's users report them."""

from typing import Any

import pytest

from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline_tests.sandbox.conftest import SandboxClient

DOMAIN = "events.myshopify.com"
EVENTS = """
query ($query: String, $first: Int!) {
  events(first: $first, query: $query, sortKey: CREATED_AT) {
    nodes { id createdAt ... on BasicEvent { action subjectId subjectType } }
    pageInfo { hasNextPage }
  }
}
"""
PATH = f"/sandbox/shops/shopify/{DOMAIN}"


@pytest.fixture
def ids(client: SandboxClient) -> list[int]:
    """The products of a shop of twelve, of which the third was deleted and one more was added."""
    shop = client.server.store.put(ShopSpec("shopify", DOMAIN, "m", "1", products=12))
    ids = [*shop.product_ids()]
    client.http.delete(f"{PATH}/products/{ids[2]}")
    client.http.post(f"{PATH}/products", json={"count": 1})
    return ids


def found(client: SandboxClient, query: str | None) -> list[dict[str, Any]]:
    answer = client.graphql(EVENTS, {"query": query, "first": 10}, domain=DOMAIN)
    return answer.json()["data"]["events"]["nodes"]


def test_a_deletion_through_the_control_api_is_an_event(
    client: SandboxClient, ids: list[int]
) -> None:
    """Terms are joined by AND, and a filter of time is compared."""
    gone = "action:destroy AND subject_type:PRODUCT"
    [event] = found(client, gone)
    assert event["subjectId"] == f"gid://shopify/Product/{ids[2]}"
    assert (event["action"], event["subjectType"]) == ("destroy", "PRODUCT")
    assert found(client, f"{gone} AND created_at:>='2026-01-01T00:00:00Z'") == [event]
    assert found(client, f"{gone} AND created_at:>='2126-01-01T00:00:00Z'") == []
    assert [each["action"] for each in found(client, None)] == ["destroy", "create"]


def test_an_unknown_filter_is_ignored_with_a_warning(client: SandboxClient, ids: list[int]) -> None:
    """So a reader that overlooks the warning takes all events for deletions."""
    answer = client.graphql(EVENTS, {"query": "verb:destroy", "first": 10}, domain=DOMAIN).json()
    assert len(answer["data"]["events"]["nodes"]) == 2
    assert answer["extensions"]["search"][0]["warnings"]
    assert ids


def test_lists_can_be_made_short_while_counts_stay_right(
    client: SandboxClient, ids: list[int]
) -> None:
    """Through the control API; an unknown way is refused."""
    assert client.http.put(f"{PATH}/short-lists", json={"hidden": [0, 1]}).status_code == 200
    query = "{ products(first: 50) { nodes { id } } productsCount { count } }"
    data = client.graphql(query, {}, domain=DOMAIN).json()["data"]
    assert (len(data["products"]["nodes"]), data["productsCount"]["count"]) == (10, 12)
    assert client.http.put(f"{PATH}/short-lists", json={"hide": 1}).status_code == 400
    assert ids
