"""Parses JSON as platforms send it."""

import json
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

_BOM: Final = b"\xef\xbb\xbf"
_fast: Final = msgspec.json.Decoder(float_hook=Decimal)


def parse_json(body: bytes) -> Any:
    """Parse JSON. A UTF-8 BOM is allowed, fractions become Decimal, and NaN is refused.

    Raises ValueError.
    """
    try:
        return _fast.decode(body.removeprefix(_BOM))
    except (ValueError, RecursionError, InvalidOperation):
        # msgspec takes a third of the time, but refuses some JSON, e.g. half a surrogate pair: a
        # page with one such title must stay readable. Its errors are ValueErrors.
        return _by_the_standard_library(body)


def _by_the_standard_library(body: bytes) -> Any:
    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not JSON")

    try:
        return json.loads(body.decode("utf-8-sig"), parse_float=Decimal, parse_constant=refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except InvalidOperation:
        raise ValueError("a number's exponent is out of reach") from None
