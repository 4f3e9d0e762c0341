"""Where the time of a sync went, as a small picture in a `data:` URL.

Dagster's Markdown shows images of such URLs, and the policy of its pages (Content-Security-Policy)
does not forbid them (Dagster 1.13.27). A picture in an `img` runs no script and loads nothing. No
text of others is in it. It is short, because the UI shows Markdown of 1,000 characters and more
only when it is asked to (docs/facts/dagster.md, What the UI shows).
"""

from base64 import b64encode
from collections.abc import Mapping
from itertools import cycle
from typing import Final

from connector_pipeline.model.duration import in_words

_COLOURS: Final = ("#d08a1d", "#3f6fd8", "#8a63d2", "#2f9e64")
_NOTHING: Final = 0.005
"""Seconds of which the two decimals of a label show nothing."""
_ROW: Final = 22
_BARS: Final = 170
_LABELS: Final = 230
# Legible on the light and on the dark theme: a picture does not know which.
_INK: Final = "#7a8290"


def time_chart(parts: Mapping[str, float]) -> str:
    """A bar for each part that took any time, by its seconds, as the URL of an SVG picture.

    A part has the same colour in all pictures, whichever others are shown.
    """
    colours = dict(zip(parts, cycle(_COLOURS), strict=False))
    shown = {label: seconds for label, seconds in parts.items() if seconds >= _NOTHING} or parts
    longest = max(*parts.values(), 0.001)
    rows: list[str] = []
    for place, (label, seconds) in enumerate(shown.items()):
        top = place * _ROW
        width = max(1, round(seconds / longest * _BARS))
        rows.append(
            f'<rect y="{top + 3}" width="{width}" height="14" '
            f'fill="{colours[label]}"/>'
            f'<text x="{width + 6}" y="{top + 14}">{label} {in_words(seconds)}</text>'
        )
    drawn = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_BARS + _LABELS}" '
        f'height="{len(shown) * _ROW}" font-family="sans-serif" font-size="12" fill="{_INK}">'
        f"{''.join(rows)}</svg>"
    )
    return f"data:image/svg+xml;base64,{b64encode(drawn.encode()).decode()}"
