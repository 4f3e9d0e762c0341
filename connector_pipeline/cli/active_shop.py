"""The shop that a command is about, where it must be an active one."""

from connector_pipeline.model.errors import NotActive
from connector_pipeline.model.shop import RegisteredShop
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.state.registry import ShopRegistry, registered_shop


def active_shop(registry: ShopRegistry, key: str) -> RegisteredShop:
    """The active shop of a partition key. Raises UnknownShop, NotActive, DatabaseUnavailable."""
    shop = registered_shop(registry, key)
    if shop.state is not ShopState.ACTIVE:
        raise not_active(shop)
    return shop


def not_active(shop: RegisteredShop) -> NotActive:
    """The error of a shop in a state in which the command does nothing with it."""
    return NotActive(
        f"the shop is {shop.state.value}.",
        partition_key=shop.partition_key,
        remedy=f"`connector-pipeline shops resume {shop.partition_key}` first.",
    )
