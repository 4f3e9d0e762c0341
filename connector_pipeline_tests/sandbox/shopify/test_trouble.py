"""Promises of the troubles that a shop can be given: they look as Shopify's own."""

from typing import Any

import pytest

from connector_pipeline_tests.sandbox.conftest import SHOPIFY, SandboxClient

TROUBLE = f"shops/shopify/{SHOPIFY}/trouble"
PAGE = """query ($first: Int!) {
  products(first: $first) {
    nodes { id title featuredMedia { id } variants(first: 1) { nodes { id } } }
  }
}"""


def give(client: SandboxClient, **trouble: Any) -> None:
    assert client.control("PUT", TROUBLE, trouble).status_code == 200


def first_product(client: SandboxClient) -> str:
    found = client.graphql(PAGE, {"first": 1}).json()["data"]["products"]["nodes"][0]
    return found["id"].rsplit("/", 1)[-1]


@pytest.mark.parametrize(
    ("how", "status", "errors"),
    [
        ("504", 504, None),
        ("500", 500, None),
        ("Timeout", 200, [{"message": "Timeout"}]),
        ("INTERNAL_SERVER_ERROR", 200, "INTERNAL_SERVER_ERROR"),
    ],
)
def test_a_heavy_page_fails_and_a_smaller_one_comes(
    client: SandboxClient, how: str, status: int, errors: Any
) -> None:
    """The limit itself can be borne."""
    give(client, heavy={"first": 2, "how": how})
    assert len(client.graphql(PAGE, {"first": 2}).json()["data"]["products"]["nodes"]) == 2
    answer = client.graphql(PAGE, {"first": 3})
    assert answer.status_code == status
    if isinstance(errors, list):
        assert answer.json()["errors"] == errors
    elif errors:
        assert answer.json()["errors"][0]["extensions"] == {"code": errors}


def test_a_field_that_may_be_null_is_null_beside_its_error(client: SandboxClient) -> None:
    """The other products and fields are there."""
    give(client, partial={"product": first_product(client), "field": "featuredMedia"})
    body = client.graphql(PAGE, {"first": 2}).json()
    failed, other = body["data"]["products"]["nodes"]
    assert failed["title"]
    assert failed["featuredMedia"] is None
    assert other["featuredMedia"]
    (error,) = body["errors"]
    assert error["path"] == ["products", "nodes", 0, "featuredMedia"]
    assert "extensions" not in error


def test_a_field_that_cannot_be_null_makes_null_what_is_around_it(client: SandboxClient) -> None:
    """Of a product's title that is everything, as in Shopify's own schema."""
    failing = first_product(client)
    give(client, partial={"product": failing, "field": "title", "code": "OOPS"})
    body = client.graphql(PAGE, {"first": 2}).json()
    assert body["data"] is None
    assert body["errors"][0]["path"] == ["products", "nodes", 0, "title"]
    assert body["errors"][0]["extensions"] == {"code": "OOPS"}
    product = "query ($id: ID!) { product(id: $id) { title } shop { id } }"
    gid = f"gid://shopify/Product/{failing}"
    body = client.graphql(product, {"id": gid}).json()
    assert body["data"]["product"] is None
    assert body["data"]["shop"]


def test_a_shop_may_answer_as_another(client: SandboxClient) -> None:
    """As through an alias or a proxy that leads elsewhere."""
    give(client, answers_as="other.myshopify.com")
    body = client.graphql("{ shop { myshopifyDomain } }").json()
    assert body["data"]["shop"]["myshopifyDomain"] == "other.myshopify.com"


@pytest.mark.parametrize(
    "trouble",
    [
        {"light": {}},
        {"heavy": {"how": "slowly"}},
        {"heavy": {"last": 3}},
        {"partial": {"field": "title"}},
        {"partial": {"field": "title", "product": 1, "variant": 2}},
        {"partial": {"product": 1}},
    ],
)
def test_a_trouble_that_no_shop_can_have_is_refused(client: SandboxClient, trouble: Any) -> None:
    """With the reason, and the shop stays as it was."""
    answer = client.control("PUT", TROUBLE, trouble)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert client.graphql(PAGE, {"first": 3}).status_code == 200
