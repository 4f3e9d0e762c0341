"""The products and variants of a sandbox shop, as the shop itself keeps them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal


@dataclass(frozen=True, slots=True)
class ShopifyVariant:
    """`price` is Shopify's `Money` string; `inventory_policy` is CONTINUE or DENY.

    A variant that is not `tracked` may still state an `inventory_quantity`.
    """

    id: int
    title: str
    sku: str | None
    price: str
    inventory_quantity: int | None
    inventory_policy: str
    tracked: bool
    image_url: str | None
    created_at: datetime
    updated_at: datetime
    position: int


@dataclass(frozen=True, slots=True)
class ShopifyProduct:
    """`status` is ACTIVE, DRAFT, ARCHIVED or UNLISTED; the first image is the featured one.

    `published_at`: when it was published to the online store; null for one that is not.
    """

    id: int
    title: str
    status: str
    published_at: datetime | None
    created_at: datetime
    updated_at: datetime
    image_urls: tuple[str, ...]
    variants: tuple[ShopifyVariant, ...]


@dataclass(frozen=True, slots=True)
class WooVariation:
    """The variation's own values. A missing SKU or image is None, and the API gives the parent's.

    `price` is a number where a plugin computes it. `stock_status` is the merchant's word, which
    counts where stock is not managed; `backorders` is no, notify or yes.

    `attributes` are (name, option); an "any" attribute is left out (docs/facts/woocommerce.md,
    Attributes and disabled variations).
    """

    id: int
    attributes: tuple[tuple[str, str], ...]
    sku: str | None
    price: str | float
    manage_stock: bool | Literal["parent"]
    stock_quantity: float | None
    stock_status: str
    backorders: str
    image_url: str | None
    status: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class WooProduct:
    """`price` is "" for no price (docs/facts/woocommerce.md, Prices).

    `price`, `stock_status` and `backorders` are as those of a variation.

    A simple product may still have the variations of its time as a variable one.

    `attributes` are (name, options) of a variable product, `grouped_ids` the children of a group.
    """

    id: int
    name: str
    type: str
    status: str
    sku: str
    price: str | float
    manage_stock: bool
    stock_quantity: float | None
    stock_status: str
    backorders: str
    catalog_visibility: str
    image_urls: tuple[str, ...]
    attributes: tuple[tuple[str, tuple[str, ...]], ...]
    grouped_ids: tuple[int, ...]
    created_at: datetime
    updated_at: datetime
    variations: tuple[WooVariation, ...]


Product = ShopifyProduct | WooProduct
Variant = ShopifyVariant | WooVariation


def variants_of(product: Product) -> tuple[Variant, ...]:
    """The variants of a product of either platform."""
    return product.variants if isinstance(product, ShopifyProduct) else product.variations
