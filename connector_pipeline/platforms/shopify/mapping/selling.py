"""Reads whether a variant may be bought now, and its stock (docs/facts/shopify.md, Selling)."""

from collections.abc import Mapping
from typing import Any, Final

from connector_pipeline.model.catalog_item import ProductStatus
from connector_pipeline.platforms.kit.json_values import is_object
from connector_pipeline.platforms.kit.rejects import FieldError, time

SOLD: Final = (ProductStatus.ACTIVE, ProductStatus.UNLISTED)
"""The statuses in which a product can be bought, an unlisted one by its link."""


def product_sells(status: ProductStatus, product: Mapping[str, Any]) -> bool | None:
    """Whether the product is on sale in the online store; None where Shopify does not tell.

    A page from before `publishedAt` was asked for lacks it. Raises FieldError.
    """
    if status not in SOLD:
        return False
    if "publishedAt" not in product:
        return None
    return time("publishedAt", product["publishedAt"]) is not None


def sellable(of_product: bool | None, available: object) -> bool | None:
    """Whether the variant may be bought now; None where Shopify does not tell.

    `available` is `availableForSale`: true for a variant in stock, for one that is not tracked, and
    for one that is sold beyond its stock. Raises FieldError.
    """
    if available is not None and not isinstance(available, bool):
        raise FieldError("availableForSale", "is neither true nor false", available)
    if of_product is False or available is False:
        return False
    return True if of_product and available else None


def quantity(variant: Mapping[str, Any]) -> Any:
    """`inventoryQuantity`, unless the variant's stock is not tracked. Raises FieldError.

    Shopify may state a quantity from the time when the stock was tracked, or 0.
    """
    item: Any = variant.get("inventoryItem")
    if item is not None:
        if not is_object(item):
            raise FieldError("inventoryItem", "is not an object", item)
        tracked = item.get("tracked")
        if tracked is False:
            return None
        if tracked is not True and tracked is not None:
            raise FieldError("inventoryItem.tracked", "is neither true nor false", item)
    return variant.get("inventoryQuantity")
