"""The output of commands: tables and sentences for people, or JSON objects with `--json`."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum
from itertools import islice
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

_NARROWEST: Final = 14

out: Final = Console(highlight=False)
err: Final = Console(stderr=True, highlight=False)


def print_rows(
    rows: Iterable[Mapping[str, Any]],
    *,
    columns: Sequence[str],
    as_json: bool,
    empty: str,
    limit: int | None = None,
) -> None:
    """Print rows, as a table of these columns or as JSON with all columns.

    The table shows the first `limit` rows, and below it how to see the others.
    """
    if as_json:
        for row in rows:
            print_json(row)
        return
    table = new_table()
    for name in columns:
        table.add_column(name, no_wrap=True)
    # A narrow terminal cuts titles and nothing else: an operator types keys.
    titles = [name for name in columns if name.endswith("title")]
    others = len(columns) - len(titles)
    room = max(_NARROWEST, (out.width - _NARROWEST * others) // max(1, len(titles)))
    source = iter(rows)
    for row in islice(source, limit):
        # Text, because a merchant's title may look like markup.
        cells = [Text(_shown(row[name])) for name in columns]
        for name, cell in zip(columns, cells, strict=True):
            if name in titles:
                cell.truncate(room, overflow="ellipsis")
        table.add_row(*cells)
    if not table.row_count:
        err.print(empty, soft_wrap=True)
        return
    out.print(table)
    if limit is not None and (more := sum(1 for _ in source)):
        err.print(f"The first {limit} of {limit + more} rows: --limit or --json for more.")


def new_table() -> Table:
    """An empty table in the style of all commands: without a frame, close together."""
    return Table(box=None, pad_edge=False, header_style="bold underline")


def print_json(row: Mapping[Any, Any]) -> None:
    """Print a JSON object on a line of its own: money as text, times in ISO 8601."""
    sys.stdout.write(json.dumps(row, default=_json, ensure_ascii=False) + "\n")


def _json(value: object) -> object:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    raise TypeError(f"{type(value).__name__} cannot be printed as JSON")


def _shown(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, Decimal):
        # The column always has six decimals, more than the currency.
        return f"{value.normalize():f}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}Z"
    if isinstance(value, Enum):
        return str(value.value)
    # A tab or a newline in a title would break the line; JSON shows it as it is.
    return " ".join(str(value).split())
