"""Measure the time and memory of a publish, beside a bare COPY of the same rows.

    python bench/publish.py [--variants 200000] [--rounds 3] [--memory 50000 1000000]

Starts an embedded Postgres of its own in a temporary directory, durable as the real one is, and
ends with it. Times are medians of the rounds, and each round measures its own baseline: a COPY of
the same rows, in memory as tuples, into an empty table with the same primary key and indexes,
committed. "raw pages" are bodies in memory, so their normalization is in the time and reading the
archive is not; "rows" are normalized before the clock starts.
"""

import argparse
import gc
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final

import psycopg
from psycopg import sql

from connector_pipeline.catalog.publish import publish
from connector_pipeline.model.catalog_item import ITEM_COLUMNS, CatalogRow, RejectedVariant
from connector_pipeline.model.shop import Shop
from connector_pipeline.model.sync import Sync
from connector_pipeline.model.sync_type import SyncType
from connector_pipeline.platforms.kit.contract import RawPage
from connector_pipeline.platforms.shopify.adapter import ShopifyAdapter
from connector_pipeline.postgres.database import Database
from connector_pipeline.postgres.embedded.server import EmbeddedPostgres
from connector_pipeline.postgres.migrate import migrate
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline.state.sync_log import PublishCounts

SHOP: Final = Shop(
    merchant_id="m-1",
    platform_name="shopify",
    platform_shop_id="101",
    domain="bench.myshopify.com",
)
VARIANTS_PER_PRODUCT: Final = 8
PRODUCTS_PER_PAGE: Final = 125
LIMITS: Final = {"first": 2.5, "again": 1.5, "1 % changed": 1.6}
MEMORY_LIMIT: Final = 400
GROWTH_LIMIT: Final = 1.2


def pages(variants: int, *, repriced: int = 0) -> Iterator[RawPage]:
    """Raw pages of a shop of so many variants; every `repriced`-th has another price."""
    per_page = VARIANTS_PER_PRODUCT * PRODUCTS_PER_PAGE
    for start in range(0, variants, per_page):
        numbers = range(start, min(start + per_page, variants))
        products = [
            _product(list(numbers[first : first + VARIANTS_PER_PRODUCT]), repriced)
            for first in range(0, len(numbers), VARIANTS_PER_PRODUCT)
        ]
        body = {"data": {"products": {"pageInfo": {"hasNextPage": True}, "nodes": products}}}
        yield RawPage("products", json.dumps(body).encode())


def _product(numbers: list[int], repriced: int) -> dict[str, Any]:
    number = numbers[0] // VARIANTS_PER_PRODUCT
    image = f"https://cdn.shopify.com/s/files/1/0001/0101/files/product-{number}.jpg?v=1700000000"
    return {
        "id": f"gid://shopify/Product/{7_000_000_000_000 + number}",
        "title": f"Ekologiskt grönt te nr {number}, plockat för hand",
        "status": "ACTIVE" if number % 10 else "DRAFT",
        "publishedAt": "2024-03-05T09:30:00Z",
        "createdAt": "2024-03-05T09:30:00Z",
        "updatedAt": "2026-06-07T08:09:10Z",
        "featuredMedia": {"preview": {"image": {"url": image}}},
        "variants": {
            "pageInfo": {"hasNextPage": False, "endCursor": None},
            "nodes": [
                {
                    "id": f"gid://shopify/ProductVariant/{41_000_000_000_000 + variant}",
                    "title": f"{100 * (variant % VARIANTS_PER_PRODUCT + 1)} g / Påse",
                    "sku": f"TEA-{number}-{variant}",
                    "price": "99.50" if repriced and not variant % repriced else "129.00",
                    "inventoryQuantity": variant % 200,
                    "inventoryItem": {"tracked": variant % 20 != 0},
                    "availableForSale": variant % 200 != 0,
                    "updatedAt": "2026-07-08T09:10:11Z",
                    "image": None,
                }
                for variant in numbers
            ],
        },
    }


def normalized(raw: Iterable[RawPage]) -> Iterator[CatalogRow | RejectedVariant]:
    """Rows as the adapter gives them to a publish."""
    return ShopifyAdapter().rows(SHOP, "SEK", raw)


def publish_once(
    database: Database, number: int, given: Iterable[CatalogRow | RejectedVariant]
) -> PublishCounts:
    """One full, complete sync of the shop."""
    sync = Sync(
        sync_id=f"bench-{number}",
        partition_key=SHOP.partition_key,
        sync_type=SyncType.FULL,
        correlation_id="bench",
        started_at=datetime.now(UTC),
    )
    with database.connect() as connection:
        return publish(connection, shop=SHOP, sync=sync, complete=True, rows=given)


def timed(action: Callable[[], Any]) -> float:
    """The seconds that the action takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def copy_bare(url: str, rows: list[tuple[Any, ...]]) -> float:
    """Seconds of a committed COPY of the rows into an empty copy of the catalog's table."""
    written = (*ITEM_COLUMNS, "first_synced_at", "changed_at", "sync_id")
    columns = sql.SQL(", ").join(sql.Identifier(column) for column in written)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS baseline")
        connection.execute(
            "CREATE TABLE baseline (LIKE catalog.catalog_items INCLUDING DEFAULTS"
            " INCLUDING CONSTRAINTS INCLUDING INDEXES)"
        )
        cursor = connection.execute(sql.SQL("SELECT {} FROM baseline").format(columns))
        types = [column.type_code for column in cursor.description or ()]
        statement = sql.SQL("COPY baseline ({}) FROM STDIN (FORMAT binary)").format(columns)

        def copy() -> None:
            with cursor.copy(statement) as into:
                into.set_types(types)
                for row in rows:
                    into.write_row(row)

        seconds = timed(copy)
        connection.execute("DROP TABLE baseline")
    return seconds


def rows_written(url: str) -> int:
    """Rows of the catalog inserted, updated or deleted since the server started."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(
            "SELECT n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_all_tables"
            " WHERE schemaname = 'catalog' AND relname = 'catalog_items'"
        ).fetchone()
    return int(row[0]) if row else 0


def empty_catalog(url: str) -> None:
    """Make the catalog as before the first sync, without the traces of the last round."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("TRUNCATE catalog.catalog_items, connector.syncs")
        connection.execute("CHECKPOINT")


def measure_speed(database: Database, variants: int, rounds: int) -> bool:
    """Print the table of ratios. Returns whether all are within their limits."""
    same, changed = list(pages(variants)), list(pages(variants, repriced=100))
    ready, ready_changed = list(normalized(same)), list(normalized(changed))
    now = datetime.now(UTC)
    rows = [(*row, now, now, "bench") for row in ready if isinstance(row, CatalogRow)]
    # A sync holds fewer objects than the bench, so the collector must not walk the bench's.
    gc.collect()
    gc.freeze()
    seconds: dict[tuple[str, str], list[float]] = {}
    written: dict[str, int] = {}

    def step(
        number: int, name: str, source: str, given: Iterable[CatalogRow | RejectedVariant]
    ) -> None:
        before = rows_written(database.url)
        taken = timed(lambda: publish_once(database, number, given))
        seconds.setdefault((name, source), []).append(taken)
        written[name] = rows_written(database.url) - before

    for _ in range(rounds):
        seconds.setdefault(("bare COPY", "tuples"), []).append(copy_bare(database.url, rows))
        for source in ("rows", "raw pages"):
            raw = source == "raw pages"
            empty_catalog(database.url)
            step(1, "first", source, normalized(same) if raw else ready)
            step(2, "again", source, normalized(same) if raw else ready)
            step(3, "1 % changed", source, normalized(changed) if raw else ready_changed)

    baseline = median(seconds["bare COPY", "tuples"])
    print(f"{variants:,} variants, {rounds} rounds")
    print(f"{'publish':<12} {'from':<10} {'seconds':>8} {'rows/s':>9} {'ratio':>6} limit  written")
    met = written["again"] == 0
    for (name, source), taken in seconds.items():
        ratio = median(taken) / baseline
        limit = LIMITS.get(name)
        met = met and (limit is None or ratio <= limit)
        print(
            f"{name:<12} {source:<10} {median(taken):8.2f} {variants / median(taken):9,.0f}"
            f" {ratio:6.2f} {limit or '':>5}  {written.get(name, ''):>7}",
            flush=True,
        )
    return met


def peak_memory(url: str, variants: int) -> int:
    """The peak MB of a process that publishes a shop of so many variants."""
    command = [sys.executable, __file__, "--publish-only", str(variants), "--url", url]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
    return int(done.stdout)


def measure_memory(database: Database, sizes: list[int]) -> bool:
    """Print the peaks. Returns whether the largest is within its limits."""
    peaks: list[int] = []
    for variants in sizes:
        empty_catalog(database.url)
        peaks.append(peak_memory(database.url, variants))
        print(f"{variants:>10,} variants: peak {peaks[-1]} MB", flush=True)
    growth = peaks[-1] / peaks[0]
    print(f"growth {growth:.2f}, limit {GROWTH_LIMIT}; limit of the largest {MEMORY_LIMIT} MB")
    return peaks[-1] <= MEMORY_LIMIT and growth <= GROWTH_LIMIT


def main() -> int:
    """Measure both. Returns 1 if a limit is not met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variants", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", type=int, nargs="*", default=[50_000, 1_000_000])
    parser.add_argument("--publish-only", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--url", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.publish_only:
        given = normalized(pages(options.publish_only))
        publish_once(Database(url=options.url), 1, given)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
        return 0
    with tempfile.TemporaryDirectory(prefix="connector-") as name:
        home = Path(name)
        home.chmod(0o711)  # A server that root starts runs as another account, which must enter.
        with EmbeddedPostgres(home) as server:
            database = Database(url=server.url("catalog"))
            migrate(database.url)
            ShopRegistry(database=database).add(SHOP)
            # Memory first, while this process is small: a child's peak starts at its parent's size.
            met = not options.memory or measure_memory(database, options.memory)
            empty_catalog(database.url)
            if options.rounds:
                met = measure_speed(database, options.variants, options.rounds) and met
    print("all limits met" if met else "NOT all limits met")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
