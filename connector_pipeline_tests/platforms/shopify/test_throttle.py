"""Promises about waiting for a shop's points."""

import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connector_pipeline.platforms.shopify.throttle import (
    PointBudget,
    SharedBudget,
    actual_points,
    requested_points,
)

BUDGET = PointBudget(
    currently_available=98, maximum_available=2000, restore_rate=100, learned_at=50.0
)


@pytest.mark.parametrize(
    ("points", "now", "seconds"),
    [
        (98, 50.0, 0.0),
        (310, 50.0, 2.12),
        (310, 51.0, 1.12),
        (310, 60.0, 0.0),
        (5000, 50.0, 19.02),
    ],
)
def test_the_wait_is_exactly_what_the_points_take(
    points: float, now: float, seconds: float
) -> None:
    """It is (requested - available) / restore rate, less the time passed, up to a full bucket."""
    assert BUDGET.seconds_until(points, now) == pytest.approx(seconds)


@given(
    points=st.floats(0, 2000),
    available=st.floats(-100, 2000),
    rate=st.floats(1, 4000),
    later=st.floats(0, 1000),
)
def test_after_the_wait_the_points_are_there(
    points: float, available: float, rate: float, later: float
) -> None:
    """The wait is long enough and hardly longer."""
    budget = PointBudget(available, 2000, rate, 0.0)
    wait = budget.seconds_until(points, later)
    assert available + (later + wait) * rate >= points - 1e-6
    if wait > 0:
        assert available + (later + wait) * rate == pytest.approx(points, abs=1e-6)


@pytest.mark.parametrize("number", [7, 7.0, Decimal("7.0")])
def test_numbers_come_as_integers_or_fractions(number: object) -> None:
    """Shopify writes 1990 or 1990.0, and fractions of JSON are Decimal here."""
    budget = PointBudget.from_throttle_status(
        {"currentlyAvailable": number, "maximumAvailable": number, "restoreRate": number},
        learned_at=1.0,
    )
    assert budget == PointBudget(7.0, 7.0, 7.0, 1.0)
    assert requested_points({"requestedQueryCost": number}) == 7.0
    assert actual_points({"actualQueryCost": number}) == 7.0


_STATED = ("currentlyAvailable", "maximumAvailable", "restoreRate")
_ANY_NUMBER = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.decimals()
    | st.just(10**400)
    | st.text(max_size=3)
    | st.lists(st.integers(), max_size=1)
)


@given(
    status=_ANY_NUMBER
    | st.dictionaries(st.sampled_from(_STATED), _ANY_NUMBER)
    | st.fixed_dictionaries(dict.fromkeys(_STATED, st.integers() | st.floats() | st.decimals())),
    cost=_ANY_NUMBER
    | st.fixed_dictionaries(
        {}, optional={"requestedQueryCost": _ANY_NUMBER, "actualQueryCost": _ANY_NUMBER}
    ),
)
@example(status=dict.fromkeys(_STATED, 100), cost=None)
def test_no_stated_budget_breaks_the_pacing(status: object, cost: object) -> None:
    """An unusable budget is None, and a usable one gives a finite wait."""
    budget = PointBudget.from_throttle_status(status, learned_at=0.0)
    if budget is not None:
        assert 0 <= budget.seconds_until(310, 0.0) < float("inf")
    requested_points(cost)
    assert actual_points(cost) == actual_points(cost)


@given(
    st.decimals(allow_nan=False) | st.floats(allow_nan=False),
    st.decimals(allow_nan=False) | st.floats(allow_nan=False),
    st.decimals(allow_nan=False) | st.floats(allow_nan=False),
)
@example(0, 1000, Decimal("1e-310"))
@example(-999999999999, 1000, 5e-324)
def test_no_stated_rate_makes_a_wait_without_end(
    available: float, maximum: float, rate: float
) -> None:
    """Nothing would end it where no other request is under way."""
    budget = SharedBudget()
    status = {"currentlyAvailable": available, "maximumAvailable": maximum, "restoreRate": rate}
    budget.settle(budget.reserve(431), status=status, used=0, now=0.0)
    assert budget.seconds_until(431, 0.0) < math.inf


def test_a_bucket_too_small_is_known_for_one() -> None:
    """A wait does not help a query that requests more than the bucket can hold."""
    assert BUDGET.can_ever_hold(2000)
    assert not BUDGET.can_ever_hold(2001)


def status(available: float, *, maximum: float = 2000, rate: float = 100) -> dict[str, float]:
    return {
        "currentlyAvailable": available,
        "maximumAvailable": maximum,
        "restoreRate": rate,
    }


def test_requests_under_way_have_their_points_put_aside() -> None:
    """The next request has the points that they leave, and waits for the rest."""
    budget = SharedBudget()
    assert budget.seconds_until(5000, 0.0) == 0
    first = budget.reserve(11)
    budget.settle(first, status=status(400, maximum=400), used=11, now=0.0)
    other = budget.reserve(310)
    assert budget.seconds_until(90, 0.0) == 0
    # The bucket never holds 310 and 310 points, so an answer must come first.
    assert budget.seconds_until(310, 0.0) == math.inf
    budget.settle(other, status=status(266, maximum=400), used=134, now=1.0)
    assert budget.seconds_until(310, 1.0) == pytest.approx(0.44)


def test_a_lowered_restore_rate_is_followed() -> None:
    """Each answer states the rate again."""
    budget = SharedBudget()
    budget.settle(budget.reserve(1), status=status(0, rate=100), used=1, now=0.0)
    assert budget.seconds_until(100, 0.0) == 1
    budget.settle(budget.reserve(1), status=status(0, rate=10), used=1, now=0.0)
    assert budget.seconds_until(100, 0.0) == 10


def test_a_request_without_an_answer_holds_nothing_back() -> None:
    """Its connection broke. The next answer states how many points it took."""
    budget = SharedBudget()
    budget.settle(budget.reserve(1), status=status(100), used=1, now=0.0)
    budget.settle(budget.reserve(90), status=None, used=0, now=0.0)
    assert budget.seconds_until(100, 0.0) == 0


class Bucket:
    """Shopify's bucket: a query takes the points it requests, and returns the unused ones."""

    def __init__(self, maximum: float, rate: float):
        self.maximum = self.level = maximum
        self.rate = rate

    def pass_time(self, seconds: float) -> None:
        self.level = min(self.maximum, self.level + seconds * self.rate)

    def begin(self, requested: float) -> None:
        assert requested <= self.level + 1e-6, "THROTTLED"
        self.level -= requested

    def end(self, requested: float, used: float) -> dict[str, float]:
        self.level = min(self.maximum, self.level + requested - used)
        return status(math.floor(self.level), maximum=self.maximum, rate=self.rate)


@given(
    data=st.data(),
    maximum=st.integers(400, 2000),
    rate=st.integers(1, 1000),
)
def test_however_requests_cross_each_other_none_is_throttled(
    data: st.DataObject, maximum: int, rate: int
) -> None:
    """They are sent, counted and answered in any order, at any time, and the points are there."""
    bucket, budget, now = Bucket(maximum, rate), SharedBudget(), 0.0
    budget.settle(budget.reserve(1), status=status(maximum, maximum=maximum, rate=rate), used=0,
                  now=now)  # fmt: skip
    sent: list[Any] = []
    begun: list[Any] = []
    ended: list[Any] = []
    for _ in range(data.draw(st.integers(1, 40))):
        passed = data.draw(st.floats(0, 2))
        now += passed
        bucket.pass_time(passed)
        step = data.draw(st.sampled_from(["send", "begin", "end", "hear"]))
        if step == "send":
            points = data.draw(st.integers(1, 310))
            wait = budget.seconds_until(points, now)
            if wait < math.inf:
                now += wait
                bucket.pass_time(wait)
                sent.append((budget.reserve(points), points))
        elif step == "begin" and sent:
            reservation, points = sent.pop(data.draw(st.integers(0, len(sent) - 1)))
            bucket.begin(points)
            begun.append((reservation, points))
        elif step == "end" and begun:
            reservation, points = begun.pop(data.draw(st.integers(0, len(begun) - 1)))
            used = data.draw(st.integers(0, points))
            ended.append((reservation, used, bucket.end(points, used)))
        elif step == "hear" and ended:
            reservation, used, stated = ended.pop(data.draw(st.integers(0, len(ended) - 1)))
            budget.settle(reservation, status=stated, used=used, now=now)
