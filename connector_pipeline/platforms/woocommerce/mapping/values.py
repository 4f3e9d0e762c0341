"""How WooCommerce writes prices, quantities, times, images and titles (FACTS 11 to 17).

Every function takes a value of parsed JSON, whatever it may be, and raises FieldError with a
reason a person can act on where it is not what WooCommerce documents. None of them raises anything
else.
"""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, cast

from connector_pipeline.model.catalog_item import ProductStatus

_STATUSES: Final = {
    "publish": ProductStatus.ACTIVE,
    "draft": ProductStatus.DRAFT,
    "pending": ProductStatus.PENDING,
    "private": ProductStatus.PRIVATE,
    "future": ProductStatus.SCHEDULED,
}
# At most 28 characters: Decimal arithmetic is exact to 28 digits, so the catalog item's rule of six
# decimals sees every digit, and 1E+999999999 never becomes a number to compute with.
_PRICE: Final = re.compile(
    r"(?=.{1,28}\Z)[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?"
)
_WHOLE_NUMBER: Final = re.compile(r"(-?[0-9]{1,20})\.0+")


class FieldError(ValueError):
    """A value that is not what WooCommerce documents for its field."""


def price(value: Any) -> Decimal | None:
    """The exact price in units of the currency; "" and null are no price, "0" is free."""
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise FieldError(f"price is {_kind(value)}, not text")
    written = str(value)
    if not _PRICE.fullmatch(written):
        raise FieldError(f"price {written[:40]!r} is not a number")
    return Decimal(written)


def inventory(manage_stock: Any, stock_quantity: Any) -> int | None:
    """The quantity in stock, None when it is not tracked.

    `manage_stock` "parent" is a variation that shares its parent's stock and repeats its quantity.
    Plugins for goods by weight send fractions, which the catalog cannot hold.
    """
    if manage_stock is False:
        return None
    if manage_stock is not True and manage_stock != "parent":
        raise FieldError('manage_stock is neither true, false nor "parent"')
    if stock_quantity is None or type(stock_quantity) is int:
        return stock_quantity
    if not isinstance(stock_quantity, Decimal):
        raise FieldError(f"stock_quantity is {_kind(stock_quantity)}, not a number")
    written = str(stock_quantity)
    whole = _WHOLE_NUMBER.fullmatch(written)
    if whole is None:
        raise FieldError(f"stock_quantity {written[:40]} is not a whole number")
    return int(whole[1])


def time(value: Any, field: str) -> datetime | None:
    """A `*_gmt` date: UTC without saying so; null where a draft has none yet."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise FieldError(f"{field} is {_kind(value)}, not text")
    try:
        written = datetime.fromisoformat(value)
        return written.replace(tzinfo=UTC) if written.tzinfo is None else written.astimezone(UTC)
    except (ValueError, OverflowError):
        raise FieldError(f"{field} {value[:40]!r} is not a date") from None


def later(one: datetime | None, other: datetime | None) -> datetime | None:
    """The later of two times, of which either may be unknown."""
    if one is None or other is None:
        return one or other
    return max(one, other)


def status(value: Any) -> ProductStatus:
    """A product's status in the catalog's words."""
    found = _STATUSES.get(value) if isinstance(value, str) else None
    if found is None:
        shown = repr(value[:40]) if isinstance(value, str) else _kind(value)
        raise FieldError(f"status is {shown}, not one of {', '.join(_STATUSES)}")
    return found


def image_url(image: Any) -> str | None:
    """The address of an image object; PHP writes an absent one as null, false, [] or ""."""
    if not image:
        return None
    if not isinstance(image, dict):
        raise FieldError(f"image is {_kind(image)}, not an object")
    src = cast(dict[str, Any], image).get("src")
    if not src:
        return None
    if not isinstance(src, str):
        raise FieldError(f"image src is {_kind(src)}, not text")
    return src


def first_image_url(images: Any) -> str | None:
    """The address of a product's first image."""
    if not isinstance(images, list):
        raise FieldError(f"images is {_kind(images)}, not a list")
    return image_url(images[0]) if images else None


def options(attributes: Any) -> str:
    """A variation's attributes as one text: "Röd, Large"; "" when every one of them is "any"."""
    if not isinstance(attributes, list):
        raise FieldError(f"attributes is {_kind(attributes)}, not a list")
    chosen: list[str] = []
    for row in cast(list[Any], attributes):
        option = cast(dict[str, Any], row).get("option") if isinstance(row, dict) else None
        if not isinstance(option, str):
            raise FieldError("attributes has an entry without an option of text")
        chosen.append(option)
    return ", ".join(chosen)


def text(value: Any, field: str) -> str:
    """Text, byte for byte."""
    if not isinstance(value, str):
        raise FieldError(f"{field} is {_kind(value)}, not text")
    return value


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    kinds = {"dict": "an object", "list": "a list", "str": "text", "bool": "true or false"}
    return kinds.get(type(value).__name__, "a number")
