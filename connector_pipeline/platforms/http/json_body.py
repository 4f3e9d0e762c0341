"""Parses JSON as platforms send it."""

import json
from decimal import Decimal, InvalidOperation
from typing import Any


def parse_json(body: bytes) -> Any:
    """Parse JSON. A UTF-8 BOM is allowed, fractions become Decimal, and NaN is refused.

    Raises ValueError.
    """

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not JSON")

    try:
        return json.loads(body.decode("utf-8-sig"), parse_float=Decimal, parse_constant=refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except InvalidOperation:
        raise ValueError("a number's exponent is out of reach") from None
