"""The output of commands: tables and sentences for people, or JSON objects with `--json`.

Merchants write titles, platforms write errors, requesters write ids. Nothing of that may reach a
terminal as it is: it could move the cursor, set the window's title, or turn a line around. So
everything that a command prints goes through the consoles `out` and `err`, or through
`json_output.py`.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum
from itertools import islice
from typing import Any, Final

from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from connector_pipeline.cli.json_output import print_json
from connector_pipeline.model.process_output import shown

_NARROWEST: Final = 14
_WIDEST: Final = 100_000


class SafeConsole(Console):
    """A console that prints text as text, without secrets, and escapes what a terminal obeys.

    Only what we ask Rich for itself, colours and the movement of progress bars, is obeyed. Markup
    is off unless it is asked for: a title may look like it.
    """

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """The segments of anything that is printed, each in a form that a terminal only shows."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text == "\n":
                yield segment
            else:
                yield Segment(shown(segment.text).replace("\t", " "), segment.style)


def _console(*, stderr: bool) -> Console:
    return SafeConsole(stderr=stderr, highlight=False, markup=False, emoji=False)


out: Final = _console(stderr=False)
err: Final = _console(stderr=True)


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
    # A narrow terminal cuts titles and nothing else: an operator types keys, a program reads all.
    titles = [name for name in columns if name.endswith("title")] if out.is_terminal else []
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
    print_table(table)
    if limit is not None and (more := sum(1 for _ in source)):
        err.print(f"The first {limit} of {limit + more} rows: --limit or --json for more.")


def new_table() -> Table:
    """An empty table in the style of all commands: without a frame, close together."""
    return Table(box=None, pad_edge=False, header_style="bold underline")


def print_table(table: Table) -> None:
    """Print a table. What must not be broken, ids and keys, makes it wider than the terminal.

    Where there is no terminal, each row is one line.
    """
    natural = Measurement.get(out, out.options.update(max_width=_WIDEST), table)
    table.width = max(natural.minimum, out.width) if out.is_terminal else natural.maximum
    table.width = min(table.width, natural.maximum)
    out.print(table, crop=False)


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
    return shown(" ".join(str(value).split()))
