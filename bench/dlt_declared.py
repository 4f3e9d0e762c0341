"""A shop into Postgres by dlt's REST source, declared as its documentation teaches.

The everyday way beside the fast one of bench/dlt_pipeline.py, whose argument and environment it
has. The source pages through each list, one page after the other, and dlt normalizes the objects.
What its "Optimizing dlt" has for such a source is done: both lists in parallel, no nested tables,
COPY of CSV files. A shop's rows replace those of its last load.
"""

import json
import os
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

given = json.loads(Path(sys.argv[1]).read_text())
os.environ |= {
    "EXTRACT__WORKERS": str(given["workers"]),
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "ERROR",
    "RESTORE_FROM_DESTINATION": "false",
}

import dlt  # noqa: E402  it reads the settings above
from dlt.sources.rest_api import rest_api_source  # noqa: E402

MERGE_BY_SHOP: Final = {
    "write_disposition": {"disposition": "merge", "strategy": "delete-insert"},
    "merge_key": ["platform_name", "domain"],
    "max_table_nesting": 0,
    "parallelized": True,
}
PRODUCTS: Final = """
query ($after: String) {
  products(first: 250, after: $after, sortKey: ID) {
    pageInfo { hasNextPage endCursor }
    nodes {
      id title status publishedAt createdAt updatedAt featuredMedia { preview { image { url } } }
      variants(first: 250) { pageInfo { hasNextPage } nodes {
        id title sku price inventoryQuantity inventoryItem { tracked } availableForSale updatedAt
        image { url }
      } }
    }
  }
}
"""


def woocommerce(shop: dict[str, Any]) -> Any:
    """Products, and the list of all variations."""

    def kept(found: dict[str, Any]) -> dict[str, Any]:
        price = Decimal(found["price"]) if found["price"] else None
        return found | {"platform_name": "woocommerce", "domain": shop["domain"], "price": price}

    params = {"per_page": 100, "orderby": "id", "order": "asc", "status": "any"}
    return rest_api_source(
        {
            "client": {
                "base_url": f"{shop['url']}/wp-json/wc/v3/",
                "auth": {
                    "type": "http_basic",
                    "username": shop["consumer_key"],
                    "password": shop["consumer_secret"],
                },
                "paginator": "header_link",
            },
            "resources": [
                {
                    "name": path,
                    "table_name": table,
                    "endpoint": {"path": path, "params": params},
                    "processing_steps": [{"map": kept}],
                    **MERGE_BY_SHOP,
                }
                for path, table in (("products", "products"), ("variations", "items"))
            ],
        }
    )


def shopify(shop: dict[str, Any]) -> Any:
    """Pages of products with their variants."""

    def variants(product: dict[str, Any]) -> Iterator[dict[str, Any]]:
        of_product = {key: value for key, value in product.items() if key != "variants"}
        for variant in product["variants"]["nodes"]:
            yield variant | {
                "platform_name": "shopify",
                "domain": shop["domain"],
                "price": Decimal(variant["price"]),
                "product": of_product,
            }

    return rest_api_source(
        {
            "client": {
                "base_url": f"{shop['url']}/admin/api/2026-07/",
                "headers": {"X-Shopify-Access-Token": shop["access_token"]},
                "paginator": {
                    "type": "cursor",
                    "cursor_path": "data.products.pageInfo.endCursor",
                    "cursor_body_path": "variables.after",
                    "has_more_path": "data.products.pageInfo.hasNextPage",
                },
            },
            "resources": [
                {
                    "name": "items",
                    "endpoint": {
                        "path": "graphql.json",
                        "method": "POST",
                        # Braces stand for expressions of dlt unless they are doubled.
                        "json": {
                            "query": PRODUCTS.replace("{", "{{").replace("}", "}}"),
                            "variables": {"after": None},
                        },
                        "data_selector": "data.products.nodes",
                    },
                    "processing_steps": [{"yield_map": variants}],
                    **MERGE_BY_SHOP,
                }
            ],
        }
    )


def main() -> None:
    pipeline = dlt.pipeline(
        "bench",
        destination=dlt.destinations.postgres(credentials=given["database"]),
        dataset_name=given["dataset"],
        pipelines_dir=given["folder"],
    )
    for shop in given["shops"]:
        source = shopify(shop) if shop["route"] == "pages" else woocommerce(shop)
        pipeline.run(source, loader_file_format="csv").raise_on_failed_jobs()


main()
