"""Reads prices, quantities, images and titles as WooCommerce writes them.

See docs/facts/woocommerce.md. Every function takes any value of parsed JSON. It raises FieldError
for a value that WooCommerce does not document, and no other error.
"""

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from connector_pipeline.model.catalog_item import ProductStatus
from connector_pipeline.platforms.kit import rejects
from connector_pipeline.platforms.kit.json_values import is_object
from connector_pipeline.platforms.kit.rejects import FieldError
from connector_pipeline.platforms.kit.remarks import Remarks
from connector_pipeline.platforms.woocommerce.mapping import forms
from connector_pipeline.platforms.woocommerce.mapping.float_noise import without_noise

# As in `rejects`: 1E+999999999 never becomes a number to compute with.
_QUANTITY: Final = re.compile(r"[+-]?[0-9]{1,20}(?:\.[0-9]{0,20})?(?:[eE][+-]?[0-9]{1,2})?")

STATUSES: Final = {
    "publish": ProductStatus.ACTIVE,
    "draft": ProductStatus.DRAFT,
    "pending": ProductStatus.PENDING,
    "private": ProductStatus.PRIVATE,
    "future": ProductStatus.SCHEDULED,
}


def price(value: object) -> Decimal | None:
    """The price in units of the currency; None for "" and null. "0" is a price of 0.

    It is exact, except that the noise of a float is taken off.
    """
    found = None if value == "" else rejects.price("price", value)
    return None if found is None else without_noise(found)


def inventory(
    manage_stock: object, stock_quantity: object, remarks: Remarks, about: str
) -> int | None:
    """The whole units in stock; None when it is not tracked.

    `manage_stock` is "parent" for a variation that shares its parent's stock and repeats the
    quantity. Goods by weight or length have fractions, which are rounded down with a remark.
    """
    manage_stock = forms.flag_of(manage_stock)
    stock_quantity = forms.number_of(stock_quantity)
    if manage_stock is False:
        return None
    if manage_stock is not True and manage_stock != "parent":
        raise FieldError("manage_stock", 'is neither true, false nor "parent"', manage_stock)
    if stock_quantity is None or type(stock_quantity) is int:
        return stock_quantity
    written = str(stock_quantity) if isinstance(stock_quantity, str | Decimal) else ""
    if not _QUANTITY.fullmatch(written):
        raise FieldError("stock_quantity", "is not a quantity", stock_quantity)
    quantity = Decimal(written)
    whole = math.floor(quantity)
    if whole != quantity:
        remarks.add("A stock_quantity is a fraction, and was rounded down", about)
    return whole


def status(value: object) -> ProductStatus:
    """A product's or variation's status in the catalog's words."""
    return rejects.one_of("status", value, STATUSES)


def sellable(product_status: ProductStatus, row: Mapping[str, Any]) -> bool | None:
    """Whether a product or variation may be bought now; None where the shop does not tell.

    `purchasable` is true for drafts too, because the key's owner may buy those, so the
    status counts first (docs/facts/woocommerce.md, Selling).
    """
    if product_status is not ProductStatus.ACTIVE:
        return False
    purchasable = forms.flag_of(row.get("purchasable"))
    stock_status: Any = row.get("stock_status")
    if purchasable is False or stock_status == "outofstock":
        return False
    told = purchasable is True and isinstance(stock_status, str) and stock_status != ""
    return True if told else None


def image_url(image: Any) -> str | None:
    """The URL in an image object, or in the first of a list of them.

    PHP writes an absent image as null, false, [], {} or "".
    """
    return first_image_url(image, field="image")


def first_image_url(images: object, *, field: str = "images") -> str | None:
    """The URL of a product's first image."""
    found = forms.objects(field, images)
    if not found or not found[0]:
        return None
    if not is_object(found[0]):
        raise FieldError(field, "has an entry that is not an object", found[0])
    src = found[0].get("src")
    return rejects.item_text("image.src", src) if src else None


def options(attributes: object) -> str:
    """A variation's options as one text, e.g. "Röd, Large"; "" if all attributes are "any"."""
    chosen: list[str] = []
    for attribute in forms.objects("attributes", attributes):
        option = forms.title_of(attribute.get("option")) if is_object(attribute) else None
        if not isinstance(option, str):
            raise FieldError("attributes", "has an entry without an option of text", attributes)
        chosen.append(option)
    return ", ".join(chosen)
