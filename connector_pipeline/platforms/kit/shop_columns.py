"""The columns of a catalog item that come from the registry and not from an answer."""

from typing import Any

from connector_pipeline.model.shop import Shop


def shop_columns(shop: Shop, currency: str) -> dict[str, Any]:
    """The columns that all of a shop's catalog items have in common."""
    return {
        "merchant_id": shop.merchant_id,
        "platform_name": shop.platform_name,
        "platform_shop_id": shop.platform_shop_id,
        "domain": shop.domain,
        "currency": currency,
    }
