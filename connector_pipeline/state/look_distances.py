"""How far apart the looks at a shop's change feed are: pure functions of how often shops change.

A change waits for the next look, on average half the distance between two. If a shop changes `r`
times an hour and is looked at every `d` hours, its changes wait `r * d / 2` hours altogether, and
it takes `1 / d` looks an hour. For a given number of looks of all shops the waiting is least where
the last look that each shop gets saves the same, i.e. where `r * d * d` is the same for all: the
distance falls with the square root of the rate. That number is the price of a look. A sync reads
what a look would have found, so a shop whose distance is as long as that of the sweeps takes none.

While there are looks enough, a shop that changes once an hour is looked at every ten minutes, and
no shop oftener than the operator allows. When the shops want more looks than there may be, the
price rises until they fit: each distance stretches by the same factor, but for the shops that reach
the distance of the sweeps, which are left to these.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

HOUR: Final = timedelta(hours=1)

USUAL_DISTANCE: Final = timedelta(minutes=10)
"""The distance of looks at a shop that changes once an hour, where there are looks enough."""

FIRST_RATE: Final = 0.1
"""Changes an hour of a shop of which nothing is known yet."""
LEAST_RATE: Final = 0.006
"""Changes an hour, one a week: a shop that never changed is looked at all the same, where sweeps
are days apart."""

MEMORY: Final = timedelta(hours=12)
"""What was seen this long ago counts a third of what is seen now."""

LOST: Final = 0.05
"""The share of changes that webhooks are taken to lose: looks are for those alone."""

LONGEST_BACKOFF: Final = timedelta(hours=6)


def rate_after(rate: float, *, changes: int, elapsed: timedelta) -> float:
    """The changes an hour of a shop, after so many were seen in a time; old ones fade."""
    hours = max(elapsed / HOUR, 1 / 3600)
    share = -math.expm1(-hours / (MEMORY / HOUR))
    return rate * (1 - share) + changes / hours * share


def distinct_changes(times: Iterable[datetime | None], *, every: timedelta) -> int:
    """How many looks of this distance would have seen these changes; unknown times are one."""
    moments = {None if time is None else int(time.timestamp() / _seconds(every)) for time in times}
    return len(moments)


def wanted_rate(rate: float, *, has_webhooks: bool) -> float:
    """The changes an hour for which looks at the shop are worth it."""
    return max(LEAST_RATE, rate * (LOST if has_webhooks else 1.0))


def distance(rate: float, price: float, *, every: timedelta, sweeps: timedelta) -> timedelta:
    """The distance of looks at a shop of this `wanted_rate`, at the price of `price_of_a_look`.

    It is between `every` and the distance of the `sweeps`.
    """
    longest = max(every, sweeps)
    if price >= rate * (longest / HOUR) ** 2:
        return longest
    return max(every, HOUR * math.sqrt(price / rate))


def price_of_a_look(
    rates: Mapping[float, int], *, per_minute: float, every: timedelta, sweeps: timedelta
) -> float:
    """The least price, from the usual one up, at which shops of these rates take no more looks.

    `rates` are wanted rates, each with the number of its shops. `per_minute` bounds the looks of
    all shops together. The price is in changes times hours.
    """
    usual = (USUAL_DISTANCE / HOUR) ** 2
    most = per_minute * 60
    wanted = looks_an_hour(rates, usual, every=every, sweeps=sweeps)
    if wanted <= most or not rates:
        return usual
    # At this price every shop is left to the sweeps.
    low, high = usual, max(rates) * (max(every, sweeps) / HOUR) ** 2
    for _ in range(60):
        middle = math.sqrt(low * high)
        if looks_an_hour(rates, middle, every=every, sweeps=sweeps) > most:
            low = middle
        else:
            high = middle
        if high / low < 1.001:
            break
    return high


def looks_an_hour(
    rates: Mapping[float, int], price: float, *, every: timedelta, sweeps: timedelta
) -> float:
    """The looks an hour that shops of these rates take at a price, beside the sweeps."""
    longest = max(every, sweeps)
    at_least, swept = HOUR / every, HOUR / longest
    total = 0.0
    for rate, shops in rates.items():
        total += shops * max(0.0, min(at_least, math.sqrt(rate / price)) - swept)
    return total


def distance_after_failures(failures: int, usual: timedelta) -> timedelta:
    """How long a shop is left alone after so many looks in a row that failed."""
    longest = max(usual, LONGEST_BACKOFF)
    return min(longest, usual * 2 ** min(failures, 12))


@dataclass(slots=True)
class Quota:
    """How many looks began in which minute (of Unix time): no more than `per_minute` in any."""

    per_minute: int
    minute: int = 0
    used: int = 0

    def left(self, now: datetime) -> int:
        """How many may begin in the present minute."""
        return max(0, self.per_minute - (self.used if self.minute == _minute(now) else 0))

    def take(self, now: datetime) -> bool:
        """Count a look that begins now; False, and not counted, if there may be none."""
        if self.left(now) == 0:
            return False
        if self.minute != _minute(now):
            self.minute, self.used = _minute(now), 0
        self.used += 1
        return True


def _minute(time: datetime) -> int:
    return int(time.timestamp() // 60)


def _seconds(time: timedelta) -> float:
    return max(1.0, time.total_seconds())
