"""How many deliveries of each shop are recorded one by one.

A merchant may hold the secret of his shop's webhooks, so that good signatures must not fill a
table. Beyond its number a shop has one hint that names nothing for all that it delivers, until that
is gathered.
"""

from dataclasses import dataclass, field
from typing import Final

BURST: Final = 2_000
"""A bulk edit sends a delivery for each product; a sync of so many would be an increment anyway."""
DELIVERIES_A_SECOND: Final = 10.0


@dataclass(slots=True)
class ShopRates:
    """Counts verified deliveries by shop. Times are seconds of a clock that never goes back."""

    _left: dict[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])
    """By partition key: how many were left, and when that was. Only shops that we serve sign."""

    def is_over(self, partition_key: str, *, now: float) -> bool:
        """Count a delivery. Returns whether it is beyond the shop's number."""
        left, at = self._left.get(partition_key, (float(BURST), now))
        left = min(float(BURST), left + (now - at) * DELIVERIES_A_SECOND)
        self._left[partition_key] = (left - 1 if left >= 1 else left, now)
        return left < 1
