"""Where the time of a sync went, as a small picture in a `data:` URL.

Dagster's Markdown shows images of such URLs, and the policy of its pages (Content-Security-Policy)
does not forbid them (Dagster 1.13.27). A picture in an `img` runs no script and loads nothing. No
text of others is in it. It is short, because the UI shows Markdown of 1,000 characters and more
only when it is asked to (docs/facts/dagster.md, What the UI shows).
"""

from base64 import b64encode
from collections.abc import Mapping
from typing import Final

from connector_pipeline.model.duration import in_words

_COLOURS: Final = ("#d08a1d", "#3f6fd8", "#8a63d2", "#2f9e64")
_ROW: Final = 22
_BARS: Final = 170
_LABELS: Final = 230
# Legible on the light and on the dark theme: a picture does not know which.
_INK: Final = "#7a8290"


def time_chart(parts: Mapping[str, float]) -> str:
    """A bar for each part, by the seconds that it took, as the URL of an SVG picture."""
    longest = max(*parts.values(), 0.001)
    rows: list[str] = []
    for place, (label, seconds) in enumerate(parts.items()):
        top = place * _ROW
        width = max(1, round(seconds / longest * _BARS))
        rows.append(
            f'<rect y="{top + 3}" width="{width}" height="14" '
            f'fill="{_COLOURS[place % len(_COLOURS)]}"/>'
            f'<text x="{width + 6}" y="{top + 14}">{label} {in_words(seconds)}</text>'
        )
    drawn = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_BARS + _LABELS}" '
        f'height="{len(parts) * _ROW}" font-family="sans-serif" font-size="12" fill="{_INK}">'
        f"{''.join(rows)}</svg>"
    )
    return f"data:image/svg+xml;base64,{b64encode(drawn.encode()).decode()}"
