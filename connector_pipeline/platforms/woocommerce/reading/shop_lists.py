"""The lists that the walks read: products, and variations of the shop or of one product."""

from typing import Final

from pydantic import JsonValue

from connector_pipeline.platforms.woocommerce.mapping.normalize import (
    LATER_VARIATION_FIELDS,
    PRODUCT_FIELDS,
    PRODUCTS,
    SELLING_FIELDS,
    VARIATION_FIELDS,
    VARIATIONS,
)
from connector_pipeline.platforms.woocommerce.reading.endpoints import (
    PRODUCTS_ENDPOINT,
    VARIATIONS_OF_PRODUCT,
)
from connector_pipeline.platforms.woocommerce.reading.lists import ListOf

_PRODUCT_FIELDS: Final = ",".join((*PRODUCT_FIELDS, *SELLING_FIELDS))
_VARIATION_FIELDS: Final = ",".join((*VARIATION_FIELDS, *SELLING_FIELDS, *LATER_VARIATION_FIELDS))


def products(
    status: str, params: dict[str, str] | None = None, question: dict[str, JsonValue] | None = None
) -> ListOf:
    """The list of a shop's products of one status. `params` narrow it; `question` states them."""
    return ListOf(
        PRODUCTS,
        PRODUCTS_ENDPOINT,
        PRODUCTS_ENDPOINT,
        {"status": status, "_fields": _PRODUCT_FIELDS, **(params or {})},
        {"status": status, **(question or {})},
    )


def variations(
    endpoint: str,
    params: dict[str, str] | None = None,
    question: dict[str, JsonValue] | None = None,
) -> ListOf:
    """The list of variations at a shop-wide endpoint."""
    return ListOf(
        VARIATIONS,
        endpoint,
        endpoint,
        {"_fields": _VARIATION_FIELDS, **(params or {})},
        question or {},
    )


def variations_of(
    parent_id: int,
    params: dict[str, str] | None = None,
    question: dict[str, JsonValue] | None = None,
) -> ListOf:
    """The list of one product's variations."""
    return ListOf(
        VARIATIONS,
        VARIATIONS_OF_PRODUCT,
        VARIATIONS_OF_PRODUCT.format(id=parent_id),
        {"_fields": _VARIATION_FIELDS, **(params or {})},
        # Before WooCommerce 8.3, a variation does not name its parent.
        {"parent_id": parent_id, **(question or {})},
    )
