"""Measure a backfill of thousands of shops, against one run per shop on stock storage.

Everything is on this machine: embedded Postgres, the sandbox (50 ms latency, 20 variants a shop),
code server, daemon and runs. It ends by itself, and prints:

- shops a minute of a backfill of both assets as we run it, and of the same with one run per shop
  and Dagster's stock storage (the baseline, over few shops: it takes seconds per shop);
- the cost of Dagster itself per shop and asset: a range run of an asset that only reports;
- the memory of the largest run worker (100 shops in a run);
- the seconds of the ticks that make partitions of 10,000 new shops, and of a sweep over them.

Run it as `python bench/backfill.py [--shops 5000] [--baseline 60] [--registry 10000]`.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster_storage
import psutil
import psycopg
from dagster import AssetKey, DagsterInstance, SensorResult, build_sensor_context
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.execution.backfill import (
    BULK_ACTION_TERMINAL_STATUSES,
    PartitionBackfill,
)
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.types import ListRepositoriesResponse
from dagster._serdes import deserialize_value

from connector_pipeline.automation.shop_partitions import shop_partitions
from connector_pipeline.automation.sweep import sweep
from connector_pipeline.cli.local_services import instance_config
from connector_pipeline.cli.supervisor import Supervisor
from connector_pipeline.engine.daemon import daemon_command
from connector_pipeline.model.shop import Shop
from connector_pipeline.postgres.database import Database
from connector_pipeline.postgres.embedded.server import EmbeddedPostgres
from connector_pipeline.postgres.migrate import migrate
from connector_pipeline.sandbox.controls.faults import FaultRule
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline.state.registry import ShopRegistry

LATENCY = 0.05
PRODUCTS, VARIANTS = 10, (2, 2)
ASSETS = [AssetKey("raw_products"), AssetKey("catalog_items")]
NEVER = "0 0 1 1 *"
PATIENCE = 3_600


def spec(number: int) -> ShopSpec:
    """The specification of a shop. Every second one is a WooCommerce shop."""
    platform, host = (
        ("shopify", f"bench-{number}.myshopify.com")
        if number % 2
        else ("woocommerce", f"bench-{number}.example")
    )
    return ShopSpec(
        platform=platform,
        domain=host,
        merchant_id=f"merchant-{number % 97}",
        platform_shop_id=str(number),
        products=PRODUCTS,
        variants=VARIANTS,
        seed=number,
        awkward=False,
    )


def registered(spec: ShopSpec) -> Shop:
    return Shop(
        merchant_id=spec.merchant_id,
        platform_name=spec.platform,
        platform_shop_id=spec.platform_shop_id,
        domain=spec.domain,
    )


def key(spec: ShopSpec) -> str:
    return f"{spec.platform}/{spec.domain}"


@contextmanager
def dagster(home: Path, *, stock: str | None) -> Generator[DagsterInstance]:
    """An instance with its code server and daemon. `stock` is the URL of a stock storage."""
    home.mkdir()
    config = instance_config().read_text()
    if stock is not None:
        ours = (
            "  custom:\n    module: connector_pipeline.engine.storage\n"
            "    class: ConnectorStorage\n    config: {}\n"
        )
        if ours not in config:
            raise RuntimeError("dagster.yaml has another storage than this bench replaces")
        config = config.replace(ours, f"  postgres:\n    postgres_url: {json.dumps(stock)}\n")
    (home / "dagster.yaml").write_text(config)
    os.environ["DAGSTER_HOME"] = str(home)
    code_socket = Path(tempfile.mkdtemp(prefix="connector-")) / "code-server"
    definitions = (
        ("--module-name", "connector_pipeline.definitions")
        if stock is None
        else ("--python-file", str(Path(__file__).parent / "one_run_per_shop.py"))
    )
    supervisor = Supervisor(home / "logs")
    try:
        with DagsterInstance.get() as instance:
            supervisor.start(
                "code-server",
                (
                    *(sys.executable, "-m", "dagster", "code-server", "start"),
                    *("--socket", str(code_socket), *definitions),
                ),
            )
            server = {"socket": str(code_socket), "location_name": "connector_pipeline"}
            workspace = home / "workspace.yaml"
            workspace.write_text(json.dumps({"load_from": [{"grpc_server": server}]}))
            until = time.monotonic() + PATIENCE / 20
            while not _answers(code_socket):
                supervisor.check()
                if time.monotonic() > until:
                    raise RuntimeError((home / "logs" / "code-server.log").read_text()[-3000:])
                time.sleep(0.1)
            supervisor.start(
                "daemon",
                daemon_command(workspace),
            )
            yield instance
    finally:
        supervisor.stop_all(patience=30)


def _answers(code_socket: Path) -> bool:
    """Whether the definitions are loaded. A daemon that finds none fails the backfill."""
    client = DagsterGrpcClient(socket=str(code_socket))
    try:
        found = deserialize_value(client.list_repositories(), ListRepositoriesResponse)
    except Exception:
        # The server is not up yet or has not loaded yet; the errors differ.
        return False
    return bool(found.repository_symbols)


def backfill(instance: DagsterInstance, definitions: Any, keys: list[str]) -> tuple[float, float]:
    """Backfill both assets as the UI does. Returns seconds and the largest run worker's MB."""
    with partition_loading_context(dynamic_partitions_store=instance):
        asked = PartitionBackfill.from_asset_partitions(
            backfill_id="bench",
            asset_graph=definitions.resolve_asset_graph(),
            partition_names=keys,
            asset_selection=ASSETS,
            backfill_timestamp=time.time(),
            tags={},
            dynamic_partitions_store=instance,
            all_partitions=False,
            title=None,
            description=None,
            run_config=None,
        )
    started, largest = time.monotonic(), 0.0
    instance.add_backfill(asked)
    while True:
        largest = max(largest, _largest_worker())
        seconds = time.monotonic() - started
        found = instance.get_backfill("bench")
        if found is not None and found.status in BULK_ACTION_TERMINAL_STATUSES:
            break
        if seconds > PATIENCE:
            raise RuntimeError(f"the backfill did not end within {PATIENCE} s")
        time.sleep(0.5)
    for asset in ASSETS:
        done = len(instance.get_materialized_partitions(asset))
        if done != len(keys):
            raise RuntimeError(
                f"{done} of {len(keys)} shops of {asset.to_user_string()}: {found.status}, "
                f"{found.error and found.error.to_string()}, {_why(instance)}"
            )
    return seconds, largest


def _why(instance: DagsterInstance) -> list[str]:
    """The messages of the errors in the newest runs."""
    return [
        entry.message[-500:]
        for run in instance.get_runs(limit=3)
        for entry in instance.all_logs(run.run_id)
        if entry.level >= 40 or "FAILURE" in str(entry.dagster_event_type)
    ]


def _largest_worker() -> float:
    """The MB of the largest run worker."""
    sizes = [0.0]
    for process in psutil.Process().children(recursive=True):
        try:
            if any("spawn_main" in word for word in process.cmdline()):
                sizes.append(process.memory_info().rss / 1e6)
        except psutil.Error:
            continue
    return max(sizes)


def registry_ticks(instance: DagsterInstance, database: Database, shops: int) -> None:
    """Add shops to the registry, and print the seconds of the sensors' ticks."""
    with database.connect() as connection:
        connection.execute(
            "INSERT INTO connector.shops (platform_name, domain, merchant_id, platform_shop_id) "
            "SELECT 'shopify', 'new-' || n || '.myshopify.com', 'merchant-new', n "
            "FROM generate_series(1, %s) AS n",
            (shops,),
        )
    registry = ShopRegistry(database=database)
    for number in (1, 2):
        started = time.monotonic()
        with build_sensor_context(instance=instance, resources={"registry": registry}) as context:
            result = shop_partitions(context)
        changed = 0
        if isinstance(result, SensorResult):
            for request in result.dynamic_partitions_requests or ():
                instance.add_dynamic_partitions("shops", list(request.partition_keys))
                changed += len(request.partition_keys)
        print(
            f"tick {number} of shop_partitions: {time.monotonic() - started:.2f} s, "
            f"{changed} partitions added"
        )
    with database.connect() as connection:
        connection.execute("UPDATE connector.shops SET registered_at = now() - interval '3 years'")
    for what, cron in (("nothing due", "0 0 1 1 *"), ("all due", "* * * * *")):
        os.environ["SYNC_CRON"] = cron
        if what == "nothing due":
            with database.connect() as connection:
                connection.execute("UPDATE connector.shops SET last_swept_at = now()")
        else:
            with database.connect() as connection:
                connection.execute("UPDATE connector.shops SET last_swept_at = '2020-01-01'")
        started = time.monotonic()
        with build_sensor_context(instance=instance, resources={"database": database}) as context:
            result = sweep(context)
        runs = len(result.run_requests or ()) if isinstance(result, SensorResult) else 0
        print(f"tick of sweep, {what}: {time.monotonic() - started:.2f} s, {runs} runs asked for")


def main() -> None:
    """Print the figures of the docstring, with the bound of each."""
    options = argparse.ArgumentParser()
    options.add_argument("--shops", type=int, default=5_000)
    options.add_argument("--baseline", type=int, default=60)
    options.add_argument("--registry", type=int, default=10_000)
    given = options.parse_args()
    # An exception, and not the signal, ends the process, so that no server is left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    specs = [spec(number) for number in range(given.shops + given.baseline)]
    with tempfile.TemporaryDirectory(prefix="connector-bench-") as name:
        home = Path(name)
        home.chmod(0o711)
        with EmbeddedPostgres(home) as server, SandboxServer(specs) as sandbox:
            sandbox.faults.set([FaultRule("latency", seconds=LATENCY)])
            os.environ.update(sandbox.environment())
            os.environ["CONNECTOR_HOME"] = str(home)
            os.environ["CONNECTOR_DATABASE_URL"] = url = server.url("catalog")
            os.environ["DAGSTER_POSTGRES_URL"] = server.dagster_url
            os.environ["SYNC_CRON"] = NEVER
            migrate(url)
            database = Database(url=url)
            registry = ShopRegistry(database=database)
            for each in specs:
                registry.add(registered(each))
            _measure(given, home, server, database, [key(each) for each in specs])


def _measure(
    given: argparse.Namespace,
    home: Path,
    server: EmbeddedPostgres,
    database: Database,
    keys: list[str],
) -> None:
    from connector_pipeline.definitions import build_definitions
    from connector_pipeline.settings import load_settings

    with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
        admin.execute("CREATE DATABASE stock")
    stock_url = server.url("stock").replace("postgresql://", "postgresql+psycopg2://", 1)
    with dagster(home / "stock", stock=stock_url) as instance:
        import one_run_per_shop

        # The baseline has its own shops: the second sync of a shop is incremental.
        few, keys = keys[: given.baseline], keys[given.baseline :]
        instance.add_dynamic_partitions("shops", few)
        seconds, _ = backfill(instance, one_run_per_shop.defs, few)
    baseline = len(few) * 60 / seconds
    print(f"one run per shop, stock storage: {len(few)} shops in {seconds:.0f} s", flush=True)
    with dagster(home / "dagster", stock=None) as instance:
        instance.add_dynamic_partitions("shops", keys)
        seconds, megabytes = backfill(instance, build_definitions(load_settings()), keys)
    ours = len(keys) * 60 / seconds
    print(f"as we run it: {len(keys)} shops in {seconds:.0f} s (5,000 shops: at most 720 s)")
    print(
        f"shops a minute: {ours:.0f} against {baseline:.0f}: x {ours / baseline:.1f} (at least 12)"
    )
    print(f"the largest run worker: {megabytes:.0f} MB (at most 500)", flush=True)
    os.environ["DAGSTER_HOME"] = str(home / "dagster")
    with DagsterInstance.get() as instance:
        registry_ticks(instance, database, given.registry)
    pooled = {"custom": {**dagster_storage.POOLED, "config": {}}}
    cost = min(dagster_storage.run(pooled, 500) for _ in range(3))
    print(f"Dagster's own cost a shop and asset: {cost:.1f} ms (at most 15)")


if __name__ == "__main__":
    main()
