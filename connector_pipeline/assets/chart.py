"""A small bar chart as an image in Markdown, which Dagster's UI shows among the metadata.

It is short, because the UI shows Markdown of 1,000 characters and more only when it is asked to
(docs/facts/dagster.md, What the UI shows).
"""

from base64 import b64encode
from collections.abc import Sequence
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

_WIDTH: Final = 370
"""The column of the UI's table has no more room in a window of 1,400 pixels."""
_BAR: Final = 170
_LINE: Final = 22
# Legible on the light and on the dark theme: a picture does not know which.
_INK: Final = "#7a8290"


class Bar(NamedTuple):
    """A bar: its label, its number, the number in words, and its colour."""

    label: str
    number: float
    words: str
    colour: str = "#36d"


def bar_chart(title: str, bars: Sequence[Bar]) -> str:
    """The chart as Markdown: an SVG in a data URI, with the title as the image's text.

    An image runs no script and loads nothing, and its texts are escaped. `title` is our own word.
    """
    most = max((bar.number for bar in bars), default=0) or 1
    lines: list[str] = []
    for place, bar in enumerate(bars, start=1):
        top, width = place * _LINE, max(round(bar.number / most * _BAR), 1)
        lines.append(
            f'<rect y="{top + 3}" width="{width}" height="14" fill="{bar.colour}"/>'
            f'<text x="{width + 6}" y="{top + 14}">{escape(f"{bar.label}: {bar.words}")}</text>'
        )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" '
        f'height="{_LINE * (len(bars) + 1)}" font-family="sans-serif" font-size="12" '
        f'fill="{_INK}"><text y="14">{escape(title)}</text>{"".join(lines)}</svg>'
    )
    return f"![{title}](data:image/svg+xml;base64,{b64encode(svg.encode()).decode()})"
