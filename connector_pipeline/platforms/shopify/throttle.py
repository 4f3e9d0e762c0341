"""Shopify's rate limit: a bucket of points per app and shop that refills steadily.

Paced by what each answer's `extensions.cost.throttleStatus` says and nothing else: the numbers
differ by the shop's plan and change (https://shopify.dev/docs/api/usage/limits).
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Self, cast

MAX_THROTTLED_IN_A_ROW: Final = 10
MAX_THROTTLED_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class PointBudget:
    """What a shop's bucket held when it was learned. Points; seconds of one monotonic clock."""

    currently_available: float
    maximum_available: float
    restore_rate: float
    learned_at: float

    @classmethod
    def from_throttle_status(cls, status: object, *, learned_at: float) -> Self | None:
        """The budget as `throttleStatus` states it; None where it states none that can be used."""
        if not isinstance(status, dict):
            return None
        stated = cast("dict[str, Any]", status)
        available = _points(stated.get("currentlyAvailable"))
        maximum = _points(stated.get("maximumAvailable"))
        rate = _points(stated.get("restoreRate"))
        if available is None or maximum is None or not rate or rate < 0:
            return None
        return cls(available, maximum, rate, learned_at)

    def seconds_until(self, points: float, now: float) -> float:
        """Seconds from `now` until the bucket holds `points`, or is full if it never holds them."""
        missing = min(points, self.maximum_available) - self.currently_available
        return max(0.0, missing / self.restore_rate - (now - self.learned_at))

    def can_ever_hold(self, points: float) -> bool:
        """Whether waiting helps at all."""
        return points <= self.maximum_available


@dataclass(slots=True)
class ThrottledStreak:
    """How often in a row one query was throttled, and how long that was waited out."""

    times: int = 0
    seconds: float = 0.0

    def add(self, wait: float) -> None:
        """Once more, with this wait ahead."""
        self.times += 1
        self.seconds += wait

    @property
    def too_long(self) -> bool:
        """Whether to give up: something else must be using up the shop's points."""
        return self.times > MAX_THROTTLED_IN_A_ROW or self.seconds > MAX_THROTTLED_SECONDS


def _points(number: object) -> float | None:
    if isinstance(number, bool) or not isinstance(number, int | float | Decimal):
        return None
    try:
        points = float(number)
    except (OverflowError, ValueError):
        return None
    return points if abs(points) < 1e12 else None


def requested_points(cost: object) -> float | None:
    """`requestedQueryCost` of an answer's `extensions.cost`; None where it is not stated."""
    if not isinstance(cost, dict):
        return None
    return _points(cast("dict[str, Any]", cost).get("requestedQueryCost"))


def actual_points(cost: object) -> float:
    """`actualQueryCost` of an answer's `extensions.cost`; 0 where the query did not run."""
    if not isinstance(cost, dict):
        return 0.0
    return _points(cast("dict[str, Any]", cost).get("actualQueryCost")) or 0.0
