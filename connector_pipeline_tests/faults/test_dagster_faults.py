"""Faults of Dagster's own database while a run writes its events, and faults seen by real runs.

The events are a report: the catalog does not depend on them.
"""

import os
from collections.abc import Mapping
from typing import Any, Final
from uuid import uuid4

import pytest

from connector_pipeline.assets.sync_shops import JOB, run_config
from connector_pipeline.definitions import build_definitions
from connector_pipeline.model.sync import ShopToSync
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline.settings import load_settings
from connector_pipeline_tests.assets.conftest import (
    CATALOG_ITEMS,
    RAW_PRODUCTS,
    Pipeline,
    pipeline,
    stored,
)
from connector_pipeline_tests.faults.cells import CELLS
from connector_pipeline_tests.faults.storage_cells import ERRORS, troubled_table

__all__ = ["pipeline", "stored"]

SHOPS: Final = (
    ShopSpec("shopify", "seen.myshopify.com", "m-1", "1", products=5, awkward=False),
    ShopSpec("woocommerce", "seen.example", "m-1", "2", products=5, awkward=False),
)
KEYS: Final = tuple(f"{spec.platform}/{spec.domain}" for spec in SHOPS)


def put(over: Pipeline) -> None:
    for spec in SHOPS:
        over.sandbox.store.put(spec)
    over.register(*KEYS)


def run(over: Pipeline) -> bool:
    """Run the job over both shops as a command does. Returns whether it succeeded."""
    job = build_definitions(load_settings()).resolve_job_def(JOB)
    config = run_config([ShopToSync(key) for key in KEYS])
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    ended = job.execute_in_process(
        instance=over.instance,
        run_config=config | quiet,
        run_id=str(uuid4()),
        raise_on_error=False,
    )
    return ended.success


def rows(over: Pipeline, key: str) -> set[tuple[str, str]]:
    found = over.rows(key)
    return set(zip(found.variant_id, found.product_title, strict=True))


def true_rows(over: Pipeline, key: str) -> set[tuple[str, str]]:
    return {(each["variant_id"], each["product_title"]) for each in over.served(key).values()}


@pytest.mark.parametrize("error", ["disk full", "statement time-out", "session ended"])
def test_events_that_cannot_be_written_cost_no_shop_its_catalog(
    stored: Pipeline, error: str
) -> None:
    """The run fails, each catalog is as before or true, and the next run reports both shops."""
    put(stored)
    assert run(stored)
    before = {key: rows(stored, key) for key in KEYS}
    for key in KEYS:
        platform, domain = key.split("/")
        shop = stored.sandbox.store.shop(platform, domain)
        shop.append_products(2)
    url = os.environ["DAGSTER_POSTGRES_URL"].replace("+psycopg2", "")
    with troubled_table(
        url,
        "public.event_logs",
        ERRORS[error],
        times=None,
        only="NEW.dagster_event_type = 'ASSET_MATERIALIZATION'",
    ):
        try:
            succeeded = run(stored)
        except Exception:
            # Dagster cannot write that the run failed either.
            succeeded = False
    assert not succeeded
    for key in KEYS:
        assert rows(stored, key) in (before[key], true_rows(stored, key))
    assert run(stored)
    for key in KEYS:
        assert rows(stored, key) == true_rows(stored, key)
        assert stored.registry.get(key).consecutive_failures == 0


SEEN: Final[Mapping[str, str]] = {
    "shopify: token: 503": "TokenServiceUnavailable",
    "shopify: later page: reset amid the body": "PlatformUnavailable",
    "shopify: first page: 429, wait an hour": "RateLimited",
    "shopify: first page: redirect to a metadata address": "InvalidResponse",
    "woocommerce: first page: JSON object": "InvalidResponse",
    "woocommerce: currency: captcha page at 200": "PlatformUnavailable",
}


@pytest.mark.parametrize("name", SEEN)
def test_a_run_shows_the_error_of_the_shop_alone(
    pipeline: Pipeline, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other shop of the run is materialized and true."""
    monkeypatch.setenv("SHOPIFY_BATCH_SIZE", "2")
    monkeypatch.setenv("WOOCOMMERCE_BATCH_SIZE", "2")
    put(pipeline)
    cell = CELLS[name]
    faulted, good = sorted(KEYS, key=lambda key: not key.startswith(cell.phase.platform))
    assert run(pipeline)
    for key in KEYS:
        platform, domain = key.split("/")
        pipeline.sandbox.store.shop(platform, domain).append_products(2)
    before = rows(pipeline, faulted)
    match: dict[str, Any] = {
        "platform": cell.phase.service,
        "domain": faulted.split("/")[1],
        **cell.phase.match,
    }
    pipeline.sandbox.faults.set([{"match": match, **cell.rule}])
    result = pipeline.materialize(*KEYS)
    assert not result.success
    assert SEEN[name] in pipeline.failure(result)
    assert faulted in pipeline.failure(result)
    for asset in (RAW_PRODUCTS, CATALOG_ITEMS):
        assert faulted not in pipeline.materialized(asset, result.run_id)
    assert rows(pipeline, faulted) == before
    assert good in pipeline.materialized(RAW_PRODUCTS, result.run_id)
    pipeline.sandbox.faults.clear()
    assert run(pipeline)
    for key in KEYS:
        assert rows(pipeline, key) == true_rows(pipeline, key)
