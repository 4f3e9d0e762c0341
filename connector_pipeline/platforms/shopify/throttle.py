"""Shopify's rate limit: a bucket of points per app and shop that refills steadily.

The size of the bucket and its rate differ by the shop's plan, and they change
(https://shopify.dev/docs/api/usage/limits). So they are always taken from the answers, from
`extensions.cost.throttleStatus`.
"""

import math
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final, Self

from connector_pipeline.platforms.kit.json_values import value_at

MAX_THROTTLED_IN_A_ROW: Final = 10
MAX_THROTTLED_SECONDS: Final = 300.0
THROTTLED_WITHOUT_BACKOFF: Final = 3
"""A query that is throttled more often in a row waits longer than its points take to refill."""


_LEAST_RATE: Final = 1e-6
"""Points a second. With less, a wait may be infinite, and nothing would end it."""


@dataclass(frozen=True, slots=True)
class PointBudget:
    """A shop's bucket at one time, in points; the time is in seconds of a monotonic clock."""

    currently_available: float
    maximum_available: float
    restore_rate: float
    learned_at: float

    @classmethod
    def from_throttle_status(cls, status: object, *, learned_at: float) -> Self | None:
        """The budget that `throttleStatus` states; None where it states no usable one."""
        available = _points(value_at(status, "currentlyAvailable"))
        maximum = _points(value_at(status, "maximumAvailable"))
        rate = _points(value_at(status, "restoreRate"))
        if available is None or maximum is None or rate is None or rate < _LEAST_RATE:
            return None
        return cls(available, maximum, rate, learned_at)

    def seconds_until(self, points: float, now: float) -> float:
        """Seconds from `now` until the bucket holds `points`, or is full if it never holds them."""
        missing = min(points, self.maximum_available) - self.currently_available
        return max(0.0, missing / self.restore_rate - (now - self.learned_at))

    def can_ever_hold(self, points: float) -> bool:
        """Whether the bucket is large enough to hold `points` when it is full."""
        return points <= self.maximum_available


@dataclass(slots=True, eq=False)
class Reservation:
    """Points that are put aside for one request, from its sending to its answer.

    `beside` counts the points that other requests used whose answers came meanwhile.
    """

    points: float
    beside: float = 0.0


class SharedBudget:
    """Shares one shop's points among the requests that are under way to it at once.

    An answer states how much the bucket held when its query ended. It does not state which of the
    queries beside it Shopify had counted by then. So all of them are subtracted: the points that
    are left are certainly there, and the next answer corrects a subtraction that was too much.
    Before the first answer nothing is known, and no request waits.
    """

    def __init__(self) -> None:
        self._stated: PointBudget | None = None
        self._under_way: set[Reservation] = set()

    def reserve(self, points: float) -> Reservation:
        """Put the points of a request aside as it is sent."""
        reservation = Reservation(points)
        self._under_way.add(reservation)
        return reservation

    def settle(self, reservation: Reservation, *, status: object, used: float, now: float) -> None:
        """End a reservation. `status` is the answer's `throttleStatus`, if there was an answer."""
        self._under_way.discard(reservation)
        for other in self._under_way:
            other.beside += used
        stated = PointBudget.from_throttle_status(status, learned_at=now)
        if stated is not None:
            available = stated.currently_available - reservation.beside
            self._stated = replace(stated, currently_available=available)

    def seconds_until(self, points: float, now: float) -> float:
        """Seconds from `now` until the points are there beside those that are put aside.

        Infinite where no wait brings them, but an answer to another request may.
        """
        if self._stated is None:
            return 0.0
        aside = sum(reservation.points for reservation in self._under_way)
        if aside and aside + points > self._stated.maximum_available:
            return math.inf
        return self._stated.seconds_until(aside + points, now)

    def can_ever_hold(self, points: float) -> bool:
        """Whether the bucket is large enough, as far as an answer has stated its size."""
        return self._stated is None or self._stated.can_ever_hold(points)


@dataclass(slots=True)
class ThrottledStreak:
    """How often in a row one query was throttled, and how long it waited for that."""

    most: int = MAX_THROTTLED_IN_A_ROW
    longest: float = MAX_THROTTLED_SECONDS
    times: int = 0
    seconds: float = 0.0

    def add(self, wait: float) -> None:
        """Count one more throttled answer, with the wait that follows it."""
        self.times += 1
        self.seconds += wait

    @property
    def too_long(self) -> bool:
        """Whether to give up, because something else must be using the shop's points."""
        return self.times > self.most or self.seconds > self.longest


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
    return _points(value_at(cost, "requestedQueryCost"))


def actual_points(cost: object) -> float:
    """`actualQueryCost` of an answer's `extensions.cost`; 0 where the query did not run."""
    return _points(value_at(cost, "actualQueryCost")) or 0.0
