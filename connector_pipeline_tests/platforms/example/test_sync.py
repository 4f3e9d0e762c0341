"""The example as an installed package: its entry point is found, and its shop is synced."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Self
from uuid import uuid4

import pytest
from dagster import DagsterInstance, ExecuteInProcessResult

from connector_pipeline.catalog.read import shop_items
from connector_pipeline.definitions import build_definitions
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms import adapters
from connector_pipeline.postgres.database import Database
from connector_pipeline.settings import Settings, load_settings
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline_tests.platforms.example.adapter import AcmeAdapter
from connector_pipeline_tests.platforms.example.stand_in import AcmeShop, product

SHOP = Shop(
    merchant_id="m-1",
    platform_name="acme",
    platform_shop_id="1",
    domain=AcmeAdapter.example_domain,
)
KEY = SHOP.partition_key


class InstalledAdapter(AcmeAdapter):
    """Acme's adapter, which asks the stand-in for every shop."""

    url = ""

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """As Acme's adapter, with the stand-in's URL."""
        return replace(super().from_settings(settings), base_url=cls.url)


@pytest.fixture
def acme(monkeypatch: pytest.MonkeyPatch, database_url: str, tmp_path: Path) -> Iterator[AcmeShop]:
    """A shop of seven products, whose platform an installed package brings."""

    def installed(*, group: str) -> Iterable[EntryPoint]:
        where = f"{__name__}:{InstalledAdapter.__name__}"
        return [EntryPoint(name="acme", value=where, group=group)]

    monkeypatch.setattr(adapters, "entry_points", installed)
    adapters.found_adapters.cache_clear()
    with AcmeShop(*(product(number) for number in range(1, 8))) as shop:
        monkeypatch.setattr(InstalledAdapter, "url", shop.url)
        monkeypatch.setenv("TOKEN_SERVICE_URL", shop.url)
        monkeypatch.setenv("ALLOW_PRIVATE_HOSTS", "true")
        monkeypatch.setenv("CONNECTOR_DATABASE_URL", database_url)
        monkeypatch.setenv("RAW_ARCHIVE_URL", str(tmp_path / "raw"))
        yield shop
    adapters.found_adapters.cache_clear()


def sync(instance: DagsterInstance, sync_type: str) -> ExecuteInProcessResult:
    """Materialize both assets of the shop."""
    job = build_definitions(load_settings()).resolve_implicit_global_asset_job_def()
    return job.execute_in_process(
        instance=instance,
        partition_key=KEY,
        run_id=str(uuid4()),
        run_config={"ops": {"raw_products": {"config": {"sync_type": sync_type}}}},
    )


def test_a_shop_of_an_installed_platform_is_synced_like_any_other(
    acme: AcmeShop, database: Database, registry: ShopRegistry
) -> None:
    """It is synced in full and by increments, and a product that is gone becomes tombstones."""
    registry.add(SHOP)

    def live() -> dict[str, str]:
        with database.connect() as connection:
            rows = shop_items(connection, KEY)
        return dict(zip(rows["variant_id"], rows["product_title"], strict=True))

    with DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("shops", [KEY])
        assert sync(instance, "full").success
        assert live() == {f"{number}1": f"Mug {number}" for number in range(1, 8)}

        acme.products[3] |= {"title": "A better mug", "modified": "2099-01-01T00:00:00Z"}
        assert sync(instance, "incremental").success
        assert live()["31"] == "A better mug"

        del acme.products[7]
        assert sync(instance, "full").success
        assert live().keys() == {f"{number}1" for number in range(1, 7)}
    assert "acme" in (build_definitions(load_settings()).resources or {})
