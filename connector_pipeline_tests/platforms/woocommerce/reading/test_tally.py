"""Promises about when a list vouches for being whole."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.http.client import Answer
from connector_pipeline.platforms.woocommerce.reading.tally import ListPage, Tally, list_page

ENDPOINT = "/wc/v3/products"


def answer(parsed: Any = None, **headers: str) -> Answer:
    """An answer with these headers, underscores for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(200, named, b"", [] if parsed is None else parsed)


def tally_of(*pages: tuple[int, list[int]]) -> Tally:
    """A tally of pages, each a total and the ids it gave."""
    tally = Tally()
    for number, (total, ids) in enumerate(pages, start=1):
        rows = [{"id": own_id} for own_id in ids]
        tally.add(ListPage(number, 2, total, len(pages), rows, b""))
    return tally


def test_headers_say_how_long_a_list_is() -> None:
    """Both headers are read as numbers."""
    page = list_page(answer([{"id": 1}], X_WP_Total="301", X_WP_TotalPages="4"), 2, ENDPOINT)
    assert (page.number, page.total, page.total_pages) == (2, 301, 4)
    assert page.objects == [{"id": 1}]


@pytest.mark.parametrize("written", [None, "", "-1", "1.5", "many", "9" * 20, "\u0662", " 1"])
def test_a_list_without_its_length_breaks_the_contract(written: str | None) -> None:
    """A page that cannot say whether it is the last is not taken for the last."""
    headers = {"X_WP_Total": "1"} | ({} if written is None else {"X_WP_TotalPages": written})
    with pytest.raises(InvalidResponse, match="X-WP-TotalPages") as caught:
        list_page(answer(**headers), 1, ENDPOINT)
    assert ENDPOINT in str(caught.value)


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
    ],
)
def test_totals_and_ids_vouch_for_a_list_together(
    pages: list[tuple[int, list[int]]], words: str | None
) -> None:
    """FACTS 1 and 2: orphans, a list that changed, a repeat and another order are all seen."""
    disagreement = tally_of(*pages).disagreement()
    if words is None:
        assert disagreement is None
    else:
        assert disagreement is not None
        assert words in disagreement


@given(st.lists(st.lists(st.integers() | st.booleans() | st.none() | st.text())))
def test_a_list_never_counts_more_than_its_distinct_ids(pages: list[list[Any]]) -> None:
    """Whatever stands where ids should, the count is of different ids only."""
    tally = tally_of(*[(0, ids) for ids in pages])
    distinct = {own_id for ids in pages for own_id in ids if type(own_id) is int and own_id > 0}
    assert tally.distinct <= len(distinct)
