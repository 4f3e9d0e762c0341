"""Registers the sandbox's shops, so that a newcomer has something to sync."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from connector_pipeline.model.shop import Shop
from connector_pipeline.state.registry import ShopRegistry

if TYPE_CHECKING:
    from connector_pipeline.sandbox.shops.spec import ShopSpec


def register_sandbox_shops(registry: ShopRegistry, specs: "Iterable[ShopSpec]") -> list[Shop]:
    """Add each shop of the sandbox. A shop that an operator paused stays paused."""
    shops = [
        Shop(
            merchant_id=spec.merchant_id,
            platform_name=spec.platform,
            platform_shop_id=spec.platform_shop_id,
            domain=spec.domain,
            path=spec.path,
        )
        for spec in specs
    ]
    for shop in shops:
        registry.add(shop)
    return shops
