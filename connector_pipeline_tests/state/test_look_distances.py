"""How far apart looks are: within the bounds, never more than allowed, best where they are few."""

from datetime import UTC, datetime, timedelta
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.state.look_distances import (
    FIRST_RATE,
    HOUR,
    LEAST_RATE,
    Quota,
    distance,
    distance_after_failures,
    distinct_changes,
    looks_an_hour,
    price_of_a_look,
    rate_after,
    wanted_rate,
)

EVERY, SWEEPS = timedelta(minutes=5), timedelta(hours=1)
NOW = datetime(2026, 11, 28, 12, 0, 30, tzinfo=UTC)
RATES = st.dictionaries(
    st.floats(LEAST_RATE, 1_000), st.integers(1, 5_000), min_size=1, max_size=20
)


@pytest.mark.parametrize(
    ("rate", "minutes"),
    [(LEAST_RATE, 60), (0.02, 60), (0.1, 31.6), (1, 10), (2, 7.1), (4, 5), (600, 5)],
)
def test_a_shop_that_changes_often_is_looked_at_more_often(rate: float, minutes: float) -> None:
    """Where there are looks enough: between CHANGE_LOOK_EVERY and the distance of the sweeps."""
    price = price_of_a_look({rate: 1}, per_minute=60, every=EVERY, sweeps=SWEEPS)
    found = distance(rate, price, every=EVERY, sweeps=SWEEPS)
    assert found / timedelta(minutes=1) == pytest.approx(minutes, abs=0.05)


def test_a_quiet_shop_is_looked_at_all_the_same_where_sweeps_are_rare() -> None:
    """A shop that never changed waits some hours for a look, not a day for the sweep."""
    price = price_of_a_look({LEAST_RATE: 100}, per_minute=60, every=EVERY, sweeps=timedelta(days=1))
    found = distance(LEAST_RATE, price, every=EVERY, sweeps=timedelta(days=1))
    assert found < timedelta(hours=3)


def test_a_sweep_interval_shorter_than_the_least_distance_needs_no_looks() -> None:
    """Then the sweeps are all the looks there are, and no division fails."""
    price = price_of_a_look({5.0: 9}, per_minute=1, every=HOUR, sweeps=timedelta(minutes=10))
    assert distance(5.0, price, every=HOUR, sweeps=timedelta(minutes=10)) == HOUR
    assert looks_an_hour({5.0: 9}, price, every=HOUR, sweeps=timedelta(minutes=10)) == 0


@given(RATES, st.integers(1, 600), st.integers(1, 60), st.integers(1, 48))
def test_shops_never_want_more_looks_than_there_may_be(
    rates: dict[float, int], per_minute: int, every: int, sweeps: int
) -> None:
    """Whatever their rates are; and each distance is within its bounds."""
    bounds = {"every": timedelta(minutes=every), "sweeps": timedelta(hours=sweeps)}
    price = price_of_a_look(rates, per_minute=per_minute, **bounds)
    assert looks_an_hour(rates, price, **bounds) <= per_minute * 60 * (1 + 1e-9)
    distances = [distance(rate, price, **bounds) for rate in sorted(rates)]
    assert all(bounds["every"] <= each <= max(bounds.values()) for each in distances)
    assert distances == sorted(distances, reverse=True)


@given(RATES, st.integers(1, 200))
def test_distances_stretch_by_one_factor(rates: dict[float, int], per_minute: int) -> None:
    """Within the bounds, a shop that changes four times as often has half the distance."""
    price = price_of_a_look(rates, per_minute=per_minute, every=EVERY, sweeps=SWEEPS)
    within = [
        (rate, found)
        for rate in rates
        if EVERY < (found := distance(rate, price, every=EVERY, sweeps=SWEEPS)) < SWEEPS
    ]
    for rate, found in within:
        assert found / within[0][1] == pytest.approx(sqrt(within[0][0] / rate), rel=1e-6)


def test_no_other_division_of_the_looks_makes_changes_wait_less() -> None:
    """Moving a few looks from one kind of shop to another makes the waiting longer."""
    rates = {0.5: 4_000, 2.0: 1_000, 8.0: 200}
    price = price_of_a_look(rates, per_minute=60, every=EVERY, sweeps=SWEEPS)
    often = {rate: HOUR / distance(rate, price, every=EVERY, sweeps=SWEEPS) for rate in rates}

    def waiting(looks: dict[float, float]) -> float:
        return sum(shops * rate / 2 / looks[rate] for rate, shops in rates.items())

    best = waiting(often)
    for giver in rates:
        for taker in rates:
            moved = 20.0
            given_up = often[giver] - moved / rates[giver]
            taken = often[taker] + moved / rates[taker]
            within = given_up >= HOUR / SWEEPS and taken <= HOUR / EVERY
            if giver != taker and within:
                assert waiting(often | {giver: given_up, taker: taken}) > best


def test_what_was_seen_fades() -> None:
    """A shop that changed every few minutes in the morning counts as quiet the next day."""
    rate = FIRST_RATE
    for _ in range(24):
        rate = rate_after(rate, changes=1, elapsed=timedelta(minutes=5))
    assert rate > 1.5
    for _ in range(36):
        rate = rate_after(rate, changes=0, elapsed=HOUR)
    assert rate < 0.1


@given(st.floats(0, 1e6), st.integers(0, 10_000), st.timedeltas(timedelta(0), timedelta(days=900)))
def test_a_rate_stays_a_number(rate: float, changes: int, elapsed: timedelta) -> None:
    """Also after looks that follow one another at once, or after a year."""
    found = rate_after(rate, changes=changes, elapsed=elapsed)
    assert 0 <= found <= max(rate, 3600.0 * changes) * (1 + 1e-9)


def test_changes_that_one_look_would_have_seen_are_one() -> None:
    """A merchant who edits a hundred products in a minute is there once."""
    begin = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
    seconds = [begin + timedelta(seconds=each) for each in range(100)]
    assert distinct_changes(seconds, every=EVERY) == 1
    assert distinct_changes([*seconds, begin + timedelta(minutes=7), None, None], every=EVERY) == 3
    assert distinct_changes([], every=EVERY) == 0


def test_a_shop_whose_webhooks_arrive_is_looked_at_more_rarely() -> None:
    """Only for the few that get lost."""
    usual = price_of_a_look({1.0: 1}, per_minute=60, every=EVERY, sweeps=SWEEPS)
    found = [
        distance(wanted_rate(1.0, has_webhooks=each), usual, every=EVERY, sweeps=SWEEPS)
        for each in (False, True)
    ]
    assert found[1] > 4 * found[0]


def test_failures_double_the_distance_up_to_a_bound() -> None:
    """A shop that fails for weeks is still looked at some times a day."""
    found = [distance_after_failures(each, EVERY) for each in (1, 2, 3, 1000)]
    assert found == [2 * EVERY, 4 * EVERY, 8 * EVERY, timedelta(hours=6)]
    assert distance_after_failures(3, timedelta(days=1)) == timedelta(days=1)


@given(st.integers(1, 20), st.lists(st.floats(0, 30), max_size=200))
def test_no_minute_has_more_looks_than_allowed(per_minute: int, pauses: list[float]) -> None:
    """However the tries fall; and what was not used is not saved up."""
    quota, now, begun = Quota(per_minute), NOW, dict[int, int]()
    for pause in pauses:
        now += timedelta(seconds=pause)
        may = quota.left(now) > 0
        assert quota.take(now) is may
        minute = int(now.timestamp() // 60)
        begun[minute] = begun.get(minute, 0) + may
        assert begun[minute] <= per_minute
