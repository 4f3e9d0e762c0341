"""The noise of floats is taken off prices, and nothing else is."""

import math
import operator
from collections.abc import Callable
from decimal import Decimal

from hypothesis import assume, given
from hypothesis import strategies as st

from connector_pipeline.platforms.woocommerce.mapping.float_noise import without_noise

PRICES = st.decimals("0.01", "99999999", places=6) | st.decimals("0.01", "9999999", places=2)
FACTORS = st.sampled_from(["0.8", "1.25", "0.9", "1.2", "0.75", "1.1", "0.85", "2", "0.5"])
STEPS: dict[str, Callable[[float, float], float]] = {
    "*": operator.mul,
    "/": operator.truediv,
    "+": operator.add,
}


def written(price: float) -> Decimal:
    """The price as PHP writes a float, with as many digits as it needs."""
    return Decimal(repr(price))


@given(PRICES, st.integers(-7, 7))
def test_a_price_a_few_steps_of_a_float_away_is_the_price(price: Decimal, steps: int) -> None:
    """A few operations lead no further away."""
    assume(len(price.normalize().as_tuple().digits) <= 15)
    away = float(price)
    for _ in range(abs(steps)):
        away = math.nextafter(away, math.copysign(math.inf, steps))
    assert without_noise(written(away)) == price


@given(
    st.decimals("0.01", "9999", places=2),
    st.lists(st.tuples(st.sampled_from("*/+"), FACTORS), max_size=3),
)
def test_rules_of_a_plugin_leave_the_price_that_they_mean(
    price: Decimal, rules: list[tuple[str, str]]
) -> None:
    """Whatever it multiplies, divides and adds, if the exact result fits the catalog."""
    exact, computed = price, float(price)
    for sign, factor in rules:
        exact = STEPS[sign](exact, Decimal(factor))  # type: ignore[arg-type, assignment]
        computed = STEPS[sign](computed, float(factor))
    assume(exact == round(exact, 6) and exact > 0)
    assert without_noise(written(computed)) == exact


@given(st.integers(1, 10**7 - 1), st.integers(7, 14), st.integers(1, 9))
def test_a_number_of_few_digits_is_what_somebody_wrote(
    whole: int, decimals: int, last: int
) -> None:
    """It has more than six decimals because it is meant to, and stays as it is."""
    number = Decimal(f"{whole}.{'0' * (decimals - 1)}{last}")
    assume(len(number.as_tuple().digits) < 15)
    assert without_noise(number) == number


@given(st.decimals("0.01", "9999999", places=6), st.integers(1, 9), st.integers(0, 10**9))
def test_a_seventh_decimal_is_no_noise(price: Decimal, seventh: int, more: int) -> None:
    """Nor are those behind it, however many there are."""
    number = price + Decimal(f"0.000000{seventh}{more:09d}")
    assume(len(number.as_tuple().digits) <= 28)
    assert without_noise(number) == number


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value="-1e14", max_value="1e14"))
def test_nothing_moves_by_what_the_column_could_show(number: Decimal) -> None:
    """At most half of its sixth decimal, and no price becomes zero."""
    found = without_noise(number)
    assert abs(found - number) <= Decimal("0.0000005")
    assert bool(found) == bool(number)
