"""JSON objects, as `--json` has every command print them.

Apart from `output.py`: a program that reads JSON need not wait for the import of Rich.
"""

import json
import sys
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID


def print_json(row: Mapping[Any, Any]) -> None:
    r"""Print a JSON object on a line of its own: money as text, times in ISO 8601.

    What does not print, halves of surrogate pairs too, is escaped as JSON escapes: `\u001b`.
    """
    text = json.dumps(row, default=as_stored, ensure_ascii=not _prints_unicode())
    sys.stdout.write((text if text.isprintable() else _json_escaped(text)) + "\n")


def _prints_unicode() -> bool:
    return (sys.stdout.encoding or "").replace("-", "").lower() == "utf8"


def _json_escaped(text: str) -> str:
    # Outside of its strings, JSON has nothing but ASCII.
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)


def as_stored(value: object) -> object:
    """What JSON has no type for: money and UUIDs as text, times in ISO 8601. Raises TypeError."""
    if isinstance(value, Decimal | UUID):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    raise TypeError(f"{type(value).__name__} cannot be printed as JSON")
