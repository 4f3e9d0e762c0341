"""Promises of compact sets of ids: they hold what a set would, and what a shop lists is judged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.platforms.kit.compact_ids import CompactIds
from connector_pipeline.platforms.kit.listed_ids import ListedIds

ids = st.lists(st.integers(0, 60) | st.integers(0, 2**64 - 1))


@given(added=ids, later=ids, asked=st.integers(0, 60))
def test_they_are_a_set_in_ascending_order(added: list[int], later: list[int], asked: int) -> None:
    """They are so also if ids are added after a question, in any order."""
    compact, plain = CompactIds(added), set(added)
    assert (asked in compact) is (asked in plain)
    for own_id in later:
        compact.add(own_id)
    plain |= set(later)
    assert list(compact) == sorted(plain)
    assert len(compact) == len(plain)
    assert compact.highest == max(plain, default=0)
    assert all(own_id in compact for own_id in plain)


@pytest.mark.parametrize("odd", [-1, 2**64, 2**70])
def test_ids_that_no_platform_gives_are_left_out(odd: int) -> None:
    """A stranger's number of any size costs nothing."""
    compact = CompactIds([odd, 5])
    assert odd not in compact
    assert list(compact) == [5]


@pytest.mark.parametrize("other", ["5", None, 5.0, True])
def test_only_integers_are_ids(other: object) -> None:
    """No other value equals an id, as JSON may have any in its place."""
    assert other not in CompactIds([1, 5])


def test_a_variant_is_not_listed_if_it_or_its_product_is_not() -> None:
    """What was not asked for, and an id that is no number, is not judged."""
    listed = ListedIds(products=CompactIds([1, 2]), variants=CompactIds([10]))
    assert not listed.lack("10", "1")
    assert listed.lack("11", "1")
    assert listed.lack("10", "3")
    assert not listed.lack("1_default", "1")
    assert listed.lack("3_default", "3")
    assert not ListedIds().lack("11", "3")
    assert not listed.lack("1_default", "gid://shopify/Product/9")
