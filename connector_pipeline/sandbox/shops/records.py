"""The products and variants of a sandbox shop, as the shop itself keeps them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal


@dataclass(frozen=True, slots=True)
class ShopifyVariant:
    """`price` is Shopify's `Money` string; `inventory_quantity` is null when not tracked."""

    id: int
    title: str
    sku: str | None
    price: str
    inventory_quantity: int | None
    tracked: bool
    image_url: str | None
    created_at: datetime
    updated_at: datetime
    position: int


@dataclass(frozen=True, slots=True)
class ShopifyProduct:
    """`status` is ACTIVE, DRAFT, ARCHIVED or UNLISTED; the first image is the featured one."""

    id: int
    title: str
    status: str
    created_at: datetime
    updated_at: datetime
    image_urls: tuple[str, ...]
    variants: tuple[ShopifyVariant, ...]


@dataclass(frozen=True, slots=True)
class WooVariation:
    """The variation's own values. A missing SKU or image is None, and the API gives the parent's.

    `attributes` are (name, option); an "any" attribute is left out (docs/facts/woocommerce.md,
    Attributes and disabled variations).
    """

    id: int
    attributes: tuple[tuple[str, str], ...]
    sku: str | None
    price: str
    manage_stock: bool | Literal["parent"]
    stock_quantity: int | None
    image_url: str | None
    status: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class WooProduct:
    """`price` is "" for no price (docs/facts/woocommerce.md, Prices).

    A simple product may still have the variations of its time as a variable one.

    `attributes` are (name, options) of a variable product, `grouped_ids` the children of a group.
    """

    id: int
    name: str
    type: str
    status: str
    sku: str
    price: str
    manage_stock: bool
    stock_quantity: int | None
    image_urls: tuple[str, ...]
    attributes: tuple[tuple[str, tuple[str, ...]], ...]
    grouped_ids: tuple[int, ...]
    created_at: datetime
    updated_at: datetime
    variations: tuple[WooVariation, ...]


@dataclass(frozen=True, slots=True)
class ShopEvent:
    """One of Shopify's events: `action` (create, destroy) was done to the subject."""

    id: int
    action: str
    subject_type: str
    subject_id: int
    created_at: datetime


Product = ShopifyProduct | WooProduct
Variant = ShopifyVariant | WooVariation


def variants_of(product: Product) -> tuple[Variant, ...]:
    """The variants of a product of either platform."""
    return product.variants if isinstance(product, ShopifyProduct) else product.variations
