"""Parses JSON as platforms send it."""

import json
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from connector_pipeline.platforms.http.json_shape import MOST_DEPTH, is_too_deep

_BOM: Final = b"\xef\xbb\xbf"
_fast: Final = msgspec.json.Decoder(float_hook=Decimal)

MOST_DIGITS: Final = 4_300
"""The most characters of a whole number, which is Python's own bound."""


class UnreadableJson(ValueError):
    """Text that is JSON but for one value that is none or that nobody could work with.

    The message names the value and continues "JSON that cannot be read: ".
    """


def parse_json(body: bytes) -> Any:
    """Parse JSON. A UTF-8 BOM is allowed, fractions become Decimal, and NaN is refused.

    Of several values under one name, the last one counts. Half a surrogate pair stays in a text. A
    whole number of more than MOST_DIGITS becomes a Decimal, and one with an exponent out of reach
    an infinite one: whatever reads that field refuses it, and the rest of the page stays readable.
    Raises ValueError, which is UnreadableJson for NaN and for values nested too deeply.
    """
    body = body.removeprefix(_BOM)
    if is_too_deep(body):
        raise UnreadableJson(f"values are nested more than {MOST_DEPTH} deep")
    try:
        return _fast.decode(body)
    except (ValueError, RecursionError, InvalidOperation):
        # msgspec takes a third of the time, but refuses some JSON, e.g. half a surrogate pair: a
        # page with one such title must stay readable. Its errors are ValueErrors.
        return _by_the_standard_library(body)


def _by_the_standard_library(body: bytes) -> Any:
    refused: list[str] = []

    def constant(written: str) -> None:
        refused.append(f"{written} is not JSON")

    try:
        parsed = json.loads(
            body.decode(), parse_constant=constant, parse_int=_whole, parse_float=_fraction
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None
    # Not before the end: a page of HTML, or JSON cut off, is called what it is.
    if refused:
        raise UnreadableJson(refused[0])
    return parsed


def _whole(written: str) -> int | Decimal:
    # Not its text: a field for text would take that.
    return int(written) if len(written) <= MOST_DIGITS else Decimal(written)


def _fraction(written: str) -> Decimal:
    try:
        return Decimal(written)
    except InvalidOperation:
        return Decimal("-Infinity" if written.startswith("-") else "Infinity")
