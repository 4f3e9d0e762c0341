"""Promises about a shop that is not in the registry: a slip of the fingers is pointed out."""

import pytest

from connector_pipeline.model.errors import UnknownShop
from connector_pipeline.model.shop import Shop
from connector_pipeline.state.registry import ShopRegistry

REGISTERED = (
    "shopify/acme-outdoor.myshopify.com",
    "shopify/birch.myshopify.com",
    "shopify/other.myshopify.com",
    "woocommerce/nord.example",
    "woocommerce/shop.fjord.example",
    "woocommerce/www.skog.example",
)


def register(registry: ShopRegistry, *keys: str) -> None:
    """Register these shops."""
    for number, key in enumerate(keys):
        platform, domain = key.split("/")
        registry.add(
            Shop(
                merchant_id="m-1",
                platform_name=platform,
                platform_shop_id=str(number),
                domain=domain,
            )
        )


MEANT = {
    "shopify/acme-outdor.myshopify.com": "shopify/acme-outdoor.myshopify.com",
    "shopify/amce-outdoor.myshopify.com": "shopify/acme-outdoor.myshopify.com",
    "shopify/acmeoutdoor.myshopify.com": "shopify/acme-outdoor.myshopify.com",
    "shopify/brich.myshopify.com": "shopify/birch.myshopify.com",
    "woocommerce/www.nord.example": "woocommerce/nord.example",
    "woocommerce/skog.example": "woocommerce/www.skog.example",
    "woocommerce/shop.fjrod.example": "woocommerce/shop.fjord.example",
    "woocommerce/other.myshopify.com": "shopify/other.myshopify.com",
}
"""A letter too few, two the wrong way round, with or without `www.`, the other platform."""


def test_a_registered_name_that_may_have_been_meant_is_named(registry: ShopRegistry) -> None:
    """That one alone. The name of the platform, which all its shops share, makes none similar."""
    register(registry, *REGISTERED)
    for typed, meant in MEANT.items():
        with pytest.raises(UnknownShop) as caught:
            registry.get(typed)
        text = f"{typed}: is not in the registry; {meant} is. Use that"
        assert str(caught.value).startswith(text)
        assert "shops add" in caught.value.remedy
    for typed in ("shopify/zebra.myshopify.com", "woocommerce/a.example"):
        with pytest.raises(UnknownShop) as caught:
            registry.get(typed)
        assert caught.value.message == "is not in the registry."


def test_a_few_of_many_similar_shops_are_named(registry: ShopRegistry) -> None:
    """The message stays one line."""
    register(registry, *(f"shopify/branch-{number:03}.myshopify.com" for number in range(50)))
    with pytest.raises(UnknownShop) as caught:
        registry.get("shopify/branch-0.myshopify.com")
    assert caught.value.message.count("shopify/") == 3
