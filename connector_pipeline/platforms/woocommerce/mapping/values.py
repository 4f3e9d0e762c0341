"""Reads prices, quantities, images and titles as WooCommerce writes them.

See docs/facts/woocommerce.md. Every function takes any value of parsed JSON. It raises FieldError
for a value that WooCommerce does not document, and no other error.
"""

from decimal import Decimal
from typing import Any, Final

from connector_pipeline.model.catalog_item import ProductStatus
from connector_pipeline.platforms.kit import rejects
from connector_pipeline.platforms.kit.json_values import is_object
from connector_pipeline.platforms.kit.rejects import FieldError
from connector_pipeline.platforms.woocommerce.mapping import forms

_STATUSES: Final = {
    "publish": ProductStatus.ACTIVE,
    "draft": ProductStatus.DRAFT,
    "pending": ProductStatus.PENDING,
    "private": ProductStatus.PRIVATE,
    "future": ProductStatus.SCHEDULED,
}


def price(value: object) -> Decimal | None:
    """The exact price in units of the currency; None for "" and null. "0" is a price of 0."""
    return None if value == "" else rejects.price("price", value)


def inventory(manage_stock: object, stock_quantity: object) -> int | None:
    """The quantity in stock; None when it is not tracked.

    `manage_stock` is "parent" for a variation that shares its parent's stock and repeats the
    quantity. Plugins for goods by weight send fractions, which the catalog cannot hold.
    """
    manage_stock = forms.flag_of(manage_stock)
    stock_quantity = forms.number_of(stock_quantity)
    if manage_stock is False:
        return None
    if manage_stock is not True and manage_stock != "parent":
        raise FieldError("manage_stock", 'is neither true, false nor "parent"', manage_stock)
    return rejects.whole_number("stock_quantity", stock_quantity)


def status(value: object) -> ProductStatus:
    """A product's status in the catalog's words."""
    return rejects.one_of("status", value, _STATUSES)


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
    return rejects.text("image.src", src) if src else None


def options(attributes: object) -> str:
    """A variation's options as one text, e.g. "Röd, Large"; "" if all attributes are "any"."""
    chosen: list[str] = []
    for attribute in forms.objects("attributes", attributes):
        option = forms.title_of(attribute.get("option")) if is_object(attribute) else None
        if not isinstance(option, str):
            raise FieldError("attributes", "has an entry without an option of text", attributes)
        chosen.append(option)
    return ", ".join(chosen)
