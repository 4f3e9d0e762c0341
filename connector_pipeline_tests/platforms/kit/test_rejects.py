"""Promises about reading a variant's fields, and about rejected variants."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from connector_pipeline.model.catalog_item import RejectedVariant
from connector_pipeline.platforms.kit import rejects
from connector_pipeline.platforms.kit.rejects import FieldError

ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals()
    | st.text(st.characters())
    | st.decimals(allow_nan=False, allow_infinity=False).map(str)
    | st.datetimes(timezones=st.none() | st.timezones()).map(datetime.isoformat),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
READERS: dict[str, Callable[[object], Any]] = {
    "text": lambda value: rejects.text("name", value),
    "optional text": lambda value: rejects.optional_text("name", value),
    "price": lambda value: rejects.price("price", value),
    "whole number": lambda value: rejects.whole_number("stock", value),
    "time": lambda value: rejects.time("updated", value),
    "time in UTC": lambda value: rejects.time("updated", value, without_zone=UTC),
    "one of": lambda value: rejects.one_of("status", value, {"on": 1, "off": 2}),
}


@pytest.mark.parametrize("reader", READERS)
@given(value=ANYTHING)
def test_any_value_is_read_exactly_or_refused_by_name(reader: str, value: Any) -> None:
    """No reader raises another error than FieldError, and the read value equals the sent one."""
    try:
        found = READERS[reader](value)
    except FieldError as error:
        reason = str(error)
    else:
        assert_as_sent(found, value)
        return
    assert reason.partition(": ")[0] in ("name", "price", "stock", "updated", "status")


def assert_as_sent(found: Any, value: Any) -> None:
    """Assert that the read value says the same as the sent one."""
    if found is None or isinstance(found, str):
        assert found == value
    elif isinstance(found, Decimal):
        assert found == Decimal(str(value))
    elif isinstance(found, datetime):
        assert found.tzinfo is UTC


@pytest.mark.parametrize(
    ("value", "price"),
    [
        (None, None),
        ("0", Decimal(0)),
        ("19.90", Decimal("19.90")),
        ("-1.5", Decimal("-1.5")),
        (Decimal("0.1"), Decimal("0.1")),
        (7, Decimal(7)),
    ],
)
def test_a_price_is_exact(value: Any, price: Decimal | None) -> None:
    """Every digit is kept as it was written."""
    assert str(rejects.price("price", value)) == str(price)


@pytest.mark.parametrize("value", [19.9, True, "", "12,50", "NaN", "1e400", "9" * 29, "\u0661", []])
def test_an_inexact_amount_is_no_price(value: Any) -> None:
    """Above all a float is refused, whose digits are not those that were sent."""
    with pytest.raises(FieldError, match="price: is not an amount of money"):
        rejects.price("price", value)


@pytest.mark.parametrize(("value", "found"), [(3, 3), (Decimal("3.0"), 3), (None, None)])
def test_a_whole_number_may_be_written_as_a_fraction(value: Any, found: int | None) -> None:
    """PHP and JavaScript write it so after a calculation."""
    assert rejects.whole_number("stock", value) == found


def test_a_time_is_in_utc() -> None:
    """It may be written in any zone. Without one it is refused, unless the zone is known."""
    assert rejects.time("at", "2026-01-01T02:00:00+02:00") == datetime(2026, 1, 1, tzinfo=UTC)
    assert rejects.time("at", "2026-01-01T02:00:00", without_zone=UTC) == datetime(
        2026, 1, 1, 2, tzinfo=UTC
    )
    with pytest.raises(FieldError, match="at: is not a time with a time zone"):
        rejects.time("at", "2026-01-01T02:00:00")


def test_the_later_of_two_times_may_be_the_only_one_known() -> None:
    """A product never changed, or a variant has no date of its own."""
    one, two = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    assert rejects.later(one, two) == rejects.later(two, None) == rejects.later(None, two) == two
    assert rejects.later(None, None) is None


def test_a_rejected_variant_has_the_reason_and_the_json() -> None:
    """The reason of a platform's field or of a catalog item's rule is one line."""
    raw = {"id": 1}
    error = FieldError("price", "is not an amount of money", "free")
    found = rejects.rejected(error, product_id="1", variant_id=None, raw=raw)
    assert found == RejectedVariant(
        product_id="1",
        variant_id=None,
        reason="price: is not an amount of money ('free')",
        raw=raw,
    )
    with pytest.raises(ValidationError) as caught:
        RejectedVariant.model_validate(
            {"product_id": 1, "variant_id": 2, "reason": "", "raw": None}
        )
    reason = rejects.reason_of(caught.value)
    assert reason == (
        "product_id: Input should be a valid string; variant_id: Input should be a valid string"
    )


def test_a_missing_field_is_named() -> None:
    """One reason names all missing fields."""
    with pytest.raises(FieldError, match="sku, price: missing from the answer"):
        rejects.require_fields({"id": 1}, ("id", "sku", "price"))


@given(st.text(st.characters()))
def test_a_reason_is_short_and_can_be_stored(value: str) -> None:
    """The value may be a NUL, half a surrogate pair or a megabyte."""
    reason = str(FieldError("name", "is odd", value))
    assert "\x00" not in reason
    assert len(reason) < 100
    reason.encode()
