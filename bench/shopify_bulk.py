"""Sync a large Shopify shop by a bulk operation, from the sandbox to a complete catalog.

    python bench/shopify_bulk.py [--products 100000] [--variants 10] [--threshold 20000]

Three processes run beside this one and end with it: an embedded Postgres as durable as the real
one, a sandbox with one shop, and a Dagster run of both assets of that shop. The bench prints the
rows, the seconds of each asset, the requests to the shop, and the peak memory of the process that
synced, for which there is a limit. It exits with 1 if the snapshot is not complete, rows are
missing, or the limit is exceeded.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from connector_pipeline.model.shop import Shop
from connector_pipeline.postgres.database import Database
from connector_pipeline.postgres.embedded.server import EmbeddedPostgres
from connector_pipeline.postgres.migrate import migrate
from connector_pipeline.state.registry import ShopRegistry

DOMAIN: Final = "bench.myshopify.com"
KEY: Final = f"shopify/{DOMAIN}"
MEMORY_LIMIT: Final = 400


def serve(products: int, variants: int) -> None:
    """Run the sandbox: print its settings as one line of JSON, and serve until stdin ends."""
    from connector_pipeline.sandbox.server import SandboxServer
    from connector_pipeline.sandbox.shops.spec import ShopSpec

    spec = ShopSpec(
        platform="shopify",
        domain=DOMAIN,
        merchant_id="m-1",
        platform_shop_id="1",
        products=products,
        variants=(variants, variants),
        awkward=False,
    )
    with SandboxServer((spec,)) as server:
        print(json.dumps(server.environment()), flush=True)
        sys.stdin.read()


def sync() -> None:
    """Run both assets by Dagster, and print the figures as one line of JSON."""
    from dagster import AssetKey, AssetRecordsFilter, DagsterInstance

    from connector_pipeline.definitions import build_definitions
    from connector_pipeline.settings import load_settings

    job = build_definitions(load_settings()).resolve_implicit_global_asset_job_def()
    found: dict[str, Any] = {}
    with DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("shops", [KEY])
        for asset in ("raw_products", "catalog_items"):
            started = time.perf_counter()
            job.execute_in_process(
                instance=instance,
                asset_selection=[AssetKey(asset)],
                partition_key=KEY,
                run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}},
            )
            record = instance.fetch_materializations(
                AssetRecordsFilter(asset_key=AssetKey(asset)), limit=1
            ).records[0]
            materialization = record.asset_materialization
            metadata = {} if materialization is None else materialization.metadata
            shown = ("details", "requests", "retries", "pages", "bytes", "complete", "warnings")
            found[asset] = {
                name: value.value for name, value in metadata.items() if name in shown
            } | {
                "bench_seconds": time.perf_counter() - started,
                "bench_peak": peak_megabytes(),
            }
    print(json.dumps(found), flush=True)


def peak_megabytes() -> int:
    """Peak resident memory of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():
        # ru_maxrss of a child begins at its parent's.
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def run(options: argparse.Namespace, home: Path, url: str) -> bool:
    """Sync the shop once and print the figures. Returns whether all limits are met."""
    database = Database(url=url)
    migrate(url)
    ShopRegistry(database=database).add(
        Shop(
            merchant_id="m-1",
            platform_name="shopify",
            platform_shop_id="1",
            domain=DOMAIN,
        )
    )
    size = ["--products", str(options.products), "--variants", str(options.variants)]
    with subprocess.Popen(
        [sys.executable, __file__, "--serve", *size],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as sandbox:
        settings = sandbox.stdout.readline() if sandbox.stdout else "{}"
        environment = {
            **os.environ,
            **json.loads(settings),
            "CONNECTOR_DATABASE_URL": url,
            "RAW_ARCHIVE_URL": str(home / "raw"),
            "SHOPIFY_BULK_THRESHOLD": str(options.threshold),
        }
        try:
            done = subprocess.run(
                [sys.executable, __file__, "--sync"],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            )
        finally:
            sandbox.communicate("")
    found: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    raw, items = found["raw_products"], found["catalog_items"]
    with database.connect() as connection:
        row = connection.execute(
            "SELECT count(*), count(DISTINCT product_id) FROM catalog.catalog_items"
            " WHERE deleted_at IS NULL"
        ).fetchone() or (0, 0)
    archive = sum(path.stat().st_size for path in (home / "raw").rglob("*") if path.is_file())
    for asset, metadata in found.items():
        print(
            f"{asset:<14} {metadata['bench_seconds']:7.1f} s, "
            f"peak so far {metadata['bench_peak']} MB"
        )
    print(f"details        {json.dumps(raw['details'])}")
    print(f"requests       {raw['requests']}, retries {raw['retries']}, pages {raw['pages']}")
    print(f"archive        {raw['bytes']:,} bytes as received, {archive:,} on disk")
    print(f"complete       {raw['complete']}, warnings {raw['warnings']}")
    print(f"catalog        {row[0]:,} rows of {row[1]:,} products")
    print(f"peak memory    {items['bench_peak']} MB, limit {MEMORY_LIMIT} MB")
    return (
        bool(raw["complete"])
        and tuple(row) == (options.products * options.variants, options.products)
        and items["bench_peak"] < MEMORY_LIMIT
    )


def main() -> int:
    """Parse the options, run, and print whether all limits are met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--products", type=int, default=100_000)
    parser.add_argument("--variants", type=int, default=10)
    parser.add_argument("--threshold", type=int, default=20_000)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--sync", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.products, options.variants)
        return 0
    if options.sync:
        sync()
        return 0
    with tempfile.TemporaryDirectory(prefix="connector-") as name:
        home = Path(name)
        home.chmod(0o711)  # A server that root starts runs as another account, which must enter.
        with EmbeddedPostgres(home) as server:
            met = run(options, home, server.url("catalog"))
    print("as promised" if met else "NOT as promised")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
