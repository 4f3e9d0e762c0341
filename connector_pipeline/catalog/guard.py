"""The guard: refuse a snapshot that would delete too much, until an operator confirms it.

docs/contracts.md states the promise that it keeps.
"""

from typing import Final

SMALLEST_GUARDED: Final = 50
"""A shop with fewer live items may lose any part of them, but never all at once."""


def refusal(*, live: int, gone: int, items: int) -> str | None:
    """Say why a snapshot of `items` items that deletes `gone` of `live` live items is refused.

    Returns None if the snapshot may be published.
    """
    if items == 0 and gone > 0:
        return f"the snapshot is empty, and the catalog has {live} live items."
    if live >= SMALLEST_GUARDED and gone * 2 > live:
        return (
            f"the snapshot of {items} items lacks {gone} of the catalog's {live} live items, "
            "more than half."
        )
    return None
