"""The sandbox runs, counts, lists, signs and serves bulk operations as Shopify does."""

import json
import time
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from connector_pipeline_tests.sandbox.conftest import SHOPIFY, SandboxClient

CATALOG = """{ products { edges { node { id title featuredMedia { preview { image { url } } }
  variants { edges { node { id price image { url } } } } } } } }"""
RUN = """mutation ($query: String!) { bulkOperationRunQuery(query: $query) {
  bulkOperation { id status } userErrors { code field message } } }"""
POLL = """query ($id: ID!) { bulkOperation(id: $id) {
  status errorCode objectCount rootObjectCount fileSize url partialDataUrl } }"""
LIST = "{ bulkOperations(first: 10) { nodes { id status query } } }"
CANCEL = """mutation ($id: ID!) { bulkOperationCancel(id: $id) {
  bulkOperation { id status } userErrors { field message } } }"""
PATIENCE = 240.0


def start(client: SandboxClient, query: str = CATALOG) -> Any:
    answer = client.graphql(RUN, {"query": query}).json()
    return answer["data"]["bulkOperationRunQuery"]


def poll(client: SandboxClient, gid: str) -> dict[str, Any]:
    return client.graphql(POLL, {"id": gid}).json()["data"]["bulkOperation"]


def ended(client: SandboxClient, gid: str) -> dict[str, Any]:
    """The operation after its end."""
    until = time.monotonic() + PATIENCE
    while (answer := poll(client, gid))["status"] in ("CREATED", "RUNNING", "CANCELING"):
        assert time.monotonic() < until
    return answer


def completed(client: SandboxClient) -> dict[str, Any]:
    return ended(client, start(client)["bulkOperation"]["id"])


def test_a_result_holds_the_whole_catalog_children_after_parents_in_no_group(
    client: SandboxClient,
) -> None:
    """The lines are JSONL with escaped slashes. The counts are text and agree with the lines."""
    answer = completed(client)
    body = client.http.get(answer["url"]).content
    assert b"gid:\\/\\/shopify\\/Product\\/" in body
    assert b"gid://" not in body
    lines = [json.loads(line) for line in body.splitlines()]
    shop = client.server.store.shop("shopify", SHOPIFY)
    products = [line for line in lines if "__parentId" not in line]
    children = [line for line in lines if "__parentId" in line]
    assert answer["objectCount"] == str(len(lines))
    assert answer["rootObjectCount"] == str(len(products)) == "60"
    assert answer["fileSize"] == str(len(body))
    assert len(children) == sum(len(shop.variant_ids(each)) for each in shop.product_ids())
    seen: set[str] = set()
    for line in lines:
        assert line.get("__parentId", line["id"]) in {*seen, line["id"]}
        seen.add(line["id"])
    parents = [line["__parentId"] for line in children]
    groups = sum(one != other for one, other in pairwise(parents)) + 1
    assert groups > len(set(parents))
    assert set(products[0]) == {"id", "title", "featuredMedia"}


def test_an_operation_moves_on_as_it_is_polled_and_costs_little(client: SandboxClient) -> None:
    """The mutation costs 10 points, a poll 1."""
    client.control("PUT", f"shops/shopify/{SHOPIFY}/bulk", {"polls": 3})
    answer = client.graphql(RUN, {"query": CATALOG}).json()
    assert answer["extensions"]["cost"]["requestedQueryCost"] == 10
    operation = answer["data"]["bulkOperationRunQuery"]["bulkOperation"]
    assert operation["status"] == "CREATED"
    polled = client.graphql(POLL, {"id": operation["id"]}).json()
    assert polled["extensions"]["cost"]["requestedQueryCost"] == 1
    assert polled["data"]["bulkOperation"]["status"] == "RUNNING"
    assert polled["data"]["bulkOperation"]["url"] is None
    assert ended(client, operation["id"])["status"] == "COMPLETED"


def test_five_run_at_once(client: SandboxClient) -> None:
    """A userError refuses the sixth; the end of a cancelled one lets another start."""
    client.control("PUT", f"shops/shopify/{SHOPIFY}/bulk", {"outcome": "STALLED"})
    started = [start(client)["bulkOperation"]["id"] for _ in range(5)]
    refused = start(client)
    assert refused["bulkOperation"] is None
    assert refused["userErrors"][0]["code"] == "OPERATION_IN_PROGRESS"
    listed = client.graphql(LIST).json()["data"]["bulkOperations"]["nodes"]
    assert [each["id"] for each in listed] == started[::-1]
    assert {each["query"] for each in listed} == {CATALOG}
    cancelled = client.graphql(CANCEL, {"id": started[0]}).json()["data"]["bulkOperationCancel"]
    assert cancelled["bulkOperation"]["status"] == "CANCELING"
    assert poll(client, started[0])["status"] == "CANCELED"
    assert start(client)["userErrors"] == []
    again = client.graphql(CANCEL, {"id": started[0]}).json()["data"]["bulkOperationCancel"]
    assert "cannot be canceled" in again["userErrors"][0]["message"]


@pytest.mark.parametrize(
    ("plan", "status", "error", "partial"),
    [
        ({"outcome": "FAILED", "error_code": "TIMEOUT"}, "FAILED", "TIMEOUT", False),
        (
            {"outcome": "FAILED", "error_code": "INTERNAL_SERVER_ERROR", "partial": True},
            "FAILED",
            "INTERNAL_SERVER_ERROR",
            True,
        ),
        ({"outcome": "CANCELED"}, "CANCELED", None, False),
        ({"outcome": "EXPIRED"}, "EXPIRED", None, False),
        ({"no_url": True}, "COMPLETED", None, False),
    ],
)
def test_every_outcome_can_be_played(
    client: SandboxClient, plan: dict[str, Any], status: str, error: str | None, partial: bool
) -> None:
    """The controls set it for the operations that start from then on."""
    shown = client.control("PUT", f"shops/shopify/{SHOPIFY}/bulk", plan).json()
    assert shown["plan"]["outcome"] == plan.get("outcome", "COMPLETED")
    answer = completed(client)
    assert (answer["status"], answer["errorCode"], answer["url"]) == (status, error, None)
    assert (answer["partialDataUrl"] is not None) is partial
    operations = client.control("GET", f"shops/shopify/{SHOPIFY}/bulk").json()["operations"]
    assert [each["status"] for each in operations] == [status]


@pytest.mark.parametrize("plan", [{"outcome": "MAYBE"}, {"colour": 1}])
def test_a_plan_that_cannot_be_followed_is_refused(
    client: SandboxClient, plan: dict[str, Any]
) -> None:
    """The error names the fault."""
    answer = client.control("PUT", f"shops/shopify/{SHOPIFY}/bulk", plan)
    assert answer.status_code == 400
    assert answer.json()["error"]


@pytest.mark.parametrize(
    "query",
    [
        "{ shop { name } }",
        "{ products { nodes { id } } }",
        "{ products { edges { node { title variants { edges { node { id } } } } } } }",
        "{ products { edges { node { id colour } } } }",
        "{ products { edges { node { id",
        "mutation { bulkOperationCancel(id: 1) { userErrors { message } } }",
        "{ products { edges { cursor } } }",
    ],
)
def test_a_query_that_is_no_bulk_query_is_a_user_error(client: SandboxClient, query: str) -> None:
    """It must have a connection, in the form `edges { node }`, and parents with their id."""
    refused = start(client, query)
    assert refused["bulkOperation"] is None
    assert refused["userErrors"][0]["code"] == "INVALID"


def test_a_link_is_good_for_ranges_and_for_nobody_without_its_signature(
    client: SandboxClient,
) -> None:
    """ETag, 206, 416, and 403 for another signature are those of storage.googleapis.com."""
    url = completed(client)["url"]
    whole = client.http.get(url)
    part = client.http.get(url, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(whole.content)}"
    assert part.headers["etag"] == whole.headers["etag"]
    other = client.http.get(url, headers={"Range": "bytes=10-", "If-Range": '"other"'})
    assert (other.status_code, other.content) == (200, whole.content)
    beyond = client.http.get(url, headers={"Range": f"bytes={len(whole.content)}-"})
    assert beyond.status_code == 416
    assert client.http.get(url[:-1]).status_code == 403
    assert client.http.get(url.replace(".jsonl", ".json")).status_code == 404


def test_a_token_at_the_storage_is_refused(client: SandboxClient) -> None:
    """Shopify's token must not go to another host."""
    url = completed(client)["url"]
    for header in ("X-Shopify-Access-Token", "Authorization"):
        assert client.http.get(url, headers={header: "shpat_x"}).status_code == 400
    paths = Counter(each.service for each in client.server.requests.requests())
    assert paths["storage"] == 2
    assert all("Signature" not in each.query for each in client.server.requests.requests())


def test_the_same_shop_gives_the_same_result(client: SandboxClient) -> None:
    """The shop's seed decides the order."""
    first, second = (client.http.get(completed(client)["url"]).content for _ in range(2))
    assert first == second
