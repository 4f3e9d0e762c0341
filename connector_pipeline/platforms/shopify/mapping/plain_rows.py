"""Makes rows of values in which nothing is odd: the part that pages and bulk results share.

The rules are those of `normalize` and CatalogItem.
"""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Final, NamedTuple, Protocol

import msgspec

from connector_pipeline.model.catalog_item import SURELY_SHORT, CatalogRow
from connector_pipeline.model.shop import Shop

# No more decimals than the catalog holds, no more digits than Decimal's context keeps.
_MONEY: Final = re.compile(r"-?[0-9]{1,14}(?:\.[0-9]{1,6})?")
PRODUCT: Final = "gid://shopify/Product/"
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
Text = Annotated[str, msgspec.Meta(max_length=SURELY_SHORT)]


class Image(msgspec.Struct, forbid_unknown_fields=True):
    url: Text


class Preview(msgspec.Struct, forbid_unknown_fields=True):
    image: Image | None = None


class Media(msgspec.Struct, forbid_unknown_fields=True):
    preview: Preview | None = None


class InventoryItem(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    tracked: bool | None = None


class OddError(Exception):
    """There is a value that `normalize` has to judge."""


class PlainProduct(Protocol):
    """What a product is read from, whatever holds it."""

    id: str
    status: Any
    publishedAt: str | msgspec.UnsetType | None  # noqa: N815
    createdAt: str | None  # noqa: N815
    updatedAt: str | None  # noqa: N815
    featuredMedia: Media | None  # noqa: N815


class PlainVariant(Protocol):
    """What a variant is read from, whatever holds it."""

    id: str
    title: str | None
    sku: str | None
    price: str | None
    inventoryQuantity: int | float | None  # noqa: N815
    inventoryItem: InventoryItem | None  # noqa: N815
    availableForSale: bool | None  # noqa: N815
    updatedAt: str | None  # noqa: N815
    image: Image | None


class ProductColumns(NamedTuple):
    """What all variants of a product have from it."""

    product_id: str
    title: str
    status: str
    created_at: datetime | None
    updated_at: datetime | None
    image_url: str | None
    sells: bool | None


def product_columns(product: PlainProduct, title: str) -> ProductColumns:
    """The columns of a product of this title. Raises OddError, ValueError or OverflowError."""
    status = _STATUSES.get(product.status)
    if status is None:
        raise OddError
    sells: bool | None = status in _SOLD
    if product.publishedAt is msgspec.UNSET:
        sells = None if sells else False
    elif _time(product.publishedAt) is None:
        sells = False
    return ProductColumns(
        number(product.id, PRODUCT),
        title,
        status,
        _time(product.createdAt),
        _time(product.updatedAt),
        _image_url(product.featuredMedia),
        sells,
    )


def append_rows(
    rows: list[CatalogRow],
    shop: Shop,
    currency: str,
    product: ProductColumns,
    variants: Iterable[PlainVariant],
) -> None:
    """Add the rows of these variants. Raises OddError, ValueError or OverflowError."""
    merchant_id, platform_name = shop.merchant_id, shop.platform_name
    platform_shop_id, domain = shop.platform_shop_id, shop.domain
    product_id, product_title, status, created_at, product_updated_at, product_image, sells = (
        product
    )
    for variant in variants:
        price: Decimal | None = None
        if variant.price is not None:
            if not _MONEY.fullmatch(variant.price):
                raise OddError
            price = Decimal(variant.price)
        inventory: Any = variant.inventoryQuantity
        item = variant.inventoryItem
        if item is not None and item.tracked is False:
            inventory = None
        available = variant.availableForSale
        if inventory is not None and (
            type(inventory) is not int or not _LOWEST <= inventory <= _HIGHEST
        ):
            raise OddError
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
                    number(variant.id, _VARIANT),
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


def number(gid: str, prefix: str) -> str:
    """The number of a gid with this prefix. Raises OddError."""
    found = gid[len(prefix) :]
    if not gid.startswith(prefix) or not found.isascii() or not found.isdigit():
        raise OddError
    if len(found) > 20:
        raise OddError
    return found


def _time(written: str | None) -> datetime | None:
    if written is None:
        return None
    time = datetime.fromisoformat(written)
    if time.tzinfo is UTC:
        return time
    if time.tzinfo is None:
        raise OddError
    return time.astimezone(UTC)


def _image_url(media: Media | None) -> str | None:
    if media is None or media.preview is None or media.preview.image is None:
        return None
    return media.preview.image.url
