"""Shops into Postgres by dlt, as fast as its documentation shows: the program that is compared.

Runs in the environment of dlt_environment.py, so it imports nothing of the project. Its only
argument is a file of JSON: `shops`, each with `route`, `domain`, `url` and its credentials;
`together`, whether one run loads all of them instead of one run a shop; and `workers`.

What makes it fast (dlt's "Optimizing dlt"): pages instead of rows; resources and transformers in
parallel threads; Arrow tables, which need no normalizing; COPY of CSV files instead of INSERT; no
nested tables; flat rows of the columns that a catalog needs and no others. A shop's rows replace
those of its last load (`merge` by shop), so that rows of deleted variants go. WooCommerce's
products and variations stay in two tables, so that neither list waits for the other.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

given = json.loads(Path(sys.argv[1]).read_text())
os.environ |= {
    "EXTRACT__WORKERS": str(given["workers"]),
    "EXTRACT__MAX_PARALLEL_ITEMS": str(4 * given["workers"]),
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "ERROR",
    "RESTORE_FROM_DESTINATION": "false",
}

import dlt  # noqa: E402  it reads the settings above
import pyarrow  # noqa: E402
from dlt.common import json as fast_json  # noqa: E402
from dlt.sources.helpers import requests  # noqa: E402

PAGE: Final = 100
MERGE_BY_SHOP: Final = {
    "write_disposition": {"disposition": "merge", "strategy": "delete-insert"},
    "merge_key": ["platform_name", "domain"],
}
STATUSES: Final = "any"
TEXT, TIME, MONEY = pyarrow.string(), pyarrow.timestamp("us", tz="UTC"), pyarrow.decimal128(20, 6)
SCHEMA: Final = pyarrow.schema(
    [
        ("merchant_id", TEXT), ("platform_name", TEXT), ("domain", TEXT), ("product_id", TEXT),
        ("variant_id", TEXT), ("product_title", TEXT), ("variant_title", TEXT), ("sku", TEXT),
        ("price", MONEY), ("currency", TEXT), ("inventory", pyarrow.int32()), ("image_url", TEXT),
        ("created_at", TIME), ("updated_at", TIME), ("product_status", TEXT),
        ("sellable", pyarrow.bool_()),
    ]
)  # fmt: skip
_PRODUCT: Final = """
  id title status publishedAt createdAt updatedAt featuredMedia { preview { image { url } } }
"""
_VARIANT: Final = """
  id title sku price inventoryQuantity inventoryItem { tracked } availableForSale updatedAt
  image { url }
"""
PRODUCTS: Final = f"""
query ($after: String) {{
  products(first: 250, after: $after, sortKey: ID) {{
    pageInfo {{ hasNextPage endCursor }}
    nodes {{ {_PRODUCT} variants(first: 250) {{
      pageInfo {{ hasNextPage }} nodes {{ {_VARIANT} }}
    }} }}
  }}
}}
"""
BULK: Final = f"""
{{ products {{ edges {{ node {{ {_PRODUCT}
  variants {{ edges {{ node {{ {_VARIANT} }} }} }} }} }} }} }}
"""
RUN_BULK: Final = """
mutation ($query: String!) {
  bulkOperationRunQuery(query: $query) { bulkOperation { id } userErrors { message } }
}
"""
POLL_BULK: Final = "query ($id: ID!) { bulkOperation(id: $id) { status errorCode url } }"


def table(rows: list[dict[str, Any]]) -> Any:
    """The rows as Arrow holds them; a column that a row lacks is null."""
    return pyarrow.Table.from_pylist(rows, schema=SCHEMA)


def moment(text: str | None) -> datetime | None:
    return None if not text else datetime.fromisoformat(f"{text[:19]}+00:00")


def money(text: str | None) -> Decimal | None:
    return Decimal(text) if text else None


def gid(value: str) -> str:
    return value.rpartition("/")[2]


# Shopify


def ask(shop: dict[str, Any], query: str, variables: dict[str, Any]) -> dict[str, Any]:
    """The data of an answer; waits for points where the shop has too few."""
    while True:
        answer = requests.post(
            f"{shop['url']}/admin/api/2026-07/graphql.json",
            json={"query": query, "variables": variables},
            headers={"X-Shopify-Access-Token": shop["access_token"]},
        )
        body = fast_json.loadb(answer.content)
        if "errors" not in body:
            return body["data"]
        cost = body["extensions"]["cost"]
        state = cost["throttleStatus"]
        missing = cost["requestedQueryCost"] - state["currentlyAvailable"]
        time.sleep(max(0.05, missing / state["restoreRate"]))


def shopify_rows(
    shop: dict[str, Any], product: dict[str, Any], variants: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    media = ((product.get("featuredMedia") or {}).get("preview") or {}).get("image") or {}
    for variant in variants:
        tracked = (variant.get("inventoryItem") or {}).get("tracked")
        yield {
            "merchant_id": shop["merchant_id"],
            "platform_name": "shopify",
            "domain": shop["domain"],
            "product_id": gid(product["id"]),
            "variant_id": gid(variant["id"]),
            "product_title": product["title"],
            "variant_title": variant["title"],
            "sku": variant["sku"],
            "price": money(variant["price"]),
            "currency": shop["currency"],
            "inventory": variant["inventoryQuantity"] if tracked else None,
            "image_url": (variant["image"] or media).get("url"),
            "created_at": moment(product["createdAt"]),
            "updated_at": moment(variant["updatedAt"]),
            "product_status": product["status"].lower(),
            "sellable": variant["availableForSale"],
        }


def shopify_pages(shop: dict[str, Any]) -> Iterator[Any]:
    """The items of each page; every page's cursor is in the page before."""
    after = None
    while True:
        page = ask(shop, PRODUCTS, {"after": after})["products"]
        yield table(
            [
                row
                for product in page["nodes"]
                for row in shopify_rows(shop, product, product["variants"]["nodes"])
            ]
        )
        if not page["pageInfo"]["hasNextPage"]:
            return
        after = page["pageInfo"]["endCursor"]


def shopify_bulk(shop: dict[str, Any]) -> Iterator[Any]:
    """The items of a bulk operation's result; each product stands before its variants."""
    started = ask(shop, RUN_BULK, {"query": BULK})["bulkOperationRunQuery"]["bulkOperation"]
    while True:
        operation = ask(shop, POLL_BULK, {"id": started["id"]})["bulkOperation"]
        if operation["status"] == "COMPLETED":
            break
        if operation["errorCode"]:
            raise RuntimeError(operation["errorCode"])
        # As often as the project asks at first.
        time.sleep(1)
    products: dict[str, dict[str, Any]] = {}
    rows: list[dict[str, Any]] = []
    for line in requests.get(operation["url"], stream=True).iter_lines(chunk_size=1 << 16):
        found = fast_json.loadb(line)
        if parent := found.get("__parentId"):
            rows += shopify_rows(shop, products[parent], [found])
        else:
            products[found["id"]] = found
        if len(rows) >= 2_000:
            yield table(rows)
            rows = []
    if rows:
        yield table(rows)


# WooCommerce


def get(shop: dict[str, Any], path: str, params: dict[str, Any]) -> Any:
    answer = requests.get(
        f"{shop['url']}/wp-json/wc/v3/{path}",
        params=params,
        auth=(shop["consumer_key"], shop["consumer_secret"]),
    )
    answer.raise_for_status()
    return answer


def in_pages(shop: dict[str, Any], path: str) -> Iterator[tuple[int, list[dict[str, Any]] | None]]:
    """Numbers of the pages of a list; the first has its objects, which told how many there are."""
    first = get(shop, path, listed(1))
    yield 1, fast_json.loadb(first.content)
    for number in range(2, int(first.headers["X-WP-TotalPages"]) + 1):
        yield number, None


def listed(page: int) -> dict[str, Any]:
    return {"per_page": PAGE, "page": page, "orderby": "id", "order": "asc", "status": STATUSES}


def objects(
    shop: dict[str, Any], path: str, page: tuple[int, list[dict[str, Any]] | None]
) -> list[dict[str, Any]]:
    number, found = page
    if found is not None:
        return found
    return fast_json.loadb(get(shop, path, listed(number)).content)


def woocommerce_row(shop: dict[str, Any], found: dict[str, Any], parent: int) -> dict[str, Any]:
    images = found.get("images") or [found.get("image")]
    return {
        "merchant_id": shop["merchant_id"],
        "platform_name": "woocommerce",
        "domain": shop["domain"],
        "product_id": str(parent),
        "variant_id": str(found["id"]),
        "product_title": found["name"] if found["id"] == parent else None,
        "variant_title": found["name"],
        "sku": found["sku"] or None,
        "price": money(str(found["price"])),
        "currency": shop["currency"],
        "inventory": found["stock_quantity"] if found["manage_stock"] else None,
        "image_url": images[0]["src"] if images and images[0] else None,
        "created_at": moment(found["date_created_gmt"]),
        "updated_at": moment(found["date_modified_gmt"]),
        "product_status": found["status"],
        "sellable": found["purchasable"],
    }


def product_rows(shop: dict[str, Any], found: list[dict[str, Any]]) -> Any:
    return table([woocommerce_row(shop, each, each["id"]) for each in found])


def variation_rows(shop: dict[str, Any], found: list[dict[str, Any]]) -> Any:
    return table([woocommerce_row(shop, each, each["parent_id"]) for each in found])


def pages_of(
    shop: dict[str, Any], path: str, rows: Callable[[dict[str, Any], Any], Any]
) -> Callable[[Any], Any]:
    """What makes rows of a page of a list.

    Its only parameter is the page, because dlt reads parameters with a default from the
    environment: `path` from PATH.
    """

    def fetched(page: Any) -> Any:
        yield rows(shop, objects(shop, path, page))

    return fetched


def of_root(shop: dict[str, Any], name: str) -> list[Any]:
    """Both lists of a shop, each with its pages in parallel."""
    made: list[Any] = []
    for path, loaded, rows in (
        ("products", "products", product_rows),
        ("variations", "items", variation_rows),
    ):
        pages = dlt.resource(
            in_pages(shop, path), name=f"{name}_{path}_pages", selected=False, parallelized=True
        )

        made.append(
            pages
            | dlt.transformer(
                pages_of(shop, path, rows),
                name=f"{name}_{path}",
                table_name=loaded,
                parallelized=True,
                **MERGE_BY_SHOP,
            )
        )
    return made


def of_parents(shop: dict[str, Any], name: str) -> list[Any]:
    """A shop without the list of all variations: one request for each product's."""
    pages = dlt.resource(
        in_pages(shop, "products"), name=f"{name}_pages", selected=False, parallelized=True
    )

    def products(page: Any) -> Any:
        yield objects(shop, "products", page)

    @dlt.defer
    def variations(product: dict[str, Any]) -> Any:
        path = f"products/{product['id']}/variations"
        return variation_rows(shop, fast_json.loadb(get(shop, path, listed(1)).content))

    def fetched(found: list[dict[str, Any]]) -> Any:
        for product in found:
            if product["type"] == "variable":
                yield variations(product)

    def kept(found: list[dict[str, Any]]) -> Any:
        yield product_rows(shop, found)

    listing = pages | dlt.transformer(
        products, name=f"{name}_listed", selected=False, parallelized=True
    )
    return [
        listing
        | dlt.transformer(kept, name=f"{name}_products", table_name="products", **MERGE_BY_SHOP),
        listing
        | dlt.transformer(fetched, name=f"{name}_variations", table_name="items", **MERGE_BY_SHOP),
    ]


def resources(shop: dict[str, Any], name: str) -> list[Any]:
    match shop["route"]:
        case "pages" | "bulk":
            rows = shopify_pages if shop["route"] == "pages" else shopify_bulk
            return [
                dlt.resource(
                    rows(shop), name=name, table_name="items", parallelized=True, **MERGE_BY_SHOP
                )
            ]
        case "root":
            return of_root(shop, name)
        case route:
            if route != "parents":
                raise ValueError(route)
            return of_parents(shop, name)


def main() -> None:
    pipeline = dlt.pipeline(
        "bench",
        destination=dlt.destinations.postgres(credentials=given["database"]),
        dataset_name=given["dataset"],
        pipelines_dir=given["folder"],
    )
    each = [resources(shop, f"shop{number}") for number, shop in enumerate(given["shops"])]
    together = [resource for shop in each for resource in shop]
    for loaded in [together] if given["together"] else each:
        pipeline.run(loaded, loader_file_format="csv").raise_on_failed_jobs()


main()
