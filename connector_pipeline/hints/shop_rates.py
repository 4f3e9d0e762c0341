"""How many deliveries of each shop are recorded one by one.

A merchant may hold the secret of his shop's webhooks, so that good signatures must not fill a
table. Beyond its number a shop has one hint that names nothing for all that it delivers, until that
is gathered.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

BURST: Final = 2_000
"""A bulk edit sends a delivery for each product; a sync of so many would be an increment anyway."""
DELIVERIES_A_SECOND: Final = 10.0
MOST_KEPT: Final = 10_000
"""Shops whose numbers are kept: the one that delivered the longest time ago is forgotten. Where one
secret signs for all shops, whoever has one signed body may name any number of shops."""


@dataclass(slots=True)
class ShopRates:
    """Counts verified deliveries by shop. Times are seconds of a clock that never goes back."""

    _left: OrderedDict[str, tuple[float, float]] = field(
        default_factory=OrderedDict[str, tuple[float, float]]
    )
    """By partition key: how many were left, and when that was."""

    def is_over(self, partition_key: str, *, now: float) -> bool:
        """Count a delivery. Returns whether it is beyond the shop's number."""
        left, at = self._left.get(partition_key, (float(BURST), now))
        left = min(float(BURST), left + (now - at) * DELIVERIES_A_SECOND)
        self._left[partition_key] = (left - 1 if left >= 1 else left, now)
        self._left.move_to_end(partition_key)
        if len(self._left) > MOST_KEPT:
            self._left.popitem(last=False)
        return left < 1
