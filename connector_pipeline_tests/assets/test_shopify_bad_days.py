"""What the catalog holds after days on which Shopify cannot answer for everything."""

import pytest

from connector_pipeline.sandbox.shopify.trouble import trouble_from_json
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline_tests.assets.conftest import Pipeline

DOMAIN = "bad-days.myshopify.com"
KEY = f"shopify/{DOMAIN}"


@pytest.fixture
def shop(pipeline: Pipeline) -> SandboxShop:
    """A registered shop of 300 products."""
    spec = ShopSpec(
        platform="shopify",
        domain=DOMAIN,
        merchant_id="m",
        platform_shop_id="7",
        products=300,
        variants=(1, 2),
        awkward=False,
    )
    held = pipeline.sandbox.store.put(spec)
    held.bucket.resize(50_000, 50_000)
    pipeline.register(KEY)
    return held


@pytest.mark.parametrize("field", ["featuredMedia", "title", "variants"])
@pytest.mark.parametrize("sync_type", ["full", "incremental"])
def test_a_product_that_cannot_be_read_keeps_its_rows(
    pipeline: Pipeline, shop: SandboxShop, field: str, sync_type: str
) -> None:
    """What changed elsewhere is published, nothing is deleted, and a warning names the product."""
    assert pipeline.materialize(KEY).success
    before = pipeline.rows(KEY).set_index("variant_id")
    failing, other = list(shop.product_ids())[7:9]
    for product_id in (failing, other):
        shop.edit_product(product_id, {"title": "Edited"}, at=None)
        # An increment asks for what changed after the sync before.
        shop.edit_product(product_id, {"updated_at": "2099-01-01T00:00:00Z"}, at=None)
    shop.trouble = trouble_from_json({"partial": {"product": failing, "field": field}})

    result = pipeline.materialize(KEY, sync_type=sync_type)
    assert result.success
    after = pipeline.rows(KEY).set_index("variant_id")
    assert set(after.index) == set(before.index)
    of_failing = before[before.product_id == str(failing)].index
    assert (after.loc[of_failing, "product_title"] != "Edited").all()
    assert (after[after.product_id == str(other)].product_title == "Edited").all()
    raw = pipeline.materialized("raw_products", result.run_id)[KEY]
    assert raw["complete"] is True
    assert any(str(failing) in warning and field in warning for warning in raw["warnings"])

    shop.trouble = trouble_from_json({})
    assert pipeline.materialize(KEY, sync_type=sync_type).success
    assert (
        pipeline.rows(KEY).set_index("variant_id").loc[of_failing, "product_title"] == "Edited"
    ).all()


def test_the_next_sync_begins_with_the_pages_that_the_shop_could_bear(
    pipeline: Pipeline, shop: SandboxShop
) -> None:
    """The registry keeps their size, and a shop that has recovered gets larger ones in time."""
    shop.trouble = trouble_from_json({"heavy": {"first": 100, "how": "504"}})
    assert pipeline.materialize(KEY, sync_type="full").success
    assert len(pipeline.rows(KEY)) == len(pipeline.served(KEY))
    requests = pipeline.sandbox.requests
    statuses = dict(requests.shop("shopify", DOMAIN).statuses)
    assert statuses[504] >= 2
    requests.clear()
    assert pipeline.materialize(KEY, sync_type="full").success
    assert requests.shop("shopify", DOMAIN).statuses[504] < statuses[504]


def test_the_answers_of_another_shop_change_nothing(pipeline: Pipeline, shop: SandboxShop) -> None:
    """The catalog stays, and the error names both shops."""
    assert pipeline.materialize(KEY).success
    before = pipeline.rows(KEY)
    shop.edit_product(next(iter(shop.product_ids())), {"title": "Of another shop"}, at=None)
    shop.trouble = trouble_from_json({"answers_as": "other.myshopify.com"})
    result = pipeline.materialize(KEY, sync_type="full")
    said = pipeline.failure(result)
    assert "InvalidResponse" in said
    assert DOMAIN in said
    assert "other.myshopify.com" in said
    assert pipeline.rows(KEY).equals(before)
