"""A small bar chart as an image in Markdown, which Dagster's UI shows among the metadata."""

from base64 import b64encode
from collections.abc import Sequence
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

_WIDTH: Final = 370
"""The column of the UI's table has no more room in a window of 1,400 pixels."""
_LABEL: Final = 130
_BAR: Final = 170
_LINE: Final = 24


class Bar(NamedTuple):
    """A bar: its label, its number, the number in words, and its colour."""

    label: str
    number: float
    words: str
    colour: str = "#4f6bed"


def bar_chart(title: str, bars: Sequence[Bar]) -> str:
    """The chart as Markdown: an SVG in a data URI, with the title as the image's text.

    An image runs no script and loads nothing, and its texts are escaped. `title` is our own word.
    """
    most = max((bar.number for bar in bars), default=0) or 1
    lines = [
        f'<text x="{_LABEL - 8}" y="{at + 16}" text-anchor="end">{escape(bar.label)}</text>'
        f'<rect x="{_LABEL}" y="{at + 4}" width="{max(bar.number / most * _BAR, 1):.0f}" '
        f'height="16" rx="2" fill="{bar.colour}"/>'
        f'<text x="{_LABEL + max(bar.number / most * _BAR, 1) + 8:.0f}" y="{at + 16}">'
        f"{escape(bar.words)}</text>"
        for at, bar in zip(range(28, 28 + _LINE * len(bars), _LINE), bars, strict=True)
    ]
    height = 28 + _LINE * len(bars)
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="13" fill="#333">'
        f'<rect width="100%" height="100%" fill="#fff"/>'
        f'<text x="8" y="18" font-weight="bold">{escape(title)}</text>{"".join(lines)}</svg>'
    )
    return f"![{title}](data:image/svg+xml;base64,{b64encode(svg.encode()).decode()})"
