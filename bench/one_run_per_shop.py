"""Backfill shops with one run per shop on Dagster's stock storage: a baseline of bench/backfill.py.

    python bench/one_run_per_shop.py STOCK_URL SHOP...

`bench/backfill.py` runs it in the environment of a checkout: migrated database, registered shops,
sandbox. STOCK_URL is an empty database for Dagster. The last line printed is the seconds taken.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import one_run_per_shop_definitions
from dagster import AssetKey, DagsterInstance
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.execution.backfill import (
    BULK_ACTION_TERMINAL_STATUSES,
    PartitionBackfill,
)
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.types import ListRepositoriesResponse
from dagster._serdes import deserialize_value

from connector_pipeline.cli.local_services import instance_config
from connector_pipeline.cli.supervisor import Supervisor
from connector_pipeline.engine.daemon import daemon_command

ASSETS: Final = [AssetKey("raw_products"), AssetKey("catalog_items")]
OURS: Final = (
    "  custom:\n    module: connector_pipeline.engine.storage\n"
    "    class: ConnectorStorage\n    config: {}\n"
)
START_PATIENCE: Final = 180.0
PATIENCE: Final = 3_600.0


@contextmanager
def dagster(home: Path, stock_url: str) -> Generator[DagsterInstance]:
    """An instance on stock storage, with its code server and daemon."""
    config = instance_config().read_text()
    if OURS not in config:
        raise RuntimeError("dagster.yaml has another storage than this bench replaces")
    stock = f"  postgres:\n    postgres_url: {json.dumps(stock_url)}\n"
    (home / "dagster.yaml").write_text(config.replace(OURS, stock))
    os.environ["DAGSTER_HOME"] = str(home)
    socket = home / "code-server"
    definitions = Path(__file__).parent / "one_run_per_shop_definitions.py"
    supervisor = Supervisor(home / "logs")
    try:
        with DagsterInstance.get() as instance:
            supervisor.start(
                "code-server",
                (
                    *(sys.executable, "-m", "dagster", "code-server", "start"),
                    *("--socket", str(socket), "--python-file", str(definitions)),
                ),
            )
            server = {"socket": str(socket), "location_name": "connector_pipeline"}
            workspace = home / "workspace.yaml"
            # JSON is YAML, too.
            workspace.write_text(json.dumps({"load_from": [{"grpc_server": server}]}))
            until = time.monotonic() + START_PATIENCE
            while not _answers(socket):
                supervisor.check()
                if time.monotonic() > until:
                    raise RuntimeError((home / "logs" / "code-server.log").read_text()[-3000:])
                time.sleep(0.1)
            supervisor.start("daemon", daemon_command(workspace))
            yield instance
    finally:
        supervisor.stop_all(patience=30)


def _answers(socket: Path) -> bool:
    """Whether the definitions are loaded. A daemon that finds none fails the backfill."""
    client = DagsterGrpcClient(socket=str(socket))
    try:
        found = deserialize_value(client.list_repositories(), ListRepositoriesResponse)
    except Exception:
        # The server is not up yet or has not loaded yet; the errors differ.
        return False
    return bool(found.repository_symbols)


def backfill(instance: DagsterInstance, keys: Sequence[str]) -> float:
    """Backfill both assets as the UI does. Returns the seconds."""
    with partition_loading_context(dynamic_partitions_store=instance):
        asked = PartitionBackfill.from_asset_partitions(
            backfill_id="bench",
            asset_graph=one_run_per_shop_definitions.defs.resolve_asset_graph(),
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
    started = time.monotonic()
    instance.add_backfill(asked)
    while True:
        seconds = time.monotonic() - started
        found = instance.get_backfill("bench")
        if found is not None and found.status in BULK_ACTION_TERMINAL_STATUSES:
            break
        if seconds > PATIENCE:
            raise RuntimeError(f"the backfill did not end within {PATIENCE:.0f} s")
        time.sleep(0.5)
    for asset in ASSETS:
        done = len(instance.get_materialized_partitions(asset))
        if done != len(keys):
            raise RuntimeError(
                f"{done} of {len(keys)} shops of {asset.to_user_string()}: {found.status}, "
                f"{found.error and found.error.to_string()}, {_why(instance)}"
            )
    return seconds


def _why(instance: DagsterInstance) -> list[str]:
    """The messages of the errors in the newest runs."""
    return [
        entry.message[-500:]
        for run in instance.get_runs(limit=3)
        for entry in instance.all_logs(run.run_id)
        if entry.level >= 40 or "FAILURE" in str(entry.dagster_event_type)
    ]


def main() -> None:
    """Backfill the shops, and print the seconds."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("stock_url")
    options.add_argument("shops", nargs="+")
    given = options.parse_args()
    # An exception, and not the signal, ends the process, so that no server is left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    # The path is short enough for a socket.
    with (
        tempfile.TemporaryDirectory(prefix="connector-") as name,
        dagster(Path(name), given.stock_url) as instance,
    ):
        instance.add_dynamic_partitions("shops", given.shops)
        print(f"{backfill(instance, given.shops):.1f}")


if __name__ == "__main__":
    main()
