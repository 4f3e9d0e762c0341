"""Promises of the pacing."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.platforms.shopify.throttle import (
    PointBudget,
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
    """(requested - available) / restore rate, less the time passed; never past a full bucket."""
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
    """No less than needed, hardly more."""
    budget = PointBudget(available, 2000, rate, 0.0)
    wait = budget.seconds_until(points, later)
    assert available + (later + wait) * rate >= points - 1e-6
    if wait > 0:
        assert available + (later + wait) * rate == pytest.approx(points, abs=1e-6)


@pytest.mark.parametrize("number", [7, 7.0, Decimal("7.0")])
def test_numbers_come_as_integers_or_fractions(number: object) -> None:
    """Shopify writes 1990 or 1990.0, and JSON's fractions are Decimal here."""
    budget = PointBudget.from_throttle_status(
        {"currentlyAvailable": number, "maximumAvailable": number, "restoreRate": number},
        learned_at=1.0,
    )
    assert budget == PointBudget(7.0, 7.0, 7.0, 1.0)
    assert requested_points({"requestedQueryCost": number}) == 7.0
    assert actual_points({"actualQueryCost": number}) == 7.0


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
    | st.fixed_dictionaries(
        {},
        optional={
            "currentlyAvailable": _ANY_NUMBER,
            "maximumAvailable": _ANY_NUMBER,
            "restoreRate": _ANY_NUMBER,
        },
    ),
    cost=_ANY_NUMBER
    | st.fixed_dictionaries(
        {}, optional={"requestedQueryCost": _ANY_NUMBER, "actualQueryCost": _ANY_NUMBER}
    ),
)
def test_whatever_is_stated_never_breaks_the_pacing(status: object, cost: object) -> None:
    """What cannot be used is None, and what can be gives a finite wait."""
    budget = PointBudget.from_throttle_status(status, learned_at=0.0)
    if budget is not None:
        assert 0 <= budget.seconds_until(310, 0.0) < float("inf")
    requested_points(cost)
    assert actual_points(cost) == actual_points(cost)


def test_a_bucket_too_small_is_known_for_one() -> None:
    """Waiting does not help a query that asks for more than the bucket can hold."""
    assert BUDGET.can_ever_hold(2000)
    assert not BUDGET.can_ever_hold(2001)
