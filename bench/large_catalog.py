"""Measure a catalog as it grows, plain and split into partitions, to say from when splitting pays.

    python bench/large_catalog.py [--rows 1000000 5000000] [--plain]

Starts an embedded Postgres with its own settings, but not durable, in a temporary directory, and
fills catalog_items to each number of rows. At each it prints the bytes of a row and of its
indexes, the median of publishes of shops of 1,000 variants (unchanged, every one changed), the
medians of the five documented reader queries over shops at random, and the time of a VACUUM after
5 % of the rows were changed. Then it runs deploy/postgres/partition_catalog_items.sql on the last,
and prints its time and the same again. Five million rows take ten minutes on two cores and 8 GB.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from statistics import median
from typing import Any, Final

import psycopg
from reader_queries import FILL, VARIANTS, documented_queries

from connector_pipeline.catalog.publish import publish
from connector_pipeline.model.catalog_item import ITEM_COLUMNS, CatalogRow
from connector_pipeline.model.shop import Shop
from connector_pipeline.model.sync import Sync
from connector_pipeline.model.sync_type import SyncType
from connector_pipeline.postgres.database import Database
from connector_pipeline.postgres.embedded.server import EmbeddedPostgres
from connector_pipeline.postgres.migrate import migrate
from connector_pipeline.state.registry import ShopRegistry

RECIPE: Final = Path(__file__).parents[1] / "deploy" / "postgres" / "partition_catalog_items.sql"
SAMPLES: Final = 15
NOT_DURABLE: Final = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
SIZES: Final = """
    SELECT sum(pg_relation_size(part.oid)), sum(pg_indexes_size(part.oid))
    FROM pg_class AS part JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = 'catalog' AND relkind = 'r' AND relname LIKE 'catalog_items%%'
        AND relname <> 'catalog_items_plain'
"""
INDEXES: Final = """
    SELECT indexrelname, pg_relation_size(indexrelid) FROM pg_stat_user_indexes
    WHERE schemaname = 'catalog' AND relname = 'catalog_items' ORDER BY 2 DESC
"""


def seconds(action: Callable[[], object]) -> float:
    """The time that the action takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


class Bench:
    """A catalog of some shops, as readers and publishers meet it."""

    def __init__(self, url: str) -> None:
        self.database = Database(url=url)
        self.admin = psycopg.connect(url, autocommit=True)
        self.shops = 0
        self.random = Random(7)
        self.last_seen: object = None

    def grow(self, rows: int) -> None:
        """Fill the catalog up to this number of rows."""
        for first in range(self.shops + 1, rows // VARIANTS + 1, 100):
            last = min(first + 99, rows // VARIANTS)
            self.admin.execute(FILL, {"first": first, "last": last, "variants": VARIANTS})
            self.shops = last
        self.admin.execute("VACUUM ANALYZE catalog.catalog_items")

    def measure(self, label: str) -> None:
        """Print a block of figures."""
        rows = self.shops * VARIANTS
        [(heap, indexes)] = self.admin.execute(SIZES).fetchall()
        print(f"\n{label}: {rows:,} rows")
        print(f"  table {heap / rows:.0f} B a row, indexes {indexes / rows:.0f} B a row")
        for name, size in self.admin.execute(INDEXES):
            if size:
                print(f"    {size / rows:6.1f} B a row  {name}")
        # What readers who follow changes get is then nine thousand rows or so.
        [(self.last_seen,)] = self.admin.execute(
            "SELECT changed_at FROM catalog.catalog_items ORDER BY changed_at DESC"
            " OFFSET 9000 LIMIT 1"
        ).fetchall()
        for title, query in documented_queries().items():
            taken = [
                seconds(lambda query=query: self.admin.execute(query, self.values()).fetchall())
                for _ in range(SAMPLES)
            ]
            print(f"  {1000 * median(taken):8.1f} ms  {title}")
        same, changed = self.publishes()
        print(f"  publish of {VARIANTS:,} rows: unchanged {same:.3f} s, changed {changed:.3f} s")
        self.admin.execute(
            "UPDATE catalog.catalog_items SET price = price + 1 WHERE platform_shop_id::bigint % 20"
            " = 0"
        )
        taken = seconds(lambda: self.admin.execute("VACUUM catalog.catalog_items"))
        print(f"  VACUUM after 5 % changed: {taken:.1f} s", flush=True)

    def values(self) -> dict[str, Any]:
        """The parameters of the documented queries for a shop at random."""
        shop = self.random.randint(1, self.shops)
        return {
            "merchant_id": f"merchant-{shop // 2}",
            "platform_name": "shopify",
            "domain": f"shop-{shop}.myshopify.com",
            "product_id": str(8000000000000 + shop * 1000),
            "variant_id": str(45000000000000 + shop * 1000 + 1),
            "last_seen": self.last_seen,
        }

    def publishes(self) -> tuple[float, float]:
        """The medians of publishing shops at random, unchanged and with new prices."""
        taken: tuple[list[float], list[float]] = ([], [])
        for _ in range(SAMPLES):
            number = self.random.randint(1, self.shops)
            shop = Shop(
                merchant_id=f"merchant-{number // 2}",
                platform_name="shopify",
                platform_shop_id=str(71000000000 + number),
                domain=f"shop-{number}.myshopify.com",
            )
            ShopRegistry(database=self.database).add(shop)
            rows = self.rows(shop)
            dearer = [row._replace(price=(row.price or 0) + 1) for row in rows]
            for given, times in ((rows, taken[0]), (dearer, taken[1])):
                times.append(seconds(lambda given=given, shop=shop: self.publish(shop, given)))
        return median(taken[0]), median(taken[1])

    def rows(self, shop: Shop) -> list[CatalogRow]:
        """The live rows of the shop as a platform would send them again."""
        columns = ", ".join(ITEM_COLUMNS)
        found = self.admin.execute(
            f"SELECT {columns} FROM catalog.catalog_items"  # noqa: S608 - names of ours
            " WHERE platform_name = %s AND domain = %s AND deleted_at IS NULL",
            (shop.platform_name, shop.domain),
        )
        return [CatalogRow(*row) for row in found]

    def publish(self, shop: Shop, rows: list[CatalogRow]) -> None:
        """Publish a full sync of the shop."""
        now = datetime.now(UTC)
        sync = Sync(
            sync_id=f"bench-{time.monotonic_ns()}",
            partition_key=shop.partition_key,
            sync_type=SyncType.FULL,
            correlation_id="bench",
            started_at=now,
        )
        with self.database.connect() as connection:
            publish(connection, shop=shop, sync=sync, complete=True, rows=rows)


def main() -> None:
    """Grow, measure, split, measure, and stop the server."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 5_000_000])
    arguments.add_argument("--plain", action="store_true", help="do not split at the end")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="connector-") as name:
        # A server that root starts runs as another account, which must be able to enter.
        Path(name).chmod(0o711)
        with EmbeddedPostgres(Path(name), settings=NOT_DURABLE) as server:
            migrate(server.url())
            bench = Bench(server.url())
            for rows in given.rows:
                taken = seconds(lambda rows=rows: bench.grow(rows))
                print(f"filled to {rows:,} rows in {taken:.0f} s", flush=True)
                bench.measure("plain")
            if not given.plain:
                taken = seconds(lambda: bench.admin.execute(RECIPE.read_bytes()))
                print(f"\nsplit into 32 partitions in {taken:.0f} s")
                bench.admin.execute("DROP TABLE catalog.catalog_items_plain")
                bench.admin.execute("VACUUM ANALYZE catalog.catalog_items")
                bench.measure("split")


if __name__ == "__main__":
    main()
