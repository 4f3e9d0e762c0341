"""Promises about when the counts of a list agree."""

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.platforms.kit.rest.tally import Tally


@dataclass(frozen=True)
class Page:
    """A page, as far as a tally needs it."""

    name: str
    total: int | None
    ids: list[Any]


def tally_of(*pages: tuple[int | None, list[Any]]) -> Tally:
    """A tally of pages, each with a total and its ids."""
    tally = Tally()
    for number, (total, ids) in enumerate(pages, start=1):
        tally.add(Page(f"page {number} of {len(pages)}", total, ids))
    return tally


@pytest.mark.parametrize(
    ("pages", "words"),
    [
        ([(0, [])], None),
        ([(3, [1, 5]), (3, [9])], None),
        ([(3, [1, 5]), (2, [9])], "counted 3 on the first page and 2 on the last"),
        ([(3, [1, 5]), (3, [])], "counts 3 and gave 2"),
        ([(4, [1, 5]), (4, []), (4, [7, 9])], "page 2 of 3 was empty"),
        ([(2, []), (2, [7, 9])], "page 1 of 2 was empty"),
        ([(3, [1, 5]), (3, [5])], "counts 3 and gave 2"),
        ([(3, [9, 5]), (3, [1])], "counts 3 and gave 1"),
        ([(3, [1, None]), (3, [5])], "counts 3 and gave 2"),
        ([(2, ["a"]), (2, ["b"])], None),
        ([(None, [1, 5]), (None, [9])], None),
        ([(None, [1]), (None, []), (None, [9])], "page 2 of 3 was empty"),
        ([(2, [1]), (None, [9])], "counted 2 on the first page and None on the last"),
    ],
)
def test_a_list_is_complete_only_if_its_totals_and_ids_agree(
    pages: list[tuple[int | None, list[Any]]], words: str | None
) -> None:
    """It notices objects that cannot be loaded, a changed list, repeats and another order."""
    disagreement = tally_of(*pages).disagreement()
    if words is None:
        assert disagreement is None
    else:
        assert disagreement is not None
        assert words in disagreement


@given(st.lists(st.lists(st.integers() | st.none())))
def test_a_list_never_counts_more_than_its_distinct_ids(pages: list[list[Any]]) -> None:
    """For ids repeated, missing or out of order, only different ids are counted."""
    tally = tally_of(*[(0, ids) for ids in pages])
    assert tally.distinct <= len({own_id for ids in pages for own_id in ids} - {None})
