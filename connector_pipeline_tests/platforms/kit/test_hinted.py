"""Promises about the tokens of hints, and about what answers say of them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.platforms.kit.contract import FetchReport
from connector_pipeline.platforms.kit.hinted import (
    DELETED,
    PRODUCT,
    HintedProducts,
    UsableToken,
    read_tokens,
)

AT = datetime(2026, 11, 28, 12, 0, 5, 700_000, tzinfo=UTC)
KINDS = (PRODUCT, DELETED)


@given(
    st.dictionaries(
        st.text(max_size=300)
        | st.from_regex(r"\A(deleted/|bulk/|inventory_item/|/)?[0-9]{0,25}\n?\Z"),
        st.none() | st.just(AT),
        max_size=8,
    )
)
def test_only_the_number_of_a_usable_token_is_left_of_it(
    tokens: dict[str, datetime | None],
) -> None:
    """Whatever strangers send, no other text reaches a question, and the warning is short."""
    report = FetchReport()
    found = read_tokens(tokens, KINDS, report)
    for each in found:
        assert each.number.isascii()
        assert each.number.isdecimal()
        assert each.number[0] != "0"
        assert int(each.number) < 2**63
        assert each.text in (each.number, f"deleted/{each.number}")
    left_out = len(tokens) - len(found)
    assert len(report.warnings) == bool(left_out)
    for warning in report.warnings:
        assert warning.startswith(f"{left_out} hints ")
        assert len(warning) < 250
        assert warning.isprintable()


@pytest.mark.parametrize(
    ("token", "shown", "is_answered"),
    [
        # The platforms state whole seconds.
        (UsableToken("1", PRODUCT, "1", AT), AT.replace(microsecond=0), True),
        (UsableToken("1", PRODUCT, "1", AT), AT - timedelta(seconds=1), False),
        (UsableToken("1", PRODUCT, "1", AT), AT + timedelta(days=1), True),
        (UsableToken("1", PRODUCT, "1", AT), AT.astimezone(timezone(timedelta(hours=5))), True),
        (UsableToken("1", PRODUCT, "1", None), AT, True),
        (UsableToken("1", PRODUCT, "1", AT), None, True),
        # Shown although it was deleted: before the deletion, or restored after it.
        (UsableToken("deleted/1", DELETED, "1", AT), AT - timedelta(seconds=1), False),
        (UsableToken("deleted/1", DELETED, "1", AT), AT + timedelta(seconds=1), True),
        (UsableToken("deleted/1", DELETED, "1", None), AT, False),
        # The time of an inventory item is not the product's.
        (UsableToken("inventory_item/9", "inventory_item", "9", AT), AT - timedelta(days=1), True),
    ],
)
async def test_a_token_newer_than_what_is_shown_is_not_answered_yet(
    token: UsableToken, shown: datetime | None, is_answered: bool
) -> None:
    """Replicas and search indexes show a product as it was, for a while."""
    report = FetchReport()
    asked = HintedProducts()
    asked.add(token, "1")
    asked.was_shown("1", shown)
    await asked.judge(report)
    assert report.not_yet == (set() if is_answered else {token.text})
    assert report.perhaps_gone == set()


async def test_an_absent_product_is_gone_or_too_new_to_be_found() -> None:
    """What the catalog has is gone. What it has not is asked for again, if something changed it."""
    times = {"1": AT, "2": AT, "3": None, "deleted/4": AT, "5": AT}
    report = FetchReport()

    async def in_catalog(product_ids: object) -> set[str]:
        return {"1"}

    report.in_catalog = in_catalog
    asked = HintedProducts(read_tokens(times, KINDS, report))
    for product_id in "12345":
        asked.was_absent(product_id)
    asked.was_excluded("5", AT)
    await asked.judge(report)
    assert report.perhaps_gone == {*"12345"}
    assert report.not_yet == {"2"}
