"""Parses JSON as platforms send it."""

import json
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

_BOM: Final = b"\xef\xbb\xbf"
_fast: Final = msgspec.json.Decoder(float_hook=Decimal)


def parse_json(body: bytes) -> Any:
    """Parse JSON. A UTF-8 BOM is allowed, fractions become Decimal, and NaN is refused.

    A number that Python cannot hold, of 10,000 digits or with an exponent out of reach, becomes its
    text: whoever reads that field refuses it, and the rest of the page stays readable. Raises
    ValueError.
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
        return json.loads(
            body.decode("utf-8-sig"),
            parse_float=_fraction,
            parse_int=_whole,
            parse_constant=refuse,
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None


# Python takes quadratic time for the digits of an int, and refuses more than 4,300.
_MOST_DIGITS: Final = 1_000


def _whole(written: str) -> int | str:
    return int(written) if len(written) <= _MOST_DIGITS else written


def _fraction(written: str) -> Decimal | str:
    try:
        return Decimal(written)
    except InvalidOperation:
        return written
