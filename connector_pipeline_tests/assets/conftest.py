"""The whole pipeline as Dagster runs it, over the sandbox and a fresh database."""

import json
import shutil
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import pandas as pd
import pytest
from dagster import (
    AssetKey,
    AssetRecordsFilter,
    DagsterInstance,
    Definitions,
    ExecuteInProcessResult,
    MetadataValue,
)

from connector_pipeline.assets.run_identity import SYNC_ID_TAG
from connector_pipeline.catalog.read import shop_items
from connector_pipeline.cli.local_services import instance_config
from connector_pipeline.definitions import build_definitions
from connector_pipeline.model.shop import Shop
from connector_pipeline.postgres.database import Database
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.expected import expected_items
from connector_pipeline.settings import load_settings
from connector_pipeline.state.registry import ShopRegistry

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
RAW_PRODUCTS = "raw_products"
CATALOG_ITEMS = "catalog_items"


def metadata_values(metadata: Mapping[str, MetadataValue[Any]]) -> dict[str, Any]:
    """The values by name; warnings as texts, and details by their names, from their tables."""
    values: dict[str, Any] = {name: value.value for name, value in metadata.items()}
    warnings = values["warnings"].records if "warnings" in values else []
    details = values["details"].records if "details" in values else []
    return values | {
        "warnings": [row.data["warning"] for row in warnings],
        "details": {row.data["detail"]: _parsed(row.data["value"]) for row in details},
    }


def _parsed(written: Any) -> Any:
    """A number or the like of its JSON, a text as it is."""
    try:
        return json.loads(written)
    except ValueError:
        return written


@dataclass(frozen=True)
class Pipeline:
    """Materializes partitions in real runs, and shows how they ended."""

    instance: DagsterInstance
    registry: ShopRegistry
    database: Database
    sandbox: SandboxServer

    def register(self, *keys: str) -> None:
        """Register shops, of the sandbox or not, and add their partitions."""
        known = {
            f"{shop.spec.platform}/{shop.spec.domain}": shop.spec for shop in self.sandbox.store
        }
        for key in keys:
            platform, domain = key.split("/")
            spec = known.get(key)
            self.registry.add(
                Shop(
                    merchant_id=spec.merchant_id if spec else "m-0",
                    platform_name=platform,
                    platform_shop_id=spec.platform_shop_id if spec else "0",
                    domain=domain,
                )
            )
        self.instance.add_dynamic_partitions("shops", list(keys))

    def materialize(
        self,
        *keys: str,
        assets: Iterable[str] = (RAW_PRODUCTS, CATALOG_ITEMS),
        allow_shrink: bool = False,
        sync_type: str = "auto",
        tags: dict[str, str] | None = None,
        definitions: Definitions | None = None,
    ) -> ExecuteInProcessResult:
        """Make one run over one shop, or over the range from the first shop to the last.

        By default the run has definitions of its own, as one in a new process has.
        """
        definitions = definitions or build_definitions(load_settings())
        job = definitions.resolve_implicit_global_asset_job_def()
        selected = list(assets)
        ranged = {RANGE_START: keys[0], RANGE_END: keys[-1]} if len(keys) > 1 else {}
        configs: dict[str, dict[str, Any]] = {
            RAW_PRODUCTS: {"sync_type": sync_type},
            CATALOG_ITEMS: {"allow_shrink": allow_shrink},
        }
        config: dict[str, Any] = {
            "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            "ops": {name: {"config": configs[name]} for name in selected},
        }
        return job.execute_in_process(
            instance=self.instance,
            asset_selection=[AssetKey(name) for name in selected],
            partition_key=keys[0] if len(keys) == 1 else None,
            tags={**ranged, **(tags or {})},
            run_id=str(uuid4()),
            run_config=config,
            raise_on_error=False,
        )

    def sync(self, key: str, sync_type: str = "auto") -> tuple[dict[str, Any], dict[str, Any]]:
        """Sync a shop, which must succeed. Returns the metadata of both its partitions."""
        result = self.materialize(key, sync_type=sync_type)
        assert result.success, self.failure(result)
        return (
            self.materialized(RAW_PRODUCTS, result.run_id)[key],
            self.materialized(CATALOG_ITEMS, result.run_id)[key],
        )

    def materialized(self, asset: str, run_id: str) -> dict[str, dict[str, Any]]:
        """The partitions that a run materialized, with their metadata.

        Fails if one was materialized twice.
        """
        found: dict[str, dict[str, Any]] = {}
        records = self.instance.fetch_materializations(
            AssetRecordsFilter(asset_key=AssetKey(asset)), limit=1000
        ).records
        for record in records:
            if record.run_id != run_id:
                continue
            event = record.asset_materialization
            assert event is not None
            assert event.partition is not None
            assert event.partition not in found
            found[event.partition] = metadata_values(event.metadata)
        return found

    def served(self, key: str) -> dict[str, dict[str, Any]]:
        """The rows that a correct reader has of the sandbox's shop, by variant id."""
        platform, domain = key.split("/")
        items = expected_items(self.sandbox.store.shop(platform, domain))
        return {item["variant_id"]: item for item in items}

    def rows(self, key: str) -> pd.DataFrame:
        """The catalog's live rows of the shop."""
        with self.database.connect() as connection:
            return shop_items(connection, key)

    def failure(self, result: ExecuteInProcessResult) -> str:
        """The text of the first failed step."""
        for event in result.all_events:
            if event.is_step_failure:
                data = event.step_failure_data
                assert data.user_failure_data is not None
                assert data.user_failure_data.description is not None
                return data.user_failure_data.description
        raise AssertionError([str(event.message) for event in result.all_events][-3:])


@pytest.fixture
def pipeline(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Generator[Pipeline]:
    """A pipeline over a fresh sandbox with the default shops, a fresh database and archive."""
    with SandboxServer() as sandbox, DagsterInstance.ephemeral() as instance:
        for name, value in sandbox.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("CONNECTOR_DATABASE_URL", database_url)
        monkeypatch.setenv("RAW_ARCHIVE_URL", str(tmp_path / "raw"))
        # Each sync reads the whole shop, unless a test says otherwise.
        monkeypatch.setenv("FULL_SYNC_EVERY", "0s")
        # Retries are those of production, with shorter delays.
        monkeypatch.setenv("CONNECTOR_RETRY_DELAY", "0.01")
        database = Database(url=database_url)
        yield Pipeline(instance, ShopRegistry(database=database), database, sandbox)


@pytest.fixture
def stored(
    pipeline: Pipeline,
    empty_database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Generator[Pipeline]:
    """The pipeline on Dagster's real storage, which other processes find as in a deployment."""
    home = tmp_path / "dagster"
    home.mkdir()
    shutil.copyfile(instance_config(), home / "dagster.yaml")
    url = urlunsplit(urlsplit(empty_database_url)._replace(scheme="postgresql+psycopg2"))
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", url)
    with DagsterInstance.get() as instance:
        yield replace(pipeline, instance=instance)


def sync_id_tag(sync_id: str) -> dict[str, str]:
    """The run tag that names the sync."""
    return {SYNC_ID_TAG: sync_id}
