"""A bulk operation that takes longer than a shop's deadline, and one that an earlier sync left."""

from datetime import timedelta

import pytest

from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline_tests.assets.conftest import Pipeline

# ../shared/cases/shopify/c20-bulk-slower-than-deadline.json, with shorter times.
SPEC = ShopSpec(
    platform="shopify",
    domain="c20.myshopify.com",
    merchant_id="merchant-1",
    platform_shop_id="20",
    products=12,
    variants=(2, 2),
    seed=11,
    awkward=False,
)
KEY = "shopify/c20.myshopify.com"


@pytest.fixture
def shop(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> SandboxShop:
    """The registered shop, which is read by a bulk operation."""
    monkeypatch.setenv("SHOPIFY_BULK_THRESHOLD", "5")
    held = pipeline.sandbox.store.put(SPEC)
    pipeline.register(KEY)
    return held


@pytest.mark.parametrize("plan", [{"seconds": 4.0}, {"polls": 4}])
def test_waiting_for_the_platform_is_not_reading(
    pipeline: Pipeline,
    shop: SandboxShop,
    monkeypatch: pytest.MonkeyPatch,
    plan: dict[str, float],
) -> None:
    """The operation takes longer than the deadline, and the shop is read all the same."""
    monkeypatch.setenv("CONNECTOR_SHOP_DEADLINE", "3s")
    shop.bulk.set_plan(**plan)
    result = pipeline.materialize(KEY)
    assert result.success, pipeline.failure(result)
    raw = pipeline.materialized("raw_products", result.run_id)[KEY]
    assert raw["waited_seconds"] > 3
    assert raw["complete"] is True
    assert len(pipeline.rows(KEY)) == 24


def test_reading_has_its_deadline_after_the_waiting(
    pipeline: Pipeline, shop: SandboxShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host of the result that does not answer is not waited for without an end."""
    monkeypatch.setenv("CONNECTOR_SHOP_DEADLINE", "3s")
    hangs = {"match": {"platform": "storage"}, "kind": "latency", "seconds": 240}
    pipeline.sandbox.faults.set([hangs])
    result = pipeline.materialize(KEY, assets=["raw_products"])
    assert not result.success
    assert "DeadlineExceeded" in pipeline.failure(result)
    pipeline.sandbox.faults.clear()


def test_a_later_sync_adopts_the_operation_and_its_time(
    pipeline: Pipeline, shop: SandboxShop
) -> None:
    """The mark is the time of the data, so the next increment brings what changed since then."""
    down = {"match": {"platform": "storage"}, "kind": "status", "status": 503, "times": None}
    pipeline.sandbox.faults.set([down])
    failed = pipeline.materialize(KEY)
    assert not failed.success
    pipeline.sandbox.faults.clear()
    [left] = shop.bulk.all()
    left.created_at -= timedelta(minutes=40)

    result = pipeline.materialize(KEY)
    assert result.success, pipeline.failure(result)
    assert shop.bulk.all() == [left]
    raw = pipeline.materialized("raw_products", result.run_id)[KEY]
    assert raw["details"]["bulk_adopted"] is True
    assert len(pipeline.rows(KEY)) == 24
    registered = pipeline.registry.get(KEY)
    as_of = left.created_at - timedelta(minutes=1)
    assert registered.high_water_mark == as_of
    assert registered.last_full_sync_at == as_of
    assert registered.last_successful_sync_at == as_of

    # Its result is published now: the next full sync starts an operation of its own.
    again = pipeline.materialize(KEY, sync_type="full")
    assert again.success, pipeline.failure(again)
    assert len(shop.bulk.all()) == 2
    mark = pipeline.registry.get(KEY).high_water_mark
    assert mark is not None
    assert mark > as_of
