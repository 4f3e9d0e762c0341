"""Measure how soon a deletion on the platform is in the catalog, and how many requests that takes.

    python bench/deletions.py                              three deletions on each platform
    python bench/deletions.py --times 1 --products 100     a trial

`connector-pipeline dev` runs with a sweep every minute, over one Shopify and one WooCommerce shop
of a sandbox, 50 ms an answer. After the first sync of both, a product is deleted on each at a
random moment of the minute; on WooCommerce it is deleted for good, put into the trash, and made a
draft in turn. Printed are the seconds until its rows have `deleted_at`, the requests of the sync
that found it, and those of the sync before, in which nothing changed.

Goal: within two sweeps.
"""

import random
import time
from typing import Any, Final

import httpx
import psycopg
from checkouts import Side, parser, sides
from syncs import wait_for

from connector_pipeline.sandbox.shops.spec import ShopSpec

LATENCY: Final = 0.05
SWEEP: Final = 60.0
PATIENCE: Final = 600.0
POLL: Final = 0.5
WAYS: Final = {"shopify": ("delete",), "woocommerce": ("delete", "trash", "draft")}


def shops(products: int) -> list[ShopSpec]:
    """One shop on each platform."""
    return [
        ShopSpec(
            platform=platform,
            domain=domain,
            merchant_id="merchant-deletions",
            platform_shop_id="77",
            products=products,
            variants=(1, 3),
            seed=7,
            awkward=False,
        )
        for platform, domain in (
            ("shopify", "deletions.myshopify.com"),
            ("woocommerce", "deletions.example.com"),
        )
    ]


def products_of(connection: psycopg.Connection, spec: ShopSpec) -> list[str]:
    """The ids of the shop's live products."""
    rows = connection.execute(
        "SELECT DISTINCT product_id FROM catalog.catalog_items"
        " WHERE domain = %s AND deleted_at IS NULL ORDER BY product_id",
        (spec.domain,),
    )
    return [product_id for (product_id,) in rows]


def synced(connection: psycopg.Connection, spec: ShopSpec) -> int:
    """How many syncs of the shop have succeeded."""
    [(count,)] = connection.execute(
        "SELECT count(*) FROM connector.syncs WHERE domain = %s AND status = 'succeeded'",
        (spec.domain,),
    ).fetchall()
    return count


def delete(control: httpx.Client, spec: ShopSpec, product_id: str, way: str) -> None:
    """Delete a product of the sandbox's shop in one of the ways that its platform has."""
    url = f"/sandbox/shops/{spec.platform}/{spec.domain}/products/{product_id}"
    if way == "draft":
        control.patch(url, json={"status": "draft"}).raise_for_status()
    else:
        control.delete(url, params={"trash": str(way == "trash").lower()}).raise_for_status()


def gone(connection: psycopg.Connection, spec: ShopSpec, product_id: str) -> Any:
    """When the product's rows became tombstones, and the sync that made them; None until then."""
    return connection.execute(
        "SELECT max(deleted_at), max(sync_id) FROM catalog.catalog_items"
        " WHERE domain = %s AND product_id = %s HAVING bool_and(deleted_at IS NOT NULL)",
        (spec.domain, product_id),
    ).fetchone()


def requests_of(connection: psycopg.Connection, spec: ShopSpec, sync_id: str) -> tuple[int, int]:
    """The requests of a sync of the shop, and of the succeeded one before it."""
    rows = connection.execute(
        "SELECT requests FROM connector.syncs WHERE domain = %s AND status = 'succeeded'"
        " AND started_at <= (SELECT started_at FROM connector.syncs WHERE sync_id = %s)"
        " ORDER BY started_at DESC LIMIT 2",
        (spec.domain, sync_id),
    ).fetchall()
    return rows[0][0], rows[1][0]


def measure(side: Side, specs: list[ShopSpec], control: httpx.Client, times: int) -> None:
    """Delete products and print how long each stayed live."""
    with side.connect() as connection:
        # The second sync is the first increment.
        for spec in specs:
            wait_for(lambda spec=spec: synced(connection, spec) >= 2, patience=PATIENCE, every=POLL)
        for number in range(times):
            time.sleep(random.uniform(0, SWEEP))
            deleted: dict[str, tuple[str, str, Any]] = {}
            for spec in specs:
                way = WAYS[spec.platform][number % len(WAYS[spec.platform])]
                product_id = random.choice(products_of(connection, spec))
                [(at,)] = connection.execute("SELECT clock_timestamp()").fetchall()
                delete(control, spec, product_id, way)
                deleted[spec.platform] = product_id, way, at
            for spec in specs:
                product_id, way, at = deleted[spec.platform]
                found = wait_for(
                    lambda spec=spec, product_id=product_id: gone(connection, spec, product_id),
                    patience=PATIENCE,
                    every=POLL,
                )
                of_it, before = requests_of(connection, spec, found[1])
                print(
                    f"{spec.platform:<12} {way:<7} deleted_at after "
                    f"{(found[0] - at).total_seconds():6.1f} s; {of_it} requests in that sync, "
                    f"{before} in the one before",
                    flush=True,
                )


def main() -> None:
    """Print the figures of the docstring."""
    options = parser(__doc__)
    options.add_argument("--times", type=int, default=3, help="deletions on each platform")
    options.add_argument("--products", type=int, default=1_000, help="products of each shop")
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    random.seed(given.seed)
    specs = shops(given.products)
    settings = {"SYNC_CRON": "* * * * *", "FULL_SYNC_EVERY": "24h"}
    with sides(None, specs, latency=LATENCY, **settings) as [side]:
        side.register(specs)
        origin = side.sandbox_environment["TOKEN_SERVICE_URL"].removesuffix("/token-service")
        with side.dev(), httpx.Client(base_url=origin, trust_env=False) as control:
            measure(side, specs, control, given.times)


if __name__ == "__main__":
    main()
