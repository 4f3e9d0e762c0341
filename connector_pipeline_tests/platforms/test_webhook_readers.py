"""What the adapters read in signed deliveries, in every form in which platforms send them."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.model.hint import Hint
from connector_pipeline.platforms.kit.webhooks import Delivery
from connector_pipeline.platforms.shopify.webhooks import ShopifyWebhooks
from connector_pipeline.platforms.woocommerce.webhooks import WooCommerceWebhooks

TRIGGERED = datetime(2026, 11, 28, 20, tzinfo=UTC)


def of_shopify(topic: str, values: Any, **headers: str) -> Delivery:
    given = {
        "x-shopify-topic": topic,
        "x-shopify-webhook-id": "one",
        "x-shopify-triggered-at": "2026-11-28T20:00:00Z",
    }
    return ShopifyWebhooks().read("a.myshopify.com", given | headers, json.dumps(values).encode())


def of_woocommerce(topic: str, values: Any) -> Delivery:
    headers = {"x-wc-webhook-topic": topic}
    return WooCommerceWebhooks().read("a.example.com", headers, json.dumps(values).encode())


def named(delivery: Delivery) -> list[str | None]:
    """The tokens of its hints."""
    return [hint.token for hint in delivery.hints]


@pytest.mark.parametrize(
    ("values", "product"),
    [
        ({"id": 7}, "7"),
        ({"id": "7"}, "7"),
        ({"id": None, "admin_graphql_api_id": "gid://shopify/Product/7"}, "7"),
        ({"admin_graphql_api_id": "gid://shopify/Product/0"}, None),
        ({"admin_graphql_api_id": "gid://shopify/Collection/7"}, None),
        ({"id": "\u0667"}, None),
        *(({"id": bad}, None) for bad in (-1, 0, True, 7.0, 2**63, "07", "", {"id": 7}, [7])),
        ({}, None),
    ],
)
def test_shopify_names_a_product_by_either_id(values: dict[str, Any], product: str | None) -> None:
    """A subscription may leave fields out. A change of nobody knows which product is a hint that
    names none: a refusal would have Shopify delete the subscription."""
    assert named(of_shopify("products/update", values)) == [product]
    deleted = None if product is None else f"deleted/{product}"
    assert of_shopify("products/delete", values).hints == [
        Hint("products/delete", deleted, TRIGGERED)
    ]


@pytest.mark.parametrize(
    ("values", "token"),
    [
        ({"inventory_item_id": 4}, "inventory_item/4"),
        (
            {"admin_graphql_api_id": "gid://shopify/InventoryLevel/5?inventory_item_id=4"},
            "inventory_item/4",
        ),
        ({"admin_graphql_api_id": "gid://shopify/InventoryLevel/5"}, None),
    ],
)
def test_stock_is_of_an_inventory_item(values: dict[str, Any], token: str | None) -> None:
    assert named(of_shopify("inventory_levels/update", values)) == [token]


def test_a_delivery_without_a_usable_id_of_its_own_is_taken_and_no_repeat_is_known() -> None:
    for written in ("", "a b", "x" * 5_000, "é"):
        delivery = of_shopify("products/update", {"id": 1}, **{"x-shopify-webhook-id": written})
        assert delivery.delivery_id is None
        assert named(delivery) == ["1"]


def test_what_erases_a_shop_names_it_in_the_signed_body() -> None:
    bodies: list[Any] = [{}, {"shop_domain": "b.myshopify.com"}, {"shop_domain": 1}, [], None]
    for values in bodies:
        with pytest.raises(InvalidResponse):
            of_shopify("shop/redact", values)
    assert of_shopify("shop/redact", {"shop_domain": "A.myshopify.com"}).erases


@pytest.mark.parametrize(
    ("values", "token"),
    [
        ({"id": 7}, "7"),
        ({"id": "7"}, "7"),
        ({"id": 8, "type": "variation", "parent_id": 7}, "7"),
        ({"id": 8, "type": "variation", "parent_id": "7"}, "7"),
        # Its parent is found when it is asked for.
        ({"id": 8, "type": "variation", "parent_id": 0}, "8"),
        ({"id": 8, "type": "simple", "parent_id": 7}, "8"),
        ({"product": {"id": 7, "title": "legacy"}}, "7"),
        ({}, None),
    ],
)
def test_woocommerce_names_a_product(values: dict[str, Any], token: str | None) -> None:
    assert named(of_woocommerce("product.updated", values)) == [token]


@pytest.mark.parametrize(
    "error",
    [
        {"code": "woocommerce_rest_product_invalid_id", "message": "Invalid ID.", "data": {}},
        {"errors": {"woocommerce_api_invalid_product_id": ["Invalid product ID"]}},
    ],
)
def test_an_error_that_woocommerce_signs_in_place_of_a_product_is_taken(error: Any) -> None:
    """It sends one for a product that was deleted meanwhile. After some refusals it would disable
    the webhook without a word."""
    delivery = of_woocommerce("product.updated", error)
    assert delivery.hints == ()
    assert delivery.unread is not None


def test_what_is_no_object_is_refused() -> None:
    bodies: list[Any] = [[], "x", None, 7]
    for values in bodies:
        with pytest.raises(InvalidResponse):
            of_shopify("products/update", values)
        with pytest.raises(InvalidResponse):
            of_woocommerce("product.updated", values)
