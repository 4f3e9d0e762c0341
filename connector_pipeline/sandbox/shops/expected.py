"""The items that a truthful reader has in its catalog, made from the shop's own records."""

import math
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from connector_pipeline.sandbox.shopify.leaves import available_for_sale
from connector_pipeline.sandbox.shops.records import ShopifyProduct, WooProduct, WooVariation
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.woocommerce.bodies import stock_status

_STATUSES: Final = (
    "active", "draft", "archived", "unlisted", "pending", "private", "scheduled",
)  # fmt: skip
_WOO_STATUS: Final = {"publish": "active", "future": "scheduled"}


def expected_items(
    shop: SandboxShop, statuses: tuple[str, ...] = ("publish",)
) -> list[dict[str, Any]]:
    """One row per variant, by product and variant id, with the columns of catalog.catalog_items.

    `price` is Decimal or None, times are aware UTC. `statuses` are the WooCommerce statuses that
    the reader asks for; Shopify gives all of its products.
    """
    rows: list[dict[str, Any]] = []
    for product in shop.products():
        if isinstance(product, ShopifyProduct):
            rows.extend(_shopify_rows(shop, product))
        elif product.status in statuses:
            rows.extend(_woo_rows(shop, product))
    return rows


def expected_items_json(shop: SandboxShop) -> list[dict[str, Any]]:
    """`expected_items` for JSON: prices as strings, times as ISO 8601 in UTC."""
    return [{name: _plain(value) for name, value in row.items()} for row in expected_items(shop)]


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return str(value)
    return value.isoformat() if isinstance(value, datetime) else value


def _shopify_rows(shop: SandboxShop, product: ShopifyProduct) -> Iterator[dict[str, Any]]:
    featured = product.image_urls[0] if product.image_urls else None
    for variant in product.variants:
        yield _row(
            shop,
            product_id=product.id,
            variant_id=str(variant.id),
            product_title=product.title,
            variant_title=variant.title,
            sku=variant.sku,
            price=variant.price,
            inventory=variant.inventory_quantity if variant.tracked else None,
            image_url=variant.image_url or featured,
            created_at=product.created_at,
            updated_at=max(product.updated_at, variant.updated_at),
            product_status=_known(product.status.lower()),
            sellable=product.status in ("ACTIVE", "UNLISTED")
            and product.published_at is not None
            and available_for_sale(variant),
        )


def _woo_rows(shop: SandboxShop, product: WooProduct) -> Iterator[dict[str, Any]]:
    status = _known(_WOO_STATUS.get(product.status, product.status))
    image = product.image_urls[0] if product.image_urls else None
    # A former variable product's variations are still listed, but belong to no product
    # (docs/facts/woocommerce.md, Variations: orphans and former variables).
    variations = product.variations if product.type == "variable" else ()
    for variation in variations:
        own_status = status if variation.status == "publish" else _known(variation.status)
        yield _row(
            shop,
            product_id=product.id,
            variant_id=str(variation.id),
            product_title=product.name,
            variant_title=variation_title(variation) or product.name,
            sku=product.sku if variation.sku is None else variation.sku,
            price=variation.price,
            inventory=_variation_inventory(product, variation),
            image_url=variation.image_url or image,
            created_at=product.created_at,
            updated_at=max(product.updated_at, variation.updated_at),
            product_status=own_status,
            sellable=own_status == "active"
            and variation.price != ""
            and _in_stock(product, variation),
        )
    if not variations:
        grouped = product.type == "grouped"
        yield _row(
            shop,
            product_id=product.id,
            variant_id=f"{product.id}_default",
            product_title=product.name,
            variant_title=product.name,
            sku=product.sku,
            price="" if grouped else product.price,
            inventory=_floor(product.stock_quantity)
            if product.manage_stock and not grouped
            else None,
            image_url=image,
            created_at=product.created_at,
            updated_at=product.updated_at,
            product_status=status,
            sellable=status == "active"
            and product.price != ""
            and product.type == "simple"
            and _in_stock(product),
        )


def variation_title(variation: WooVariation) -> str:
    """The variation's options, "" if it has none. All endpoints give the same."""
    return ", ".join(option for _, option in variation.attributes)


def _variation_inventory(product: WooProduct, variation: WooVariation) -> int | None:
    if variation.manage_stock == "parent":
        return _floor(product.stock_quantity)
    return _floor(variation.stock_quantity) if variation.manage_stock else None


def _floor(quantity: float | None) -> int | None:
    return None if quantity is None else math.floor(quantity)


def _in_stock(product: WooProduct, variation: WooVariation | None = None) -> bool:
    own: WooProduct | WooVariation = product if variation is None else variation
    stock = product if own.manage_stock == "parent" else own
    managed = own.manage_stock is not False
    status = stock_status(managed, stock.stock_quantity, stock.backorders, own.stock_status)
    return status != "outofstock"


def _known(status: str) -> str:
    return status if status in _STATUSES else "unknown"


def _exact(price: str | float) -> Decimal:
    return round(Decimal(repr(price)), 6) if isinstance(price, float) else Decimal(price)


def _row(
    shop: SandboxShop,
    *,
    product_id: int,
    variant_id: str,
    product_title: str,
    variant_title: str,
    sku: str | None,
    price: str | float,
    inventory: int | None,
    image_url: str | None,
    created_at: datetime,
    updated_at: datetime,
    product_status: str,
    sellable: bool,
) -> dict[str, Any]:
    return {
        "merchant_id": shop.spec.merchant_id,
        "platform_name": shop.spec.platform,
        "platform_shop_id": shop.spec.platform_shop_id,
        "domain": shop.spec.domain,
        "product_id": str(product_id),
        "variant_id": variant_id,
        "product_title": product_title,
        "variant_title": variant_title,
        "sku": sku,
        "price": None if price == "" else _exact(price),
        "currency": shop.spec.currency,
        "inventory": inventory,
        "image_url": image_url,
        "created_at": created_at,
        "updated_at": updated_at,
        "product_status": product_status,
        "sellable": sellable,
    }
