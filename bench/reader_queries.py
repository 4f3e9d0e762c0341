"""Print EXPLAIN (ANALYZE) of the five documented reader queries on a catalog of 2 million rows.

    python bench/reader_queries.py [ROWS]

Starts an embedded Postgres with its own settings, but not durable, in a temporary directory,
fills it with shops of 1,000 variants each, and runs the queries of docs/contracts.md as the role
`catalog_reader`. Takes half a minute on two cores and about 2 GB of disk; leaves nothing behind.
"""

import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Final, LiteralString, cast

import psycopg

from connector_pipeline.postgres.embedded.server import EmbeddedPostgres
from connector_pipeline.postgres.migrate import migrate

CONTRACTS: Final = Path(__file__).parents[1] / "docs" / "contracts.md"
VARIANTS: Final = 1_000

# Shops were synced five minutes apart; a merchant has two. A product has four variants. One
# variant in twenty is deleted, one product in twenty-five is a draft.
FILL: Final = """
    INSERT INTO catalog.catalog_items (
        merchant_id, platform_name, platform_shop_id, domain, product_id, variant_id,
        product_title, variant_title, sku, price, currency, inventory, image_url,
        created_at, updated_at, product_status, first_synced_at, changed_at, deleted_at, sync_id
    )
    SELECT
        'merchant-' || shop / 2, 'shopify', (71000000000 + shop)::text,
        'shop-' || shop || '.myshopify.com',
        (8000000000000 + shop * 1000 + variant / 4)::text,
        (45000000000000 + shop * 1000 + variant)::text,
        'Product number ' || variant / 4, 'Variant number ' || variant,
        'SKU-' || shop || '-' || variant, variant + 0.5, 'SEK', variant %% 50,
        'https://cdn.example.com/files/' || shop || '/' || variant || '.jpg',
        changed - interval '90 days', changed - interval '1 day',
        CASE WHEN variant / 4 %% 25 = 24 THEN 'draft' ELSE 'active' END,
        changed - interval '60 days', changed, CASE WHEN variant %% 20 = 0 THEN changed END,
        'sync-' || shop
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS shop,
        generate_series(0, %(variants)s - 1) AS variant,
        LATERAL (SELECT timestamptz '2026-01-31 00:00Z' - shop * interval '5 minutes')
            AS sync (changed)
"""

INDEX_SIZES: Final = """
    SELECT indexrelname, pg_size_pretty(pg_relation_size(indexrelid))
    FROM pg_stat_user_indexes WHERE schemaname = 'catalog' ORDER BY indexrelname
"""


def documented_queries() -> dict[str, LiteralString]:
    """The query under each heading, with psycopg's parameters in place of psql's variables."""
    _, _, queries = CONTRACTS.read_text().partition("\n## Five queries")
    queries, _, _ = queries.partition("\n## ")
    found = re.findall(r"^### ([^\n]+)\n\n```sql\n(.+?)```", queries, re.M | re.S)
    return {
        title: cast("LiteralString", re.sub(r":'(\w+)'", r"%(\1)s", query))
        for title, query in found
    }


def fill(connection: psycopg.Connection, shops: int) -> None:
    """Fill the catalog, a hundred shops at a time."""
    started = time.perf_counter()
    for first in range(1, shops + 1, 100):
        last = min(first + 99, shops)
        connection.execute(FILL, {"first": first, "last": last, "variants": VARIANTS})
    connection.execute("VACUUM ANALYZE catalog.catalog_items")
    seconds = time.perf_counter() - started
    print(f"{shops * VARIANTS:,} rows of {shops:,} shops in {seconds:.0f} s")


def explain(connection: psycopg.Connection, shops: int) -> None:
    """Print the plan of each query at its second run, when the cache is warm."""
    shop = shops // 2
    values = {
        "merchant_id": f"merchant-{shop // 2}",
        "platform_name": "shopify",
        "domain": f"shop-{shop}.myshopify.com",
        "product_id": str(8000000000000 + shop * 1000),
        "variant_id": str(45000000000000 + shop * 1000 + 1),
        # Twenty-five minutes before the newest rows, and the overlap before that: nine shops.
        "last_seen": "2026-01-30 23:30Z",
    }
    for title, query in documented_queries().items():
        connection.execute(query, values)
        print(f"\n{title}")
        for (line,) in connection.execute("EXPLAIN (ANALYZE) " + query, values):
            print(f"    {line}")


def main() -> None:
    """Fill, print, and stop the server."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000_000
    shops = max(rows // VARIANTS, 20)
    not_durable = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    with tempfile.TemporaryDirectory(prefix="connector-") as name:
        # A server that root starts runs as another account, which must be able to enter.
        Path(name).chmod(0o711)
        with EmbeddedPostgres(Path(name), settings=not_durable) as server:
            migrate(server.url())
            with psycopg.connect(server.url(), autocommit=True) as connection:
                fill(connection, shops)
                print(f"Postgres {connection.info.parameter_status('server_version')}")
                for index, size in connection.execute(INDEX_SIZES):
                    print(f"    {size:>8} {index}")
                connection.execute("SET ROLE catalog_reader")
                explain(connection, shops)


if __name__ == "__main__":
    main()
