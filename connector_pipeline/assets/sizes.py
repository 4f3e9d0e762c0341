"""Sizes as people read them."""

from typing import Final

_SIZES: Final = ((10**9, "GB"), (10**6, "MB"), (10**3, "kB"))


def size(number: int) -> str:
    """E.g. `1.2 MB`."""
    for unit, name in _SIZES:
        if number >= unit:
            return f"{number / unit:.1f} {name}"
    return f"{number} bytes"
