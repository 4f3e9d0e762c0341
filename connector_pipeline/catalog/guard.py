"""The guard: refuse a snapshot that would delete too much, until an operator confirms it.

docs/contracts.md states the promise that it keeps.
"""

from typing import Final

SMALLEST_GUARDED: Final = 50
"""A shop with fewer live items may lose any part of them, but never all at once."""


def refusal(*, live: int, gone: int, items: int, full: bool) -> str | None:
    """Say why the deletion of `gone` of `live` live items is refused; None if it may happen.

    `items` is the size of the snapshot, and `full` whether it is to be the whole shop.
    """
    if full and items == 0 and gone > 0:
        return f"the snapshot is empty, and the catalog has {live} live items."
    if not full and items == 0 and 0 < live == gone:
        return f"all {live} live items of the catalog are gone."
    if live >= SMALLEST_GUARDED and gone * 2 > live:
        if not full:
            return f"{gone} of the catalog's {live} live items are gone, more than half."
        return (
            f"the snapshot of {items} items lacks {gone} of the catalog's {live} live items, "
            "more than half."
        )
    return None
