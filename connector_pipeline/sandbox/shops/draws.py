"""Deterministic draws: the same numbers in every process, Python version and order of calls."""

from typing import Final

_MASK: Final = (1 << 64) - 1


def draw(seed: int, *place: int) -> int:
    """64 bits for a place, e.g. (product index, variant position). One splitmix64 per number."""
    state = seed & _MASK
    for step in place:
        state = (state + 0x9E3779B97F4A7C15 + step) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state


def money(amount: int, decimals: int) -> str:
    """An amount in minor units as a padded string: (94995, 2) -> "949.95", (120, 0) -> "120"."""
    if decimals == 0:
        return str(amount)
    whole, minor = divmod(amount, 10**decimals)
    return f"{whole}.{minor:0{decimals}d}"
