"""Cursors and filters work for any list and any text."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from graphql import GraphQLError
from hypothesis import example, given
from hypothesis import strategies as st

from connector_pipeline.sandbox.shopify.paging import decode_cursor, encode_cursor, page_of
from connector_pipeline.sandbox.shopify.search import parse_search

START = datetime(2026, 1, 1, tzinfo=UTC)
values = st.integers(0, 5).map(lambda n: START + timedelta(seconds=n))
keys = st.lists(st.tuples(values, st.integers(0, 50)), unique_by=lambda key: key[1]).map(sorted)


@given(keys, st.integers(1, 9), st.booleans(), st.booleans())
def test_walking_pages_gives_every_record_once(
    entries: list[Any], size: int, reverse: bool, backwards: bool
) -> None:
    """It holds for first/after and last/before, in both directions, over equal values."""
    seen: list[int] = []
    cursor = None
    while True:
        if backwards:
            page = page_of(entries, lambda each: each, last=size, before=cursor, reverse=reverse)
            seen = [*page.nodes, *seen]
            more = page.has_previous_page
        else:
            page = page_of(entries, lambda each: each, first=size, after=cursor, reverse=reverse)
            seen += page.nodes
            more = page.has_next_page
        if not more:
            break
        cursor = encode_cursor(page.keys[0] if backwards else page.keys[-1])
    expected = [key[1] for key in entries]
    assert seen == (expected[::-1] if reverse else expected)


@given(st.one_of(st.integers(), st.text(), values), st.integers(0, 2**63))
def test_a_cursor_is_read_back_as_it_was(value: Any, number: int) -> None:
    """Ids, titles and times keep their type and value."""
    assert decode_cursor(encode_cursor((value, number))) == (value, number)


@pytest.mark.parametrize("cursor", ["", "mist", "e30=", "bnVsbA==", encode_cursor(("title", 1))])
def test_a_foreign_cursor_is_an_error(cursor: str) -> None:
    """The first page again would make an endless walk."""
    with pytest.raises(GraphQLError, match="Invalid cursor"):
        page_of([(START, 1)], lambda each: each, first=1, after=cursor)


TERMS = st.builds(
    "{}:{}{}".format,
    st.sampled_from(["id", "at", "title"]),
    st.sampled_from(["", ">", ">=", "<", "<="]),
    st.integers().map(str) | st.dates().map(str) | st.text(),
)


@given(st.text() | st.lists(TERMS, max_size=3).map(" AND ".join))
@example("id:>=1 AND at:<2026-01-01")
def test_any_filter_is_read_or_warned_about(query: str) -> None:
    """No text breaks the parser, and a term that filters nothing has a warning."""
    fields = {"id": ("number", lambda number: number), "at": ("time", lambda _: START)}
    search = parse_search(query, fields)
    if not search.warnings and query.strip():
        assert search.tests or query.replace("AND", "").strip() == ""
    search.matches(1)


@given(st.sampled_from(["=", ">", ">=", "<", "<="]), st.integers(-5, 5), st.integers(-5, 5))
def test_comparisons_compare(operator: str, wanted: int, value: int) -> None:
    """A filter on a number keeps exactly the records for which it holds."""
    text = f"n:{operator.removeprefix('=') if operator == '=' else operator}{wanted}"
    search = parse_search(text, {"n": ("number", lambda number: number)})
    holds = {
        "=": value == wanted,
        ">": value > wanted,
        ">=": value >= wanted,
        "<": value < wanted,
        "<=": value <= wanted,
    }
    assert search.matches(value) is holds[operator]
