"""A catalog item, which is one variant in our schema, and a rejected variant."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from operator import attrgetter
from typing import Annotated, Any, Final, NamedTuple

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from connector_pipeline.model.storable import checked, shows

LONGEST_ID: Final = 255
"""Bytes of an id. Postgres refuses an index row of more than 2,704 bytes, and the key has three."""

LONGEST_TEXT: Final = 65_535
"""Bytes of a title, a SKU or a URL: as many as WordPress's column of titles holds."""

SURELY_SHORT: Final = LONGEST_TEXT // 4
"""A text of so many characters fits, whichever they are: no character has more than 4 bytes."""


class ProductStatus(StrEnum):
    """The product statuses of all platforms in one vocabulary (docs/contracts.md, The catalog)."""

    ACTIVE = "active"
    DRAFT = "draft"
    ARCHIVED = "archived"
    UNLISTED = "unlisted"
    PENDING = "pending"
    PRIVATE = "private"
    SCHEDULED = "scheduled"
    UNKNOWN = "unknown"
    """Of a rejected variant's last good row: its product's status now is none that we know."""


def _never_float(value: object) -> object:
    if isinstance(value, float):
        raise ValueError("a price must not pass through a float")
    return value


def _plain_number(price: Decimal) -> Decimal:
    if not price.is_finite():
        raise ValueError("is not a finite number")
    if price.is_zero():
        # 0E+999 and 0E-999 are zeros too, written as Postgres does not read them.
        return Decimal(0) if abs(price.adjusted()) > 6 else price
    # We count digits: arithmetic rounds to 28 digits and overflows. The column is numeric(20,6):
    # Postgres would round further decimals silently, and holds 14 digits before the point.
    _, digits, exponent = price.as_tuple()
    if int(exponent) < -6:
        written = "".join(map(str, digits))
        if int(exponent) + len(written) - len(written.rstrip("0")) < -6:
            raise ValueError("has more than six decimals")
    if price.adjusted() >= 14:
        raise ValueError("has more than fourteen digits before the point")
    return price


def _utc(time: datetime) -> datetime:
    if time.tzinfo is None:
        raise ValueError("has no time zone")
    return time.astimezone(UTC)


def kept_text(text: str) -> str:
    """The text as it is. Raises ValueError if the catalog cannot hold it."""
    # Encoded only if it may fit, because a text may have megabytes.
    if len(text) > SURELY_SHORT and (
        len(text) > LONGEST_TEXT or len(text.encode(errors="replace")) > LONGEST_TEXT
    ):
        raise ValueError(f"is longer than {LONGEST_TEXT} bytes")
    return checked(text)


def _short_id(text: str) -> str:
    # An id that does not show could not be told from another one.
    if not shows(text):
        raise ValueError("contains characters that do not show")
    if not text.isascii() and len(text.encode()) > LONGEST_ID:
        raise ValueError(f"is longer than {LONGEST_ID} bytes")
    return text


Storable = Annotated[str, AfterValidator(kept_text)]
# The length stands first: after a validator of ours pydantic checks it in Python, 6 times an item.
Identifier = Annotated[str, Field(min_length=1, max_length=LONGEST_ID), AfterValidator(_short_id)]
Price = Annotated[Decimal, BeforeValidator(_never_float), AfterValidator(_plain_number)]
Inventory = Annotated[int, Field(ge=-(2**31), lt=2**31, strict=True)]
Time = Annotated[datetime, AfterValidator(_utc)]


class CatalogItem(BaseModel):
    """One variant, normalized, with the columns that `catalog.catalog_items` has of a shop.

    `price` is in units of `currency` (never cents); None means no price, 0 means free.
    `inventory` None means not tracked, and it may be negative. `sellable` is the platform's word on
    whether the variant may be bought now, None where it does not tell. Text is kept byte for byte.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    merchant_id: Identifier
    platform_name: Identifier
    platform_shop_id: Identifier
    domain: Identifier
    product_id: Identifier
    variant_id: Identifier
    product_title: Storable
    variant_title: Storable
    sku: Storable | None
    price: Price | None
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    inventory: Inventory | None
    image_url: Storable | None
    created_at: Time | None
    updated_at: Time | None
    product_status: ProductStatus
    sellable: Annotated[bool, Field(strict=True)] | None = None


ITEM_COLUMNS: Final = tuple(CatalogItem.model_fields)
"""The columns of a catalog item in their order; the table has them in the same order."""


class CatalogRow(NamedTuple):
    """The values of a catalog item, checked by its rules. A publish handles millions of them."""

    merchant_id: str
    platform_name: str
    platform_shop_id: str
    domain: str
    product_id: str
    variant_id: str
    product_title: str
    variant_title: str
    sku: str | None
    price: Decimal | None
    currency: str
    inventory: int | None
    image_url: str | None
    created_at: datetime | None
    updated_at: datetime | None
    product_status: str
    sellable: bool | None


_values: Final = attrgetter(*ITEM_COLUMNS)


def row_of(item: CatalogItem) -> CatalogRow:
    """The item's values."""
    return CatalogRow._make(_values(item))


class RejectedVariant(BaseModel):
    """A variant that cannot be normalized. We keep it with the reason and never drop it silently.

    `variant_id` and `product_id` are None where even those could not be read. `raw` is the
    platform's JSON of the variant, parsed, with the parts of its product that were needed.
    `product_status` is the status that the platform states now, UNKNOWN for one that we do not
    know, None where it states none: the last good row must not stay active against it.
    """

    model_config = ConfigDict(frozen=True)

    product_id: str | None
    variant_id: str | None
    reason: str
    raw: Any
    product_status: ProductStatus | None = None


def rows_of(
    normalized: Iterable[CatalogItem | RejectedVariant],
) -> Iterator[CatalogRow | RejectedVariant]:
    """Items as bare rows, and rejected variants as they are."""
    for each in normalized:
        yield row_of(each) if isinstance(each, CatalogItem) else each
