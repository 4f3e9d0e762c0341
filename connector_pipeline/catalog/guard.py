"""The guard of promise 2: what a snapshot may take away without an operator's word."""

from typing import Final

SMALLEST_GUARDED: Final = 50
"""Below this many live items a shop may lose any part of them, but never all at once."""


def refusal(*, live: int, gone: int, items: int) -> str | None:
    """Why a full snapshot of `items` items that deletes `gone` of `live` is not to be believed.

    None: it may be published.
    """
    if items == 0 and gone > 0:
        return f"the snapshot is empty, and the catalog has {live} live items."
    if live >= SMALLEST_GUARDED and gone * 2 > live:
        return (
            f"the snapshot of {items} items lacks {gone} of the catalog's {live} live items, "
            "more than half."
        )
    return None
