"""Measure the ticks of the sensors that look at every shop, over 10,000 new shops.

    python bench/sensor_ticks.py [--shops 10000]

Over an embedded Postgres of its own, without a daemon: `shop_partitions` adds the partitions of the
new shops and then finds nothing to do; `sweep` finds no shop due, then puts all of them into the
queue; `sync_queue` then takes shops for as many runs as may go on at once.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dagster import DagsterInstance, SensorDefinition, SensorResult, build_sensor_context

from connector_pipeline.automation.shop_partitions import shop_partitions
from connector_pipeline.automation.sweep import sweep
from connector_pipeline.automation.sync_queue import sync_queue_sensor
from connector_pipeline.cli.local_services import instance_config
from connector_pipeline.postgres.database import Database
from connector_pipeline.postgres.embedded.server import EmbeddedPostgres
from connector_pipeline.postgres.migrate import migrate
from connector_pipeline.state.registry import ShopRegistry


@contextmanager
def instance(home: Path) -> Generator[tuple[DagsterInstance, Database]]:
    """An instance with our settings, and a migrated database."""
    with EmbeddedPostgres(home) as server:
        folder = home / "dagster"
        folder.mkdir()
        (folder / "dagster.yaml").write_text(instance_config().read_text())
        os.environ |= {
            "CONNECTOR_HOME": str(home),
            "CONNECTOR_DATABASE_URL": server.url("catalog"),
            "DAGSTER_POSTGRES_URL": server.dagster_url,
            "DAGSTER_HOME": str(folder),
        }
        migrate(server.url("catalog"))
        with DagsterInstance.get() as made:
            yield made, Database()


def tick(name: str, evaluate: Callable[[], Any]) -> Any:
    """Evaluate a sensor once, and print its seconds and its answer in short."""
    started = time.monotonic()
    answer = evaluate()
    seconds = time.monotonic() - started
    if isinstance(answer, SensorResult):
        requests = answer.dynamic_partitions_requests or ()
        added = sum(len(request.partition_keys) for request in requests)
        said = f"{len(answer.run_requests or ())} runs asked for, {added} partitions added"
    else:
        said = getattr(answer, "skip_message", str(answer))
    print(f"{name:<34}{seconds:>7.2f} s   {said}", flush=True)
    return answer


def main() -> None:
    """Print the seconds of each tick."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--shops", type=int, default=10_000)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="connector-bench-") as name:
        home = Path(name)
        home.chmod(0o711)
        with instance(home) as (dagster, database):
            _measure(dagster, database, given.shops)


def _measure(dagster: DagsterInstance, database: Database, shops: int) -> None:
    with database.connect() as connection:
        connection.execute(
            "INSERT INTO connector.shops (platform_name, domain, merchant_id, platform_shop_id) "
            "SELECT 'shopify', 'new-' || n || '.myshopify.com', 'merchant-' || n %% 97, n "
            "FROM generate_series(1, %s) AS n",
            (shops,),
        )
    resources = {"registry": ShopRegistry(database=database), "database": database}

    def evaluated(sensor: SensorDefinition, *needed: str) -> Any:
        given = {name: resources[name] for name in needed}
        with build_sensor_context(instance=dagster, resources=given) as context:
            return sensor(context)

    for number in ("first", "second"):
        answer = tick(
            f"{number} of shop_partitions", lambda: evaluated(shop_partitions, "registry")
        )
        if isinstance(answer, SensorResult):
            for request in answer.dynamic_partitions_requests or ():
                dagster.add_dynamic_partitions("shops", list(request.partition_keys))
    with database.connect() as connection:
        connection.execute("UPDATE connector.shops SET registered_at = now() - interval '3 years'")
    for what, cron, swept in (
        ("nothing due", "0 0 1 1 *", "now()"),
        ("all due", "* * * * *", "'2020-01-01'"),
    ):
        os.environ["SYNC_CRON"] = cron
        with database.connect() as connection:
            connection.execute(f"UPDATE connector.shops SET last_swept_at = {swept}")  # noqa: S608
        tick(f"sweep, {what}", lambda: evaluated(sweep, "database"))
    queue = sync_queue_sensor(looks_for=0.0)
    tick(f"sync_queue, {shops} shops wait", lambda: evaluated(queue, "database"))


if __name__ == "__main__":
    main()
