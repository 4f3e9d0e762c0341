"""How many Postgres sessions a run opens does not depend on how many shops it syncs."""

import os
from pathlib import Path

import psycopg

from connector_pipeline.assets.sync_shops import JOB, run_config
from connector_pipeline.model.sync import ShopToSync
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline_tests.assets.conftest import CATALOG_ITEMS, Pipeline
from connector_pipeline_tests.assets.run_worker import RunWorker

SHOPS = 30
MOST_SESSIONS = 20
"""Of the catalog and of Dagster's storage together. bench/sessions.py counts them by name."""


def test_a_run_over_many_shops_opens_few_sessions(stored: Pipeline, tmp_path: Path) -> None:
    """The server counts them. One for each step of each shop would be five for each shop."""
    specs = [
        ShopSpec(
            platform="shopify" if number % 2 else "woocommerce",
            domain=f"few-{number}.myshopify.com" if number % 2 else f"few-{number}.example",
            merchant_id="merchant-few",
            platform_shop_id=str(number),
            products=1,
            variants=(1, 1),
            seed=number,
            awkward=False,
        )
        for number in range(SHOPS)
    ]
    for spec in specs:
        stored.sandbox.store.put(spec)
    keys = [f"{spec.platform}/{spec.domain}" for spec in specs]
    stored.register(*keys)
    catalog = stored.database.connection_url()
    storage = os.environ["DAGSTER_POSTGRES_URL"].replace("+psycopg2", "")
    before = opened(catalog) + opened(storage)
    worker = RunWorker(
        stored,
        tmp_path / "log",
        tags={},
        job=JOB,
        run_config=run_config([ShopToSync(key) for key in keys]),
    )
    worker.wait()
    assert opened(catalog) + opened(storage) - before <= MOST_SESSIONS
    assert set(stored.materialized(CATALOG_ITEMS, worker.run_id)) == set(keys)


def opened(url: str) -> int:
    """The database's sessions so far. The server may not count the few that are ending yet."""
    with psycopg.connect(url) as connection:
        [(sessions,)] = connection.execute(
            "SELECT sessions FROM pg_stat_database WHERE datname = current_database()"
        ).fetchall()
    return sessions
