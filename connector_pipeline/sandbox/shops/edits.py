"""Edits of products and variants: reads the changes of a request into the records' types."""

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any, Final, TypeVar, cast

from connector_pipeline.sandbox.shops.records import Product, Variant

R = TypeVar("R", bound=Product | Variant)

_FIXED: Final = frozenset({"id", "variants", "variations"})


class InvalidEdit(ValueError):
    """An edit that fits no field of the record, with the reason."""


def edited(record: R, changes: Mapping[str, Any]) -> R:
    """The record with these changes by field name, times in ISO 8601. Raises InvalidEdit."""
    known = {field.name for field in fields(record)} - _FIXED
    unknown = sorted(changes.keys() - known)
    if unknown:
        raise InvalidEdit(f"unknown: {', '.join(unknown)}; there is {', '.join(sorted(known))}")
    values: dict[str, Any] = {}
    for name, value in changes.items():
        if name == "published_at" and value is None:
            values[name] = None
        elif name.endswith("_at"):
            values[name] = moment(value)
        else:
            values[name] = _tuples(value)
    return replace(record, **values)


def moment(value: object) -> datetime:
    """An aware time in UTC from a datetime or ISO 8601 text. Raises InvalidEdit."""
    try:
        time = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError as error:
        raise InvalidEdit(str(error)) from None
    if time.tzinfo is None:
        raise InvalidEdit(f"{value!r} has no time zone")
    return time.astimezone(UTC)


def now() -> datetime:
    """The time of an edit in whole seconds, which both platforms keep."""
    return datetime.now(UTC).replace(microsecond=0)


def _tuples(value: object) -> object:
    if isinstance(value, list):
        return tuple(_tuples(item) for item in cast("list[object]", value))
    return value
