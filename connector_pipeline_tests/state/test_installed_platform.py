"""Shops of an installed package's platform are like any others, as long as the package is there."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from connector_pipeline.model.errors import InvalidShop, UnknownShop
from connector_pipeline.model.shop import Shop
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.model.sync_request import SyncRequest
from connector_pipeline.platforms.adapters import BUILT_IN, found_adapters
from connector_pipeline.postgres.database import Database
from connector_pipeline.state import inbox
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline_tests.platforms.stand_in_package import install

Installed = Callable[[Path], None]

ACME = Shop(
    merchant_id="m-1",
    platform_name="stand_in",
    platform_shop_id="1",
    domain="acme.stand-in.example",
)
KEY = ACME.partition_key
CSV = f"merchant_id,platform_name,platform_shop_id,domain\nm-1,stand_in,1,{ACME.domain}\n"
REQUEST = SyncRequest(sync_id="s-1", **ACME.model_dump(exclude={"currency"}))


def test_its_shops_are_registered_imported_and_requested_as_any(
    tmp_path: Path, installed: Installed, registry: ShopRegistry, database: Database
) -> None:
    """Its adapter checks their domains."""
    installed(install(tmp_path / "site"))
    assert registry.add(ACME) == "added"
    (tmp_path / "shops.csv").write_text(CSV)
    assert registry.import_csv(tmp_path / "shops.csv")["unchanged"] == 1
    with database.connect() as connection:
        inbox.put(connection, [REQUEST])
        assert inbox.accept(connection, limit=10) == (1, 0)
        [queued] = connection.execute(
            "SELECT platform_name, domain, sync_id FROM connector.sync_queue"
        ).fetchall()
    assert queued == (ACME.platform_name, ACME.domain, "s-1")
    with pytest.raises(InvalidShop, match="not a stand-in shop's domain"):
        registry.add(ACME.model_copy(update={"domain": "shop.example.com"}))


def test_without_the_package_its_shops_are_refused_everywhere(
    tmp_path: Path, registry: ShopRegistry, database: Database
) -> None:
    """The error names the platforms that have an adapter."""
    reason = f"'stand_in' is not a platform we know: {', '.join(BUILT_IN)}"
    with pytest.raises(InvalidShop, match=reason):
        registry.add(ACME)
    (tmp_path / "shops.csv").write_text(CSV)
    with pytest.raises(InvalidShop, match=f"line 2: {reason}"):
        registry.import_csv(tmp_path / "shops.csv")
    with pytest.raises(InvalidShop, match=reason):
        registry.get(KEY)
    with database.connect() as connection:
        inbox.put(connection, [REQUEST])
        assert inbox.accept(connection, limit=10) == (0, 1)
        [(refusal,)] = connection.execute("SELECT refusal FROM connector.sync_requests")
    assert reason in refusal


def test_an_operator_can_still_remove_a_shop_whose_package_is_gone(
    tmp_path: Path,
    installed: Installed,
    registry: ShopRegistry,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The operator can also see and pause it; new requests, which need it, are refused."""
    installed(install(tmp_path / "site"))
    registry.add(ACME)
    with database.connect() as connection:
        inbox.put(connection, [REQUEST])
        inbox.accept(connection, limit=10)
    monkeypatch.setattr(sys, "path", [each for each in sys.path if str(tmp_path) not in each])
    found_adapters.cache_clear()
    assert registry.get(KEY).platform_name == "stand_in"
    assert [shop.partition_key for shop in registry.list()] == [KEY]
    with database.connect() as connection:
        inbox.put(connection, [REQUEST.model_copy(update={"sync_id": "s-2"})])
        assert inbox.accept(connection, limit=10) == (0, 1)
        [(refused, refusal)] = connection.execute(
            "SELECT sync_id, refusal FROM connector.sync_requests WHERE refused_at IS NOT NULL"
        )
    assert refused == "s-2"
    assert "not a platform we know" in refusal
    registry.set_state(KEY, ShopState.PAUSED)
    registry.remove(KEY)
    with pytest.raises((InvalidShop, UnknownShop)):
        registry.remove(KEY)
