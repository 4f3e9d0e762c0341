"""A shop whose token may not read `inventoryItem` is read without it."""

from collections.abc import Callable
from typing import Any

import pytest

from connector_pipeline.model.errors import ShopDisconnected
from connector_pipeline.platforms.kit.contract import FetchReport
from connector_pipeline.platforms.shopify import stock_field
from connector_pipeline.platforms.shopify.cost import requested_cost
from connector_pipeline.platforms.shopify.queries import CHANGED_PRODUCTS, PRODUCTS, VARIANTS
from connector_pipeline_tests.platforms.shopify.parsed_cost import parsed_cost
from connector_pipeline_tests.platforms.shopify.scripted import (
    Received,
    Said,
    ScriptedShopify,
    product,
    products_body,
    shop_body,
    variant,
)

Read = Callable[..., Any]
PATH = ["products", "nodes", 0, "variants", "nodes", 0, "inventoryItem"]
MESSAGE = (
    "Access denied for inventoryItem field. Required access: `read_inventory` access scope or "
    "`read_products` access scope."
)


def refusal(message: str = MESSAGE, *, code: str = "ACCESS_DENIED", **more: Any) -> dict[str, Any]:
    """One of the errors of an answer."""
    return {"message": message, "extensions": {"code": code}, **more}


@pytest.mark.parametrize(
    "denied",
    [
        {"errors": [refusal("Access denied.", path=PATH)]},
        {"data": None, "errors": [refusal(), refusal()]},
        products_body([product(1, [variant(1)])], errors=[refusal(path=PATH)]),
    ],
    ids=["by its path", "by its message", "beside data"],
)
async def test_a_field_that_is_denied_is_left_out(
    shopify: ScriptedShopify, read: Read, report: FetchReport, denied: dict[str, Any]
) -> None:
    """The shop is read whole, no credentials are doubted, and one warning names the scope."""
    bare = variant(1)
    del bare["inventoryItem"]

    def said(received: Received) -> Said:
        if "Shop {" in received.body["query"]:
            return Said(shop_body(1))
        asked = "inventoryItem" in received.body["query"]
        return Said(denied if asked else products_body([product(1, [bare])]))

    shopify.script = [said]
    pages = await read()
    assert [page.kind for page in pages] == ["shop", "products"]
    assert report.complete
    assert report.warnings == [stock_field.WARNING]
    assert "read_inventory" in stock_field.WARNING
    assert {received.token for received in shopify.received} == {"shpat_first"}
    assert len(shopify.received) == 3


async def test_a_refusal_of_more_than_the_field_is_a_refusal(
    shopify: ScriptedShopify, read: Read, report: FetchReport
) -> None:
    """A token that may not read the products reads nothing."""
    other = refusal("Access denied for products field.", path=["products"])
    shopify.script = [Said(shop_body(1)), Said({"errors": [refusal(path=PATH), other]})]
    with pytest.raises(ShopDisconnected):
        await read()
    assert report.warnings == []


@pytest.mark.parametrize("document", [PRODUCTS, CHANGED_PRODUCTS, VARIANTS])
def test_without_the_field_a_document_requests_less(document: str) -> None:
    """So the points that are kept for it are enough."""
    bare = stock_field.without(document)
    assert "inventoryItem" in document
    assert "inventoryItem" not in bare
    sizes = {"first": 250, "variants": 250}
    assert parsed_cost(bare, sizes) < requested_cost(document, sizes)
