"""Which shops fall short of the catalog's expectations, and in which words."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.catalog.expectations import EXPECTATIONS, judge
from connector_pipeline.catalog.shop_facts import ShopFacts
from connector_pipeline.model.currency import ACTIVE_CURRENCIES

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
BY_NAME = {expectation.name: expectation for expectation in EXPECTATIONS}


def shop(key: str = "shopify/acme.myshopify.com", **changes: Any) -> ShopFacts:
    """A shop that meets every expectation."""
    values: dict[str, Any] = {
        "partition_key": key,
        "registered_at": NOW - timedelta(days=100),
        "last_full_sync_at": NOW - timedelta(hours=1),
        "items": 200,
        "currencies": {"SEK": 200},
    }
    return ShopFacts(**(values | changes))


def hours(number: int) -> datetime:
    """The time this many hours ago."""
    return NOW - timedelta(hours=number)


CASES: list[tuple[str, dict[str, Any], str | None]] = [
    ("variant_ids_unique", {"duplicates": 1}, "1 repeated variant"),
    ("variant_ids_unique", {"duplicates": 3}, "3 repeated variants"),
    ("prices_not_negative", {"negative_prices": 2}, "2 of 200 items below 0"),
    ("prices_not_negative", {"negative_prices": 1, "items": 1}, "1 of 1 item below 0"),
    ("currency_known", {"currencies": {"SEK": 1, "EUR": 1}}, None),
    ("currency_known", {"currencies": None, "items": 0}, None),
    ("currency_known", {"currencies": {"SEK": 197, "BTC": 3}}, "3 of 200 items in BTC"),
    (
        "currency_known",
        {"currencies": {"XXX": 1, "BTC": 3}},
        "4 of 200 items in BTC, XXX",
    ),
    (
        "currency_known",
        {"currencies": {f"QQ{letter}": 1 for letter in "GFEDCBA"}},
        "7 of 200 items in QQA, QQB, QQC, QQD, QQE",
    ),
    ("titles_not_empty", {"empty_titles": 5}, "5 of 200 items without a title"),
    ("rejects_under_one_percent", {"rejected": 2}, None),
    (
        "rejects_under_one_percent",
        {"rejected": 1, "items": 99},
        "1 of 100 variants rejected (1.0%)",
    ),
    ("rejects_under_one_percent", {"rejected": 1, "items": 100}, None),
    (
        "rejects_under_one_percent",
        {"rejected": 4, "items": 0},
        "4 of 4 variants rejected (100.0%)",
    ),
    ("rejects_under_one_percent", {"rejected": 0, "items": 0}, None),
    ("snapshot_complete", {"incomplete": True}, "the last full snapshot is incomplete"),
    ("last_full_sync_recent", {"last_full_sync_at": hours(48)}, None),
    ("last_full_sync_recent", {"last_full_sync_at": hours(49)}, "last read in full 49 h ago"),
    ("last_full_sync_recent", {"last_full_sync_at": None, "registered_at": hours(48)}, None),
    (
        "last_full_sync_recent",
        {"last_full_sync_at": None, "registered_at": hours(50)},
        "registered 50 h ago and never read in full",
    ),
    (
        "full_syncs_succeed",
        {"full_sync_failing_since": hours(3), "full_sync_error_code": "SnapshotShrank"},
        "full syncs have failed for 3.0 h (SnapshotShrank)",
    ),
]


@pytest.mark.parametrize(("name", "facts", "words"), CASES)
def test_a_shop_falls_short_by_its_numbers(
    name: str, facts: dict[str, Any], words: str | None
) -> None:
    """The words of each check say how many of how many."""
    shortfall = BY_NAME[name].shortfall(shop(**facts), NOW)
    assert (shortfall.words if shortfall else None) == words


@pytest.mark.parametrize("name", BY_NAME)
def test_a_good_shop_meets_every_expectation(name: str) -> None:
    """The judgement says how many shops were judged."""
    judgement = judge(BY_NAME[name], [shop()], NOW)
    assert judgement.passed
    assert judgement.words == "1 shop judged, none falls short."


def test_no_shop_is_no_shortfall() -> None:
    """An empty registry passes, and says that there was nothing to judge."""
    judgement = judge(BY_NAME["currency_known"], [], NOW)
    assert judgement.passed
    assert judgement.words == "There was no shop to judge."


def test_the_judgement_over_one_shop_is_about_that_shop() -> None:
    """It says what is wrong with the shop and what to do."""
    expectation = BY_NAME["prices_not_negative"]
    judgement = judge(expectation, [shop("shopify/a", negative_prices=2)], NOW)
    assert judgement.words == f"shopify/a: 2 of 200 items below 0. {expectation.remedy}"


@given(st.lists(st.integers(min_value=0, max_value=200), max_size=30))
def test_exactly_the_shops_that_fall_short_are_failing_the_worst_first(bad: list[int]) -> None:
    """Shops that fall short equally come in the order of their keys."""
    expectation = BY_NAME["prices_not_negative"]
    shops = [shop(f"shopify/{n:02}", negative_prices=number) for n, number in enumerate(bad)]
    judgement = judge(expectation, shops, NOW)
    assert judgement.judged == len(bad)
    expected = sorted((-number, f"shopify/{n:02}") for n, number in enumerate(bad) if number)
    assert [key for key, _ in judgement.failing] == [key for _, key in expected]
    assert judgement.passed == (not expected)
    if expected and len(bad) > 1:
        assert judgement.words.startswith(f"{len(expected)} of {len(bad)} shops fall short")
        assert f"the worst: {expected[0][1]}: " in judgement.words


def test_the_currencies_are_codes_a_merchant_can_charge_in() -> None:
    """Codes of gold, funds, tests and withdrawn currencies are not among them."""
    assert len(ACTIVE_CURRENCIES) == 155
    assert all(len(code) == 3 and code.isascii() and code.isupper() for code in ACTIVE_CURRENCIES)
    assert {"EUR", "USD", "SEK", "JPY", "KWD", "XOF", "XCG", "ZWG", "SLE"} <= ACTIVE_CURRENCIES
    assert ACTIVE_CURRENCIES.isdisjoint({"XAU", "XXX", "XTS", "CLF", "HRK", "DEM", "BTC", "BGN"})
