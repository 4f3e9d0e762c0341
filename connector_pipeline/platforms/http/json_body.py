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

    Of several values under one name, the last one counts. Half a surrogate pair stays in a text.
    Raises ValueError, which is UnreadableJson for NaN, for a whole number of more than
    MOST_DIGITS, for an exponent out of reach, and for values nested too deeply.
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

    def whole(written: str) -> int:
        if len(written) > MOST_DIGITS:
            refused.append(f"a number has {len(written)} digits")
            return 0
        return int(written)

    def fraction(written: str) -> Decimal:
        try:
            return Decimal(written)
        except InvalidOperation:
            refused.append("a number's exponent is out of reach")
            return Decimal(0)

    try:
        parsed = json.loads(
            body.decode(), parse_constant=constant, parse_int=whole, parse_float=fraction
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None
    # Not before the end: a page of HTML, or JSON cut off, is called what it is.
    if refused:
        raise UnreadableJson(refused[0])
    return parsed
