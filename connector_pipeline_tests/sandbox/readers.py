"""Truthful readers, written against the platforms' documentation and not against the sandbox."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from connector_pipeline_tests.sandbox.conftest import SandboxClient

Row = tuple[
    str, str, str, str, str | None, Decimal | None, int | None, str | None, str, datetime, bool
]

PRODUCTS = """
query ($after: String) {
  products(first: 50, after: $after) {
    nodes {
      id title status publishedAt createdAt updatedAt
      featuredMedia { preview { image { url } } }
      variants(first: 2) { nodes { ...V } pageInfo { hasNextPage endCursor } }
    }
    pageInfo { hasNextPage endCursor }
  }
}
fragment V on ProductVariant {
  id title sku price inventoryQuantity inventoryItem { tracked } availableForSale updatedAt
  media(first: 1) { nodes { preview { image { url } } } }
}
"""

VARIANTS = """
query ($id: ID!, $after: String) {
  product(id: $id) {
    variants(first: 100, after: $after) { nodes { ...V } pageInfo { hasNextPage endCursor } }
  }
}
fragment V on ProductVariant {
  id title sku price inventoryQuantity inventoryItem { tracked } availableForSale updatedAt
  media(first: 1) { nodes { preview { image { url } } } }
}
"""


def expected_rows(items: list[dict[str, Any]]) -> list[Row]:
    """The columns of expected_items that a reader can see, sorted."""
    names = (
        "product_id", "variant_id", "product_title", "variant_title", "sku", "price", "inventory",
        "image_url", "product_status", "updated_at", "sellable",
    )  # fmt: skip
    return sorted((tuple(item[name] for name in names) for item in items), key=lambda row: row[1])


def shopify_rows(client: SandboxClient, domain: str) -> list[Row]:
    """All rows of a Shopify shop, by nested pages that each follow their own pageInfo."""
    rows: list[Row] = []
    after = None
    while True:
        page = client.graphql(PRODUCTS, {"after": after}, domain=domain).json()["data"]["products"]
        for product in page["nodes"]:
            variants = list(product["variants"]["nodes"])
            info = product["variants"]["pageInfo"]
            while info["hasNextPage"]:
                given = {"id": product["id"], "after": info["endCursor"]}
                answer = client.graphql(VARIANTS, given, domain=domain).json()
                variants += answer["data"]["product"]["variants"]["nodes"]
                info = answer["data"]["product"]["variants"]["pageInfo"]
            rows += [_shopify_row(product, variant) for variant in variants]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            return sorted(rows, key=lambda row: row[1])


def _shopify_row(product: dict[str, Any], variant: dict[str, Any]) -> Row:
    images = [*variant["media"]["nodes"], product["featuredMedia"]]
    urls = [image["preview"]["image"]["url"] for image in images if image]
    times = [datetime.fromisoformat(each["updatedAt"]) for each in (product, variant)]
    return (
        product["id"].rsplit("/")[-1],
        variant["id"].rsplit("/")[-1],
        product["title"],
        variant["title"],
        variant["sku"],
        Decimal(variant["price"]),
        variant["inventoryQuantity"] if variant["inventoryItem"]["tracked"] else None,
        urls[0] if urls else None,
        product["status"].lower(),
        max(times),
        product["status"] in ("ACTIVE", "UNLISTED")
        and product["publishedAt"] is not None
        and variant["availableForSale"],
    )


def woo_rows(client: SandboxClient, domain: str, endpoint: str) -> list[Row]:
    """Published products joined with the variations of `endpoint`: root, analytics or parent."""
    products = {
        product["id"]: product
        for product in pages(client, domain, "wc/v3/products", status="publish")
    }
    rows = [
        _default_row(product)
        for product in products.values()
        if product["type"] != "variable" or not product["variations"]
    ]
    for parent_id, variation in _variations(client, domain, endpoint, list(products.values())):
        parent = products.get(parent_id)
        if parent is not None and parent["type"] == "variable":
            rows.append(_variation_row(parent, variation))
    return sorted(rows, key=lambda row: row[1])


def pages(
    client: SandboxClient, domain: str, path: str, **parameters: Any
) -> Iterator[dict[str, Any]]:
    """All objects of a list, by X-WP-TotalPages: a short page need not be the last one."""
    number, total = 1, 1
    while number <= total:
        answer = client.woo(
            path, domain=domain, per_page=100, page=number, orderby="id", order="asc", **parameters
        )
        assert answer.status_code == 200
        total = int(answer.headers["X-WP-TotalPages"])
        yield from answer.json()
        number += 1


def _variations(
    client: SandboxClient, domain: str, endpoint: str, products: list[dict[str, Any]]
) -> Iterator[tuple[int, dict[str, Any]]]:
    if endpoint == "parent":
        for product in products:
            if product["type"] == "variable":
                path = f"wc/v3/products/{product['id']}/variations"
                for variation in pages(client, domain, path):
                    yield product["id"], variation
        return
    path = {"root": "wc/v3/variations", "analytics": "wc-analytics/variations"}[endpoint]
    for variation in pages(client, domain, path):
        yield variation["parent_id"], variation


def _status(status: str) -> str:
    return "active" if status == "publish" else status


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _price(text: str) -> Decimal | None:
    return Decimal(text) if text else None


def _sellable(product: dict[str, Any], row: dict[str, Any]) -> bool:
    in_stock = row["stock_status"] != "outofstock"
    return product["status"] == "publish" and row["purchasable"] and in_stock


def _default_row(product: dict[str, Any]) -> Row:
    images, grouped = product["images"], product["type"] == "grouped"
    return (
        str(product["id"]),
        f"{product['id']}_default",
        product["name"],
        product["name"],
        product["sku"],
        None if grouped else _price(product["price"]),
        None if grouped else product["stock_quantity"],
        images[0]["src"] if images else None,
        _status(product["status"]),
        _utc(product["date_modified_gmt"]),
        _sellable(product, product),
    )


def _variation_row(parent: dict[str, Any], variation: dict[str, Any]) -> Row:
    options = ", ".join(each["option"] for each in variation["attributes"])
    hidden = variation["status"] == "private"
    return (
        str(parent["id"]),
        str(variation["id"]),
        parent["name"],
        options or parent["name"],
        variation["sku"],
        _price(variation["price"]),
        variation["stock_quantity"],
        variation["image"]["src"] if variation["image"] else None,
        "private" if hidden else _status(parent["status"]),
        max(_utc(parent["date_modified_gmt"]), _utc(variation["date_modified_gmt"])),
        not hidden and _sellable(parent, variation),
    )
