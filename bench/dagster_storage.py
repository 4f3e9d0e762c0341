"""The cost of Dagster's own storage per shop: stock, then pooled, then pooled and batched.

One run has a range of 200 shops and an asset that only reports each. The baseline is the stock
storage in the same rounds, over the same embedded Postgres.
Run it as `python bench/dagster_storage.py`.
"""

import json
import os
import statistics
import tempfile
import time
from pathlib import Path

from dagster import (
    AssetExecutionContext,
    AssetKey,
    DagsterInstance,
    Definitions,
    DynamicPartitionsDefinition,
    MetadataValue,
    asset,
    in_process_executor,
)

from connector_pipeline.assets.reporting import report_partitions
from connector_pipeline.postgres.embedded.server import EmbeddedPostgres

SHOPS = 200
ROUNDS = 3
KEYS = [f"shopify/shop-{number}.myshopify.com" for number in range(SHOPS)]
POOLED = {"module": "connector_pipeline.engine.storage", "class": "ConnectorStorage"}


@asset(partitions_def=DynamicPartitionsDefinition(name="shops"))
def reported(context: AssetExecutionContext) -> None:
    """Reports each shop, as raw_products does at its end."""
    metadata = {"pages": MetadataValue.int(3), "requests": MetadataValue.int(4)}
    report_partitions(context, dict.fromkeys(context.partition_keys, metadata), {})


JOB = Definitions(
    assets=[reported], executor=in_process_executor
).resolve_implicit_global_asset_job_def()


def run(storage: dict[str, object], batch: int) -> float:
    """Run the range once with this storage. Returns milliseconds per shop."""
    os.environ["DAGSTER_EVENT_BATCH_SIZE"] = str(batch)
    with tempfile.TemporaryDirectory() as home:
        # JSON is YAML, too.
        (Path(home) / "dagster.yaml").write_text(
            json.dumps({"storage": storage, "telemetry": {"enabled": False}})
        )
        with DagsterInstance.from_config(home) as instance:
            instance.add_dynamic_partitions("shops", KEYS)
            started = time.perf_counter()
            result = JOB.execute_in_process(
                instance=instance,
                asset_selection=[AssetKey("reported")],
                tags={
                    "dagster/asset_partition_range_start": KEYS[0],
                    "dagster/asset_partition_range_end": KEYS[-1],
                },
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )
            if not result.success:
                raise RuntimeError("the run failed")
            return (time.perf_counter() - started) * 1000 / SHOPS


def main() -> None:
    """Print milliseconds per shop and the ratio to the stock storage."""
    with tempfile.TemporaryDirectory(prefix="connector-") as name:
        home = Path(name)
        home.chmod(0o711)
        with EmbeddedPostgres(home) as server:
            os.environ["DAGSTER_POSTGRES_URL"] = server.dagster_url
            stock: dict[str, object] = {"postgres": {"postgres_url": server.dagster_url}}
            variants: dict[str, tuple[dict[str, object], int]] = {
                "stock": (stock, 0),
                "pooled": ({"custom": {**POOLED, "config": {}}}, 0),
                "pooled, batches of 500": ({"custom": {**POOLED, "config": {}}}, 500),
            }
            run(*variants["pooled"])  # makes the tables, and warms up
            taken = {name: [run(*each) for _ in range(ROUNDS)] for name, each in variants.items()}
    baseline = statistics.median(taken["stock"])
    print(f"{'storage':<24}{'ms a shop':>10}{'ratio':>8}   (median of {ROUNDS}, {SHOPS} shops)")
    for name, times in taken.items():
        median = statistics.median(times)
        print(f"{name:<24}{median:>10.1f}{median / baseline:>8.2f}")


if __name__ == "__main__":
    main()
