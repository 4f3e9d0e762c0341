"""From a shop to its rows in Postgres, as real Dagster runs over real HTTP and a real database."""

import math
from datetime import timedelta
from typing import Any

import pytest

from connector_pipeline.assets.run_identity import CORRELATION_ID_TAG
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.platforms.adapters import BUILT_IN
from connector_pipeline.sandbox.shops.default_shops import DEFAULT_SHOPS
from connector_pipeline.sandbox.shops.edits import now
from connector_pipeline_tests.assets.conftest import (
    CATALOG_ITEMS,
    RAW_PRODUCTS,
    Pipeline,
    sync_id_tag,
)
from connector_pipeline_tests.passing_time import minutes_pass

OURS = {"first_synced_at", "changed_at", "deleted_at", "sync_id"}


SHOPS = [f"{spec.platform}/{spec.domain}" for spec in DEFAULT_SHOPS]
SHOPIFY, OTHER_SHOPIFY = [key for key in SHOPS if key.startswith("shopify/")][:2]
WOOCOMMERCE, OTHER_WOOCOMMERCE = [key for key in SHOPS if key.startswith("woocommerce/")][:2]


def catalog(pipeline: Pipeline, key: str) -> dict[str, dict[str, Any]]:
    """The platform's columns of the shop's rows, by variant id."""
    rows = pipeline.rows(key).to_dict("records")
    return {
        row["variant_id"]: {str(name): row[name] for name in row if name not in OURS}
        for row in rows
    }


@pytest.mark.parametrize("key", SHOPS)
def test_a_shops_rows_equal_what_its_platform_serves(pipeline: Pipeline, key: str) -> None:
    """Every variant is equal in every field: titles byte for byte, exact prices, null as null."""
    pipeline.register(key)
    result = pipeline.materialize(key)
    assert result.success, pipeline.failure(result)
    expected = pipeline.served(key)
    found = catalog(pipeline, key)
    assert found.keys() == expected.keys()
    assert found == expected
    assert not any(isinstance(row["price"], float) for row in found.values())


def test_the_metadata_show_what_a_run_did(pipeline: Pipeline) -> None:
    """Each partition has rows, changes, pages, requests, seconds and a preview."""
    pipeline.register(SHOPIFY)
    result = pipeline.materialize(SHOPIFY)
    metadata = pipeline.materialized(CATALOG_ITEMS, result.run_id)[SHOPIFY]
    rows = len(pipeline.served(SHOPIFY))
    assert metadata["dagster/partition_row_count"] == rows
    assert (metadata["inserted"], metadata["updated"], metadata["unchanged"]) == (rows, 0, 0)
    assert metadata["rejected"] == 0
    assert metadata["pages"] > 0
    assert metadata["requests"] >= metadata["pages"]
    assert math.isfinite(metadata["read_seconds"])
    assert metadata["preview"].records[0].data["variant_id"] in pipeline.served(SHOPIFY)
    raw = pipeline.materialized(RAW_PRODUCTS, result.run_id)[SHOPIFY]
    assert raw["complete"] is True
    assert raw["pages"] == metadata["pages"]


@pytest.mark.parametrize("key", [SHOPIFY, WOOCOMMERCE])
def test_the_metadata_show_how_fresh_the_rows_are(pipeline: Pipeline, key: str) -> None:
    """In words and as numbers to plot; not for a first sync, of which nothing could be late."""
    pipeline.register(key)
    shop = pipeline.sandbox.store.shop(*key.split("/"))
    first = pipeline.materialize(key)
    assert "freshness_seconds" not in pipeline.materialized(CATALOG_ITEMS, first.run_id)[key]
    variant = next(each for each in pipeline.served(key) if each.isdigit())
    # The platforms' times are whole seconds, and what changed before the registration is not late.
    shop.edit_variant(int(variant), {"price": "4711.00"}, at=now() + timedelta(seconds=1))
    second = pipeline.materialize(key)
    metadata = pipeline.materialized(CATALOG_ITEMS, second.run_id)[key]
    assert 0 <= metadata["freshness_seconds"] <= metadata["freshness_worst_seconds"] < 3_600
    assert metadata["summary"].endswith("at worst")


@pytest.mark.parametrize("key", [SHOPIFY, WOOCOMMERCE])
def test_a_second_sync_changes_nothing(pipeline: Pipeline, key: str) -> None:
    """Reading an unchanged shop again leaves every row as it was."""
    pipeline.register(key)
    pipeline.materialize(key)
    before = pipeline.rows(key)
    result = pipeline.materialize(key, sync_type="full")
    metadata = pipeline.materialized(CATALOG_ITEMS, result.run_id)[key]
    assert (metadata["inserted"], metadata["updated"], metadata["deleted"]) == (0, 0, 0)
    assert metadata["unchanged"] == len(before)
    assert pipeline.rows(key).to_dict("records") == before.to_dict("records")


def test_the_catalog_is_made_from_the_archive_alone(pipeline: Pipeline) -> None:
    """Materializing it again, as after a corrected mapping, asks no platform."""
    pipeline.register(SHOPIFY)
    pipeline.materialize(SHOPIFY, assets=[RAW_PRODUCTS])
    pipeline.sandbox.requests.clear()
    result = pipeline.materialize(SHOPIFY, assets=[CATALOG_ITEMS])
    assert result.success, pipeline.failure(result)
    assert pipeline.sandbox.requests.requests() == []
    assert catalog(pipeline, SHOPIFY) == pipeline.served(SHOPIFY)


def test_a_run_over_many_shops_materializes_each(pipeline: Pipeline) -> None:
    """There is one materialization per shop and asset, each with its own metadata."""
    pipeline.register(*SHOPS)
    raw = pipeline.materialize(*SHOPS, assets=[RAW_PRODUCTS])
    assert pipeline.materialized(RAW_PRODUCTS, raw.run_id).keys() == set(SHOPS)
    items = pipeline.materialize(*SHOPS, assets=[CATALOG_ITEMS])
    materialized = pipeline.materialized(CATALOG_ITEMS, items.run_id)
    assert {
        key: metadata["dagster/partition_row_count"] for key, metadata in materialized.items()
    } == {key: len(pipeline.served(key)) for key in SHOPS}


REFUSAL = {"code": "woocommerce_rest_authentication_error", "errors": "[API] Invalid API key"}
"""Each platform takes one of the two for its own refusal."""
FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"kind": "body", "status": 401, "body": REFUSAL}, "AccessRefused"),
    ({"kind": "status", "status": 401}, "AccessRefused|PlatformUnavailable"),
    ({"kind": "status", "status": 404}, "AccessRefused|InvalidResponse"),
    ({"kind": "status", "status": 500}, "PlatformUnavailable"),
    ({"kind": "html"}, "PlatformUnavailable"),
    ({"kind": "truncate"}, "PlatformUnavailable"),
    ({"kind": "reset"}, "PlatformUnavailable"),
    ({"kind": "garbage"}, "PlatformUnavailable"),
    ({"kind": "empty_json"}, "InvalidResponse"),
]


@pytest.mark.parametrize(
    ("fault", "error", "victim"),
    [
        # Each fault of one of the two platforms; of the other one in the long form.
        pytest.param(
            fault,
            error,
            victim,
            id=f"{victim}: {str(fault)[:40]}",
            marks=() if number % 2 == place else pytest.mark.slow,
        )
        for number, (fault, error) in enumerate(FAULTS)
        for place, victim in enumerate((SHOPIFY, WOOCOMMERCE))
    ],
)
def test_a_bad_answer_fails_only_its_shop_and_keeps_its_catalog(
    pipeline: Pipeline, victim: str, fault: dict[str, Any], error: str
) -> None:
    """The partition has a named error and its last good rows; the other shop is published."""
    neighbour = OTHER_SHOPIFY if victim == SHOPIFY else OTHER_WOOCOMMERCE
    pipeline.register(victim, neighbour)
    pipeline.materialize(victim)
    good = catalog(pipeline, victim)
    domain = victim.split("/")[1]
    platform = victim.split("/")[0]
    pipeline.sandbox.faults.set([{"match": {"domain": domain, "platform": platform}, **fault}])
    raw = pipeline.materialize(victim, neighbour, assets=[RAW_PRODUCTS])
    assert not raw.success
    assert pipeline.materialized(RAW_PRODUCTS, raw.run_id).keys() == {neighbour}
    text = pipeline.failure(raw)
    assert any(name in text for name in error.split("|")), text
    assert victim in text
    assert neighbour not in text
    assert catalog(pipeline, victim) == good
    items = pipeline.materialize(neighbour, assets=[CATALOG_ITEMS])
    assert items.success
    assert catalog(pipeline, neighbour) == pipeline.served(neighbour)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 500},
        {"kind": "html"},
        {"kind": "truncate"},
        {"kind": "reset"},
        {"kind": "garbage"},
    ],
    ids=lambda fault: str(fault["kind"]),
)
def test_a_failure_of_the_token_service_is_reported_as_such(
    pipeline: Pipeline, fault: dict[str, Any]
) -> None:
    """Neither the platform nor the merchant is blamed, and no shop becomes disconnected by it."""
    pipeline.register(SHOPIFY)
    pipeline.sandbox.faults.set([{"match": {"path_contains": "/token-service/"}, **fault}])
    result = pipeline.materialize(SHOPIFY)
    assert "TokenServiceUnavailable" in pipeline.failure(result)
    assert pipeline.registry.get(SHOPIFY).state is ShopState.ACTIVE


def test_a_shop_the_token_service_does_not_know_is_disconnected(pipeline: Pipeline) -> None:
    """The registry marks it so minutes later, and the error says how to resume it."""
    unknown = SHOPIFY
    pipeline.register(unknown)
    shop = pipeline.sandbox.store.get(*unknown.split("/"))
    assert shop is not None
    shop.credentials.removed = True
    assert "AccessRefused" in pipeline.failure(pipeline.materialize(unknown))
    minutes_pass(pipeline.database)
    result = pipeline.materialize(unknown)
    assert "ShopDisconnected" in pipeline.failure(result)
    assert "shops resume" in pipeline.failure(result)
    assert pipeline.registry.get(unknown).state is ShopState.DISCONNECTED


@pytest.mark.parametrize(
    ("key", "command"),
    [
        ("shopify/stranger.myshopify.com", "shops add"),
        ("magento/x.example", "shops list"),
        ("nonsense", "shops list"),
    ],
)
def test_a_partition_without_a_registered_shop_fails_by_name(
    pipeline: Pipeline, key: str, command: str
) -> None:
    """The error is UnknownShop and says how to register a shop, if one can have this key."""
    pipeline.instance.add_dynamic_partitions("shops", [key])
    result = pipeline.materialize(key)
    text = pipeline.failure(result)
    assert text.startswith(key)
    assert "UnknownShop" in text
    assert command in text


def test_a_shop_of_a_platform_without_an_adapter_fails_by_name(pipeline: Pipeline) -> None:
    """Its package may have been uninstalled since it was registered."""
    key = "a_platform/shop.example.com"
    with pipeline.database.connect() as connection:
        connection.execute(
            "INSERT INTO connector.shops (merchant_id, platform_name, platform_shop_id, domain)"
            " VALUES ('m-1', 'a_platform', '1', 'shop.example.com')"
        )
    pipeline.instance.add_dynamic_partitions("shops", [key])
    text = pipeline.failure(pipeline.materialize(key))
    assert text.startswith(key)
    assert "AdapterMissing" in text
    assert f"there are {', '.join(BUILT_IN)}" in text
    assert "doctor" in text


def test_a_sync_has_the_id_of_its_request(pipeline: Pipeline) -> None:
    """The requester's id is on the rows and on the record of the sync."""
    pipeline.register(SHOPIFY)
    pipeline.materialize(SHOPIFY, tags=sync_id_tag("request-1"))
    assert set(pipeline.rows(SHOPIFY)["sync_id"]) == {"request-1"}
    with pipeline.database.connect() as connection:
        rows = connection.execute("SELECT sync_id, status FROM connector.syncs").fetchall()
    assert rows == [("request-1", "succeeded")]


def test_a_failed_sync_is_recorded_with_its_reason(pipeline: Pipeline) -> None:
    """The record in `connector.syncs` has the error that the partition has."""
    pipeline.register(WOOCOMMERCE)
    pipeline.sandbox.faults.set(
        [{"match": {"platform": "woocommerce"}, "kind": "status", "status": 503}]
    )
    pipeline.materialize(WOOCOMMERCE)
    with pipeline.database.connect() as connection:
        [row] = connection.execute("SELECT status, error_code FROM connector.syncs").fetchall()
    assert row == ("failed", "PlatformUnavailable")
    assert pipeline.registry.get(WOOCOMMERCE).consecutive_failures == 1


def test_every_sync_ends_in_one_event(pipeline: Pipeline) -> None:
    """The event has the run's ids, whether the shop was published or failed."""
    pipeline.register(SHOPIFY)
    asked = {CORRELATION_ID_TAG: "trace-1"}
    pipeline.materialize(SHOPIFY, tags=sync_id_tag("request-1") | asked)
    pipeline.sandbox.faults.set(
        [{"match": {"platform": "shopify"}, "kind": "status", "status": 503}]
    )
    pipeline.materialize(SHOPIFY, tags=sync_id_tag("request-2") | asked)
    with pipeline.database.connect() as connection:
        rows = connection.execute(
            "SELECT partition_key, payload FROM connector.outbox ORDER BY id"
        ).fetchall()
    assert {key for key, _ in rows} == {SHOPIFY}
    completed, failed = (payload for _, payload in rows)
    assert {completed["correlation_id"], failed["correlation_id"]} == {"trace-1"}
    shop = pipeline.registry.get(SHOPIFY)
    assert completed["data"] == {
        "merchant_id": shop.merchant_id,
        "sync_id": "request-1",
        "platform_name": shop.platform_name,
        "platform_shop_id": shop.platform_shop_id,
        "domain": shop.domain,
        "total_products": len(pipeline.served(SHOPIFY)),
        "sync_type": "full",
        "items": len(pipeline.served(SHOPIFY)),
        "inserted": len(pipeline.served(SHOPIFY)),
        "updated": 0,
        "unchanged": 0,
        "revived": 0,
        "deleted": 0,
        "rejected": 0,
        "duplicates": 0,
    }
    assert failed["data"]["error"].startswith("PlatformUnavailable: ")
    assert failed["data"]["error_code"] == "PlatformUnavailable"
    assert failed["data"]["sync_id"] == "request-2"


def test_no_credential_is_in_events_archive_or_database(pipeline: Pipeline) -> None:
    """There is none after success, and none after failures while a credential was in use."""
    pipeline.register(SHOPIFY, WOOCOMMERCE)
    credentials = [shop.credentials for shop in pipeline.sandbox.store]
    secrets = [
        secret
        for each in credentials
        for secret in (each.access_token, each.consumer_key, each.consumer_secret)
    ]
    assert pipeline.materialize(SHOPIFY).success
    assert pipeline.materialize(WOOCOMMERCE).success
    for platform, shop in (("shopify", SHOPIFY), ("woocommerce", WOOCOMMERCE)):
        cut = {"match": {"platform": platform}, "kind": "truncate", "skip": 2}
        pipeline.sandbox.faults.set([cut])
        failed = pipeline.failure(pipeline.materialize(shop))
        assert "PlatformUnavailable" in failed
    texts = [
        str(record)
        for run in pipeline.instance.get_runs()
        for record in pipeline.instance.all_logs(run.run_id)
    ]
    with pipeline.database.connect() as connection:
        for table in (
            "catalog.catalog_items",
            "connector.syncs",
            "connector.shops",
            "connector.outbox",
        ):
            rows = [str(row) for row in connection.execute(f"SELECT * FROM {table}").fetchall()]
            assert rows, table
            texts += rows
    for shop in (SHOPIFY, WOOCOMMERCE):
        texts += [repr(page) for page in _archive(pipeline, shop)]
    everything = "\n".join(texts)
    # What a secret would be found beside, in each of these places.
    assert everything.count(SHOPIFY) > 10
    assert everything.count(WOOCOMMERCE) > 10
    assert [secret for secret in secrets if secret in everything] == []


def _archive(pipeline: Pipeline, key: str) -> list[object]:
    from connector_pipeline.archive.raw_archive import RawArchive
    from connector_pipeline.settings import load_settings

    snapshot = RawArchive(url=load_settings().archive_url).latest(key)
    return [snapshot.manifest, *snapshot.pages()]
