"""Say what a sync that changes nothing leaves in Postgres: bytes by table, and WAL.

    python bench/sync_log.py                     15,000 syncs, about 3 minutes
    python bench/sync_log.py --rounds 4          2,000 syncs

The shops go through the queue by the functions that the daemon and runs call, over an embedded
Postgres with its autovacuum. Nothing is fetched, and no row of the catalog is written.
"""

import argparse
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import psycopg

from connector_pipeline.catalog.staging import stage
from connector_pipeline.model.queue import QueueReason
from connector_pipeline.model.shop import Shop
from connector_pipeline.model.sync import Sync
from connector_pipeline.model.sync_type import SyncType
from connector_pipeline.postgres.connections import connect
from connector_pipeline.postgres.embedded.server import EmbeddedPostgres
from connector_pipeline.postgres.migrate import migrate
from connector_pipeline.state import queue_intake, queued_runs, sync_log, sync_success

AT_ONCE = 16
"""Syncs of a run that are under way at one moment."""

_SIZES = """
    SELECT relname, pg_total_relation_size(oid) FROM pg_class
    WHERE relkind = 'r' AND relnamespace IN ('connector'::regnamespace, 'pg_catalog'::regnamespace)
"""


def sizes(connection: psycopg.Connection) -> dict[str, int]:
    """Bytes of each table with its indexes."""
    return dict(connection.execute(_SIZES).fetchall())


def wal(connection: psycopg.Connection) -> int:
    """Where the log of the server is."""
    [(at,)] = connection.execute("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn").fetchall()
    return int(at)


def taken(connection: psycopg.Connection, keys: list[str]) -> Iterator[list[queued_runs.TakenShop]]:
    """Put the shops into the queue and take them out, AT_ONCE at a time."""
    with connection.transaction():
        queue_intake.put_shops(connection, keys, reason=QueueReason.SWEEP, sweep_id=str(uuid4()))
    one = queued_runs.Capacity(foreground=0, background=1, in_all=1)
    while True:
        with connection.transaction():
            if not queued_runs.take(connection, capacity=one, shops_per_run=100):
                return
            [launch] = queued_runs.unseen(connection)
            queued_runs.seen(connection, {launch.launch_id: str(uuid4())})
        for start in range(0, len(launch.shops), AT_ONCE):
            yield list(launch.shops[start : start + AT_ONCE])


def sync_all(connection: psycopg.Connection, shops: list[queued_runs.TakenShop]) -> None:
    """Record these syncs from their start to their success, as a run does."""
    counts = sync_log.PublishCounts(items=20, unchanged=20)
    run_id = str(uuid4())
    syncs: list[tuple[Sync, Shop]] = []
    for each in shops:
        platform_name, _, domain = each.partition_key.partition("/")
        shop = Shop(
            platform_name=platform_name, domain=domain, merchant_id="m", platform_shop_id="1"
        )
        sync = Sync(
            sync_id=each.sync_id,
            partition_key=each.partition_key,
            sync_type=SyncType.INCREMENTAL,
            correlation_id=each.sync_id,
            started_at=datetime.now(UTC),
            since=datetime.now(UTC),
        )
        syncs.append((sync, shop))
        with connection.transaction():
            sync_log.start(connection, sync, shop, run_id)
    for fetched_at in (None, datetime.now(UTC)):
        for sync, _ in syncs:
            with connection.transaction():
                sync_log.record_progress(
                    connection, sync.sync_id, pages=1, requests=2, fetched_at=fetched_at
                )
    for sync, shop in syncs:
        with connection.transaction():
            stage(connection, shop, [])
            sync_success.succeed(
                connection, sync=sync, shop=shop, counts=counts, complete=True, published_by=run_id
            )


def main() -> None:
    """Measure in a folder of its own, which is deleted, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shops", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    keys = [f"shopify/shop-{number}.myshopify.com" for number in range(options.shops)]
    with tempfile.TemporaryDirectory(prefix="connector-sync-log-") as name:
        Path(name).chmod(0o711)
        with EmbeddedPostgres(Path(name) / "postgres") as postgres:
            migrate(postgres.url())
            with connect(postgres.url()) as connection:
                connection.autocommit = True
                connection.execute(
                    "INSERT INTO connector.shops (platform_name, domain, merchant_id,"
                    " platform_shop_id, state) SELECT 'shopify', split_part(key, '/', 2), key, key,"
                    " 'active' FROM unnest(%s::text[]) AS key",
                    (keys,),
                )
                before, written = sizes(connection), wal(connection)
                for _ in range(options.rounds):
                    for shops in taken(connection, keys):
                        sync_all(connection, shops)
                syncs = options.rounds * options.shops
                after, written = sizes(connection), wal(connection) - written
    print(f"{syncs} syncs; a sync, in bytes:\n\n| | |\n| --- | --- |")
    print(f"| WAL | {written / syncs:.0f} |")
    grown = {table: (size - before.get(table, 0)) / syncs for table, size in after.items()}
    for table, size in sorted(grown.items(), key=lambda each: -each[1]):
        if size >= 1:
            print(f"| {table} | {size:.0f} |")


if __name__ == "__main__":
    main()
