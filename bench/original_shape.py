"""One shop as the service that the project replaces did it: the program that is compared.

One request after the other: pages of products, on WooCommerce a request for each variation, with
its pauses between pages (0.5 s on Shopify, 0.2 s on WooCommerce); every variant is upserted by a
statement and a transaction of its own. Written anew, for its shape only. Its only argument is a
file of JSON: `shops`, of which it reads the first, and `libpq`, the database's URL.
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import psycopg

QUERY: Final = """
query ($after: String) {
  products(first: 250, after: $after) {
    pageInfo { hasNextPage endCursor }
    nodes {
      id title status createdAt updatedAt
      variants(first: 100) { nodes { id title sku price inventoryQuantity updatedAt } }
    }
  }
}
"""
TABLE: Final = """
CREATE TABLE IF NOT EXISTS original_items (
    domain text, variant_id text, product_id text, title text, sku text, price numeric,
    inventory integer, updated_at text, PRIMARY KEY (domain, variant_id)
)
"""
UPSERT: Final = """
INSERT INTO original_items VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (domain, variant_id) DO UPDATE SET product_id = excluded.product_id,
    title = excluded.title, sku = excluded.sku, price = excluded.price,
    inventory = excluded.inventory, updated_at = excluded.updated_at
"""
Row = tuple[Any, ...]


def shopify(shop: dict[str, Any], http: httpx.Client) -> Iterator[list[Row]]:
    """The rows of each page."""
    http.headers["X-Shopify-Access-Token"] = shop["access_token"]
    after = None
    while True:
        answer = http.post(
            f"{shop['url']}/admin/api/2026-07/graphql.json",
            json={"query": QUERY, "variables": {"after": after}},
        ).raise_for_status()
        body = answer.json()
        if "errors" in body:
            # The service broke here. The pause is in its favour.
            time.sleep(1)
            continue
        page = body["data"]["products"]
        yield [
            (
                shop["domain"], variant["id"], product["id"], variant["title"], variant["sku"],
                variant["price"], variant["inventoryQuantity"], variant["updatedAt"],
            )
            for product in page["nodes"]
            for variant in product["variants"]["nodes"]
        ]  # fmt: skip
        if not page["pageInfo"]["hasNextPage"]:
            return
        after = page["pageInfo"]["endCursor"]
        time.sleep(0.5)


def woocommerce(shop: dict[str, Any], http: httpx.Client) -> Iterator[list[Row]]:
    """The rows of each page of products; each variation by a request of its own."""
    http.auth = httpx.BasicAuth(shop["consumer_key"], shop["consumer_secret"])
    url, page = f"{shop['url']}/wp-json/wc/v3/products", 0
    while True:
        page += 1
        answer = http.get(url, params={"per_page": 100, "page": page}).raise_for_status()
        rows: list[Row] = []
        for product in answer.json():
            for number in product["variations"]:
                path = f"{url}/{product['id']}/variations/{number}"
                found = http.get(path).raise_for_status().json()
                rows.append(
                    (
                        shop["domain"], str(found["id"]), str(product["id"]), found["name"],
                        found["sku"], found["price"] or None, found["stock_quantity"],
                        found["date_modified_gmt"],
                    )
                )  # fmt: skip
        yield rows
        if page >= int(answer.headers["X-WP-TotalPages"]):
            return
        time.sleep(0.2)


def main() -> None:
    """Read the shop and write its rows, one by one."""
    given = json.loads(Path(sys.argv[1]).read_text())
    shop = given["shops"][0]
    read = shopify if shop["route"] in ("pages", "bulk") else woocommerce
    with (
        httpx.Client(timeout=30, trust_env=False) as http,
        psycopg.connect(given["libpq"], autocommit=True) as connection,
    ):
        connection.execute(TABLE)
        for rows in read(shop, http):
            for row in rows:
                connection.execute(UPSERT, row)


if __name__ == "__main__":
    main()
