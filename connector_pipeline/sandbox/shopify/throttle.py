"""Shopify's leaky bucket: points that restore with time (docs/facts/shopify.md, Rate limits)."""

import time
from collections.abc import Callable
from typing import Any


class LeakyBucket:
    """One bucket per shop. `maximum` in points, `restore_rate` in points per second."""

    def __init__(
        self,
        maximum: float = 2000.0,
        restore_rate: float = 100.0,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._clock = clock
        self.resize(maximum, restore_rate)

    def resize(self, maximum: float, restore_rate: float) -> None:
        """Change the plan, with a full bucket. Raises ValueError unless both are positive."""
        if maximum <= 0 or restore_rate <= 0:
            raise ValueError("maximum and restore_rate must be positive")
        self.maximum = float(maximum)
        self.restore_rate = float(restore_rate)
        self._level = self.maximum
        self._at = self._clock()

    @property
    def available(self) -> float:
        now = self._clock()
        restored = (now - self._at) * self.restore_rate
        self._level = min(self.maximum, self._level + restored)
        self._at = now
        return self._level

    def take(self, points: float) -> bool:
        """Take the points that a query requests. Returns False if there are too few."""
        if points > self.available:
            return False
        self._level -= points
        return True

    def refund(self, points: float) -> None:
        """Give back the points that a query requested and did not use."""
        self._level = min(self.maximum, self.available + points)

    def status(self) -> dict[str, Any]:
        """`extensions.cost.throttleStatus`, with floats and an int as Shopify sends them."""
        return {
            "maximumAvailable": self.maximum,
            "currentlyAvailable": int(self.available),
            "restoreRate": self.restore_rate,
        }
