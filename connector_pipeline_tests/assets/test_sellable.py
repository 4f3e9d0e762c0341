"""What a merchant stops selling, and odd prices and quantities, from the shop to the catalog."""

from decimal import Decimal
from typing import Any

import pytest

from connector_pipeline_tests.assets.conftest import CATALOG_ITEMS, Pipeline
from connector_pipeline_tests.assets.test_verification import SHOPIFY, WOO, put


def columns(pipeline: Pipeline, key: str, *names: str) -> dict[str, tuple[Any, ...]]:
    """These columns of the shop's live rows, by variant id."""
    rows = pipeline.rows(key).to_dict("records")
    return {row["variant_id"]: tuple(row[name] for name in names) for row in rows}


def available(pipeline: Pipeline, key: str) -> set[str]:
    """The variant ids of the shop in the view that says what may be sold."""
    with pipeline.database.connect() as connection:
        found = connection.execute(
            "SELECT variant_id FROM catalog.available_items WHERE domain = %s",
            [key.split("/")[1]],
        ).fetchall()
    return {row[0] for row in found}


@pytest.mark.parametrize("spec", [SHOPIFY, WOO], ids=lambda spec: spec.platform)
def test_the_catalog_knows_what_may_be_bought_and_what_is_tracked(
    pipeline: Pipeline, spec: Any
) -> None:
    """Every row agrees with the shop's own records."""
    key, _ = put(pipeline, spec)
    names = ("inventory", "sellable", "price", "product_status")
    served = {
        number: tuple(item[name] for name in names) for number, item in pipeline.served(key).items()
    }
    found = columns(pipeline, key, *names)
    assert found == served
    assert {each[1] for each in found.values()} == {True, False}
    active = {number for number, each in found.items() if each[3] == "active"}
    assert available(pipeline, key) == {number for number in active if found[number][1]}


def test_a_variant_of_a_status_that_we_do_not_know_leaves_the_view(pipeline: Pipeline) -> None:
    """It is rejected with its reason, and its last good row is not on offer."""
    key, shop = put(pipeline, SHOPIFY)
    sold = available(pipeline, key)
    product = next(
        each
        for each in shop.products()
        if {str(one.id) for one in each.variants} <= sold  # type: ignore[union-attr]
    )
    numbers = {str(one.id) for one in product.variants}  # type: ignore[union-attr]
    before = columns(pipeline, key, "price", "inventory")
    shop.edit_product(product.id, {"status": "SUSPENDED"})
    _, items = pipeline.sync(key, "full")
    assert (items["rejected"], items["deleted"]) == (len(numbers), 0)
    assert available(pipeline, key) == sold - numbers
    statuses = columns(pipeline, key, "product_status")
    assert {statuses[number] for number in numbers} == {("unknown",)}
    assert columns(pipeline, key, "price", "inventory") == before
    shop.edit_product(product.id, {"status": "ACTIVE"})
    pipeline.sync(key, "full")
    assert available(pipeline, key) == sold


def test_prices_of_floats_and_goods_by_weight_are_items(pipeline: Pipeline) -> None:
    """The price has no noise, the stock is whole, and the operator is warned of the rounding."""
    key, shop = put(pipeline, WOO)
    simple = next(each for each in shop.products() if each.type == "simple" and each.price != "")  # type: ignore[union-attr]
    shop.edit_product(
        simple.id,
        {"price": 3746.1360000000004, "manage_stock": True, "stock_quantity": 2.5},
    )
    _, items = pipeline.sync(key, "full")
    assert items["rejected"] == 0
    row = columns(pipeline, key, "price", "inventory")[f"{simple.id}_default"]
    assert row == (Decimal("3746.136"), 2)
    (warning,) = [each for each in items["warnings"] if "stock_quantity" in each]
    assert f"product {simple.id}" in warning
    # The mapping alone warns again: nothing is asked of the shop.
    result = pipeline.materialize(key, assets=[CATALOG_ITEMS])
    again = pipeline.materialized(CATALOG_ITEMS, result.run_id)[key]
    assert again["warnings"] == items["warnings"]
