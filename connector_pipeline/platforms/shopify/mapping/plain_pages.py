"""Decodes pages in which nothing is odd directly into rows.

This makes the same rows as `normalize` in a sixth of the time (bench/publish.py). A page with a
single value that `normalize` might reject or read in another way is left to `normalize` as a whole.
The rules are those of `normalize` and CatalogItem, and a property test compares the two.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Final

import msgspec

from connector_pipeline.model.catalog_item import SURELY_SHORT, CatalogRow
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.kit.contract import RawPage
from connector_pipeline.platforms.shopify.failed_fields import UNREAD
from connector_pipeline.platforms.shopify.reading.by_id import BY_ID

# No more decimals than the catalog holds, no more digits than Decimal's context keeps.
_MONEY: Final = re.compile(r"-?[0-9]{1,14}(?:\.[0-9]{1,6})?")
_PRODUCT: Final = "gid://shopify/Product/"
_VARIANT: Final = "gid://shopify/ProductVariant/"
_SOLD: Final = ("active", "unlisted")
_STATUSES: Final = {
    "ACTIVE": "active",
    "DRAFT": "draft",
    "ARCHIVED": "archived",
    "UNLISTED": "unlisted",
}
# CatalogRow(…) would take as long to bind its arguments as all the rest takes.
_new: Final[Callable[[type[CatalogRow], tuple[Any, ...]], CatalogRow]] = tuple.__new__  # pyright: ignore
_LOWEST, _HIGHEST = -(2**31), 2**31 - 1


# Only what is surely short enough for the catalog is plain.
_Text = Annotated[str, msgspec.Meta(max_length=SURELY_SHORT)]


class _Image(msgspec.Struct):
    url: _Text


class _Preview(msgspec.Struct):
    image: _Image | None = None


class _Media(msgspec.Struct):
    preview: _Preview | None = None


class _InventoryItem(msgspec.Struct, gc=False):
    tracked: bool | None = None


class _Variant(msgspec.Struct, gc=False):
    id: str
    title: _Text | None = None
    sku: _Text | None = None
    price: str | None = None
    # `normalize` rejects a float. Decoded as an int alone, 5.0 would become 5.
    inventoryQuantity: int | float | None = None  # noqa: N815  Shopify's name
    inventoryItem: _InventoryItem | None = None  # noqa: N815
    availableForSale: bool | None = None  # noqa: N815
    updatedAt: str | None = None  # noqa: N815
    image: _Image | None = None


class _Variants(msgspec.Struct):
    nodes: list[_Variant]


class _Product(msgspec.Struct):
    id: str
    title: _Text
    status: str
    variants: _Variants
    publishedAt: str | msgspec.UnsetType | None = msgspec.UNSET  # noqa: N815
    createdAt: str | None = None  # noqa: N815
    updatedAt: str | None = None  # noqa: N815
    featuredMedia: _Media | None = None  # noqa: N815


class _Products(msgspec.Struct):
    nodes: list[_Product]


class _ProductsData(msgspec.Struct):
    products: _Products


class _ProductsBody(msgspec.Struct):
    data: _ProductsData
    errors: Any = None


class _NodesData(msgspec.Struct):
    nodes: list[_Product | None]


class _NodesBody(msgspec.Struct):
    data: _NodesData
    errors: Any = None


class _VariantsData(msgspec.Struct):
    product: _Product | None


class _VariantsBody(msgspec.Struct):
    data: _VariantsData
    errors: Any = None


_products_body: Final = msgspec.json.Decoder(_ProductsBody)
_nodes_body: Final = msgspec.json.Decoder(_NodesBody)
_variants_body: Final = msgspec.json.Decoder(_VariantsBody)


class _OddError(Exception):
    """The page has a value that `normalize` has to judge."""


def plain_rows(shop: Shop, currency: str, page: RawPage) -> list[CatalogRow] | None:
    """The rows of a page of products or variants; None where `normalize` must read it."""
    # NUL is the one character that JSON can escape and Postgres cannot hold.
    if b"\\u0000" in page.body or UNREAD in page.facts:
        return None
    try:
        if page.kind == "products":
            body = _products_body.decode(page.body)
            products = body.data.products.nodes
        elif page.kind == BY_ID:
            body = _nodes_body.decode(page.body)
            products = [each for each in body.data.nodes if each is not None]
        elif page.kind == "variants":
            body = _variants_body.decode(page.body)
            products = [] if body.data.product is None else [body.data.product]
        else:
            return None
        if body.errors:
            return None
        rows: list[CatalogRow] = []
        for product in products:
            _append(rows, product, shop, currency)
    except (_OddError, ValueError, OverflowError, RecursionError):
        # msgspec's errors are ValueErrors: another structure, another type, no JSON at all.
        return None
    return rows


def _append(rows: list[CatalogRow], product: _Product, shop: Shop, currency: str) -> None:
    merchant_id, platform_name = shop.merchant_id, shop.platform_name
    platform_shop_id, domain = shop.platform_shop_id, shop.domain
    product_id = _number(product.id, _PRODUCT)
    product_title = product.title
    status = _STATUSES.get(product.status)
    if status is None:
        raise _OddError
    created_at = _time(product.createdAt)
    product_updated_at = _time(product.updatedAt)
    product_image = _image_url(product.featuredMedia)
    sells: bool | None = status in _SOLD
    if product.publishedAt is msgspec.UNSET:
        sells = None if sells else False
    elif _time(product.publishedAt) is None:
        sells = False
    for variant in product.variants.nodes:
        price: Decimal | None = None
        if variant.price is not None:
            if not _MONEY.fullmatch(variant.price):
                raise _OddError
            price = Decimal(variant.price)
        inventory: Any = variant.inventoryQuantity
        item = variant.inventoryItem
        if item is not None and item.tracked is False:
            inventory = None
        available = variant.availableForSale
        if inventory is not None and (
            type(inventory) is not int or not _LOWEST <= inventory <= _HIGHEST
        ):
            raise _OddError
        updated_at = _time(variant.updatedAt)
        if updated_at is None or (
            product_updated_at is not None and product_updated_at > updated_at
        ):
            updated_at = product_updated_at
        rows.append(
            _new(
                CatalogRow,
                (
                    merchant_id,
                    platform_name,
                    platform_shop_id,
                    domain,
                    product_id,
                    _number(variant.id, _VARIANT),
                    product_title,
                    variant.title or product_title,
                    variant.sku,
                    price,
                    currency,
                    inventory,
                    product_image if variant.image is None else variant.image.url,
                    created_at,
                    updated_at,
                    status,
                    False if available is False or sells is False else available and sells,
                ),
            )
        )


def _number(gid: str, prefix: str) -> str:
    number = gid[len(prefix) :]
    if not gid.startswith(prefix) or not number.isascii() or not number.isdigit():
        raise _OddError
    if len(number) > 20:
        raise _OddError
    return number


def _time(written: str | None) -> datetime | None:
    if written is None:
        return None
    time = datetime.fromisoformat(written)
    if time.tzinfo is UTC:
        return time
    if time.tzinfo is None:
        raise _OddError
    return time.astimezone(UTC)


def _image_url(media: _Media | None) -> str | None:
    if media is None or media.preview is None or media.preview.image is None:
        return None
    return media.preview.image.url
