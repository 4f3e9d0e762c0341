"""Reads the fields of a variant, and makes a rejected variant of one that cannot be read.

Every reader takes the field's name, for the reason, and any value of parsed JSON. It raises
FieldError for a value that the platform does not document, and no other error.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from reprlib import Repr
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from connector_pipeline.model.catalog_item import ProductStatus, RejectedVariant, kept_text
from connector_pipeline.model.storable import clipped

MappedT = TypeVar("MappedT")

# At most 28 characters: Decimal arithmetic is exact to 28 digits, so the catalog item's rule of six
# decimals sees every digit, and 1E+999999999 never becomes a number to compute with.
_NUMBER: Final = re.compile(
    r"(?=.{1,28}\Z)[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?"
)
_WHOLE_NUMBER: Final = re.compile(r"(-?[0-9]{1,20})\.0+")


_LONGEST: Final = 60
"""Bytes of a value that a reason quotes."""


class FieldError(ValueError):
    """A field whose value the platform does not document, with its name, problem and value."""

    def __init__(self, field: str, problem: str, *value: object):
        shown = "".join(f" ({_shown(each)})" for each in value)
        super().__init__(f"{field}: {problem}{shown}")


# A value may have megabytes, or be nested until Python's own repr gives up.
_brief: Final = Repr()
_brief.maxlevel = 4
_brief.maxstring = _brief.maxother = _brief.maxlong = 130


def _shown(value: object) -> str:
    text = str(value) if isinstance(value, Decimal) else _brief.repr(value)
    return clipped(text, most_bytes=_LONGEST)


def rejected(
    error: FieldError | ValidationError,
    *,
    product_id: str | None,
    variant_id: str | None,
    raw: Any,
    product_status: ProductStatus | None = None,
) -> RejectedVariant:
    """The variant that could not become a catalog item because of `error`, with the reason.

    `raw` is the JSON to show: the variant, and the fields of its product that were needed.
    `product_status` is that of `stated_status`.
    """
    return RejectedVariant(
        product_id=product_id,
        variant_id=variant_id,
        reason=reason_of(error),
        raw=raw,
        product_status=product_status,
    )


def stated_status(value: object, known: Mapping[str, ProductStatus]) -> ProductStatus:
    """Our status for the platform's word; UNKNOWN for any other value."""
    found = known.get(value) if isinstance(value, str) else None
    return ProductStatus.UNKNOWN if found is None else found


def reason_of(error: FieldError | ValidationError) -> str:
    """The reason in one line: each field with its problem."""
    if isinstance(error, FieldError):
        return str(error)
    return "; ".join(
        f"{'.'.join(map(str, problem['loc']))}: {problem['msg'].removeprefix('Value error, ')}"
        for problem in error.errors(include_input=False, include_url=False, include_context=False)
    )


def require_fields(row: Mapping[str, Any], fields: tuple[str, ...]) -> None:
    """Raise FieldError where an answer lacks one of these fields: a missing field is no null."""
    missing = [field for field in fields if field not in row]
    if missing:
        raise FieldError(", ".join(missing), "missing from the answer")


def text(field: str, value: object) -> str:
    """Text, byte for byte."""
    if not isinstance(value, str):
        raise FieldError(field, "is not text", value)
    return value


def item_text(field: str, value: object) -> str:
    """Text that an item can have, byte for byte."""
    try:
        return kept_text(text(field, value))
    except FieldError:
        raise
    except ValueError as error:
        raise FieldError(field, str(error)) from None


def optional_text(field: str, value: object) -> str | None:
    """Text, byte for byte; None for null."""
    return None if value is None else text(field, value)


def price(field: str, value: object, *, as_text: re.Pattern[str] | None = None) -> Decimal | None:
    """The exact amount in units of the currency, never through a float; None for null.

    By default the value may be a number, or a number written as text. Where a platform documents
    prices as text of one form, `as_text` is that form, of at most 28 digits.
    """
    if value is None:
        return None
    if isinstance(value, str):
        written = value
    elif as_text is None and isinstance(value, int | Decimal) and not isinstance(value, bool):
        written = str(value)
    else:
        raise FieldError(field, "is not an amount of money", value)
    if not (as_text or _NUMBER).fullmatch(written):
        raise FieldError(field, "is not an amount of money", value)
    return Decimal(written)


def whole_number(field: str, value: object) -> int | None:
    """A whole number, or one such as 2.0; None for null."""
    if value is None or type(value) is int:
        return value
    whole = _WHOLE_NUMBER.fullmatch(str(value)) if isinstance(value, Decimal) else None
    if whole is None:
        raise FieldError(field, "is not a whole number", value)
    return int(whole[1])


def time(field: str, value: object, *, without_zone: tzinfo | None = None) -> datetime | None:
    """An ISO 8601 time, in UTC; None for null.

    A time without a zone is in `without_zone`. By default it is an error.
    """
    if value is None:
        return None
    # A number is refused, because it may be seconds or milliseconds.
    if isinstance(value, str):
        try:
            written = datetime.fromisoformat(value)
            if written.tzinfo is not None:
                return written.astimezone(UTC)
            if without_zone is not None:
                return written.replace(tzinfo=without_zone).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise FieldError(
        field, f"is not a time{' with a time zone' if without_zone is None else ''}", value
    )


def later(one: datetime | None, other: datetime | None) -> datetime | None:
    """The later of two times, of which either may be unknown."""
    if one is None or other is None:
        return one or other
    return max(one, other)


def one_of(field: str, value: object, known: Mapping[str, MappedT]) -> MappedT:
    """Our value in `known` for one of the platform's words, e.g. a product's status."""
    found = known.get(value) if isinstance(value, str) else None
    if found is None:
        raise FieldError(field, f"is not one of {', '.join(known)}", value)
    return found
