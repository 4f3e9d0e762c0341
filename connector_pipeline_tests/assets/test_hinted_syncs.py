"""A hint leads to a sync that asks by id for what it names, and says nothing of the rest."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from dagster import build_sensor_context
from psycopg.rows import dict_row

from connector_pipeline.automation.change_feeds import change_feeds
from connector_pipeline.automation.sync_queue import shops_of
from connector_pipeline.credentials.token_service import TokenService
from connector_pipeline.model.hint import Hint, HintSource
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline.state import gathering, hints, queued_runs
from connector_pipeline.state.hints import ReceivedHint
from connector_pipeline.state.queued_runs import Capacity
from connector_pipeline_tests.assets.conftest import CATALOG_ITEMS, RAW_PRODUCTS, Pipeline
from connector_pipeline_tests.assets.test_sync_shops import sync

SHOPIFY = ShopSpec(
    platform="shopify",
    domain="hinted.myshopify.com",
    merchant_id="merchant-hinted",
    platform_shop_id="77",
    products=6,
    variants=(2, 2),
    seed=7,
    awkward=False,
)
WOOCOMMERCE = ShopSpec(
    platform="woocommerce",
    domain="hinted.example",
    merchant_id="merchant-hinted",
    platform_shop_id="wc-hinted",
    products=6,
    variants=(2, 2),
    seed=7,
    awkward=False,
)


@dataclass(frozen=True)
class Hinted:
    """A shop of six products that had a full sync, and what hints of it lead to."""

    pipeline: Pipeline
    shop: SandboxShop
    key: str

    def hint(self, *tokens: str, changed_at: datetime | None = None) -> None:
        platform_name, domain = self.key.split("/")
        with self.pipeline.database.connect() as connection:
            hints.put(
                connection,
                [
                    ReceivedHint(
                        platform_name,
                        domain,
                        HintSource.WEBHOOK,
                        Hint("products/update", token, changed_at),
                    )
                    for token in tokens
                ],
            )

    def sync(self) -> dict[str, Any]:
        """Gather the hints and sync for them; return the record of the sync."""
        with self.pipeline.database.connect() as connection:
            connection.execute("UPDATE connector.hints SET not_before = now()")
            gathering.gather(connection, pause=timedelta(0), most_hinted={})
            queued_runs.take(connection, capacity=Capacity(1, 1, 1), shops_per_run=100)
            [launch] = queued_runs.unseen(connection)
            queued_runs.seen(connection, {launch.launch_id: f"run of {launch.launch_id}"})
        self.pipeline.sandbox.requests.clear()
        sync(self.pipeline, shops_of(launch))
        return self.select(
            f"SELECT * FROM connector.syncs WHERE sync_id = '{launch.shops[0].sync_id}'"
        )[0]

    def look(self) -> None:
        """Look at the shop's change feed, as a tick of the sensor does."""
        with self.pipeline.database.connect() as connection:
            connection.execute(
                "UPDATE connector.change_looks SET look_at = now(), looked_at = now()"
            )
        resources: dict[str, Any] = {
            "database": self.pipeline.database,
            "token_service": TokenService(url=self.pipeline.sandbox.token_service_url),
        }
        with build_sensor_context(instance=self.pipeline.instance, resources=resources) as context:
            change_feeds(context)

    def waiting(self) -> list[tuple[str, int]]:
        """The tokens that wait to be asked for again, and how often they were."""
        rows = self.select(
            "SELECT token, asked FROM connector.hints WHERE gathered_at IS NULL ORDER BY token"
        )
        return [(row["token"], row["asked"]) for row in rows]

    def requests(self) -> int:
        platform_name, _ = self.key.split("/")
        return len(self.pipeline.sandbox.requests.requests(service=platform_name))

    def select(self, statement: str) -> list[dict[str, Any]]:
        with self.pipeline.database.connect() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            return cursor.execute(statement).fetchall()  # type: ignore[arg-type]

    def live(self) -> dict[str, dict[str, Any]]:
        rows = self.select("SELECT * FROM catalog.catalog_items WHERE deleted_at IS NULL")
        return {row["variant_id"]: row for row in rows}


@pytest.fixture(params=[SHOPIFY, WOOCOMMERCE], ids=lambda spec: spec.platform)
def hinted(
    pipeline: Pipeline, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Hinted:
    """A shop of each platform after its first sync."""
    monkeypatch.setenv("FULL_SYNC_EVERY", "24h")
    spec: ShopSpec = request.param
    shop = pipeline.sandbox.store.put(spec)
    key = f"{spec.platform}/{spec.domain}"
    pipeline.register(key)
    assert sync(pipeline, [key]).success
    return Hinted(pipeline, shop, key)


def products(hinted: Hinted) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in hinted.live().values():
        found.setdefault(row["product_id"], []).append(row["variant_id"])
    return found


def test_what_hints_name_is_in_the_catalog_and_nothing_else_is_asked_for(hinted: Hinted) -> None:
    """A new price, and a product and a variant that are gone by the platform's own word."""
    before = hinted.pipeline.registry.get(hinted.key)
    of_products = products(hinted)
    repriced, doomed, unhinted, *_ = sorted(of_products)
    for product_id in (repriced, unhinted):
        hinted.shop.edit_variant(
            int(of_products[product_id][0]), {"price": "77.50"}, at=datetime.now(UTC)
        )
    hinted.shop.remove_product(int(doomed))
    lost = of_products[repriced][1]
    hinted.shop.remove_variant(int(lost))
    hinted.hint(repriced, f"deleted/{doomed}")
    record = hinted.sync()
    assert (record["sync_type"], record["status"], record["hinted"]) == ("hinted", "succeeded", 2)
    live = hinted.live()
    assert live[of_products[repriced][0]]["price"] == Decimal("77.50")
    assert live[of_products[unhinted][0]]["price"] != Decimal("77.50")
    assert not {lost, *of_products[doomed]} & live.keys()
    assert record["deleted"] == 1 + len(of_products[doomed])
    assert hinted.requests() <= 8
    after = hinted.pipeline.registry.get(hinted.key)
    assert after.last_hinted_sync_at == record["started_at"]
    unheard = {"last_hinted_sync_at": None, "last_hint_at": None}
    assert after.model_copy(update=unheard) == before
    metadata = hinted.pipeline.materialized(CATALOG_ITEMS, record["run_id"])[hinted.key]
    assert metadata["sync_type"] == "hinted"
    # The next increment brings what no hint named.
    assert sync(hinted.pipeline, [hinted.key]).success
    assert hinted.live()[of_products[unhinted][0]]["price"] == Decimal("77.50")


def test_a_snapshot_of_the_whole_shop_stays_the_newest_and_sets_no_later_row_back(
    hinted: Hinted,
) -> None:
    """A run of two steps that a sync for hints comes between: as in Dagster's own backfill."""
    of_products = products(hinted)
    edited, doomed, *_ = sorted(of_products)
    fetched = hinted.pipeline.materialize(hinted.key, assets=[RAW_PRODUCTS], sync_type="full")
    assert fetched.success
    hinted.shop.edit_variant(int(of_products[edited][0]), {"price": "77.50"}, at=datetime.now(UTC))
    hinted.shop.remove_product(int(doomed))
    hinted.hint(edited, doomed)
    assert hinted.sync()["sync_type"] == "hinted"
    published = hinted.pipeline.materialize(hinted.key, assets=[CATALOG_ITEMS])
    assert published.success
    metadata = hinted.pipeline.materialized(CATALOG_ITEMS, published.run_id)[hinted.key]
    assert metadata["sync_type"] == "full"
    live = hinted.live()
    assert live[of_products[edited][0]]["price"] == Decimal("77.50")
    assert not set(of_products[doomed]) & live.keys()


def test_a_change_that_is_not_shown_yet_is_asked_for_again(hinted: Hinted) -> None:
    """The hint states a newer time than the platform's answer has, because a replica lags."""
    product_id, *_ = sorted(products(hinted))
    hinted.hint(product_id, changed_at=datetime.now(UTC) + timedelta(days=1))
    assert hinted.sync()["status"] == "succeeded"
    assert hinted.waiting() == [(product_id, 1)]
    hinted.sync()
    assert hinted.waiting() == [(product_id, 2)]


def test_a_row_that_is_newer_than_the_answer_stays_and_is_asked_for_again(hinted: Hinted) -> None:
    """By a sync for hints and by an increment. A full sync takes what the platform says."""
    of_products = products(hinted)
    product_id, *_ = sorted(of_products)
    variant_id = of_products[product_id][0]
    with hinted.pipeline.database.connect() as connection:
        connection.execute(
            "UPDATE catalog.catalog_items SET price = 5, updated_at = now() + interval '1 day'"
            " WHERE variant_id = %s",
            (variant_id,),
        )
    hinted.hint(product_id)
    record = hinted.sync()
    assert (record["status"], record["updated"]) == ("succeeded", 0)
    assert hinted.live()[variant_id]["price"] == 5
    assert hinted.waiting() == [(product_id, 1)]
    hinted.shop.edit_variant(int(variant_id), {"price": "8.00"}, at=datetime.now(UTC))
    increment = hinted.pipeline.materialize(hinted.key, sync_type="incremental")
    assert increment.success
    assert hinted.live()[variant_id]["price"] == 5
    metadata = hinted.pipeline.materialized(CATALOG_ITEMS, increment.run_id)[hinted.key]
    assert any("older state" in each for each in metadata["warnings"])
    assert hinted.pipeline.materialize(hinted.key, sync_type="full").success
    assert hinted.live()[variant_id]["price"] == 8


def test_another_currency_is_read_in_full(hinted: Hinted) -> None:
    """A product in the new currency beside others in the old one would mislead."""
    product_id, *_ = sorted(products(hinted))
    spec = SHOPIFY if hinted.key.startswith("shopify") else WOOCOMMERCE
    hinted.pipeline.sandbox.store.put(replace(spec, currency="NOK"))
    hinted.hint(product_id)
    record = hinted.sync()
    assert (record["sync_type"], record["status"], record["hinted"]) == ("full", "succeeded", None)
    assert {row["currency"] for row in hinted.live().values()} == {"NOK"}


def test_without_webhooks_a_look_brings_a_change_and_a_deletion_into_the_catalog(
    hinted: Hinted,
) -> None:
    """From the platform's change feed to the rows, and nothing asks for a sync."""
    of_products = products(hinted)
    edited, doomed, *_ = sorted(of_products)
    hinted.look()  # The shop is watched from now on.
    hinted.look()  # And was seen once.
    if hinted.shop.spec.platform == "woocommerce":
        # A first look has no lengths to compare with.
        assert hinted.sync()["sync_type"] == "incremental"
    assert hinted.waiting() == []
    variant_id = of_products[edited][0]
    hinted.shop.edit_variant(int(variant_id), {"price": "77.50"}, at=datetime.now(UTC))
    hinted.shop.remove_product(int(doomed))
    hinted.look()
    record = hinted.sync()
    assert (record["status"], record["deleted"]) == ("succeeded", len(of_products[doomed]))
    assert hinted.live()[variant_id]["price"] == Decimal("77.50")
    gone = hinted.select(f"SELECT * FROM catalog.catalog_items WHERE product_id = '{doomed}'")
    assert all(row["deleted_at"] is not None for row in gone)
    hinted.look()
    assert hinted.waiting() == []
