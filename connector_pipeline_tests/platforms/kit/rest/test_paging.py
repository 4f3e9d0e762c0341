"""Promises about the ways in which platforms number their pages."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.http.client import Answer
from connector_pipeline.platforms.kit.rest.paging import (
    Cursors,
    Offsets,
    PageNumbers,
    Paging,
    Params,
    in_body,
    in_link,
    total_in_body,
    total_in_header,
)


@dataclass(frozen=True)
class Page:
    """A page, as far as paging needs it."""

    asked: Params
    objects: list[int]
    total: int | None = None
    cursor: str | None = None

    @property
    def is_empty(self) -> bool:
        return not self.objects


class ListOfNumbers:
    """A list of so many numbers, which pages in each of the ways."""

    def __init__(self, length: int, *, stated: bool = True):
        self.numbers = list(range(length))
        self.total = length if stated else None

    def by_number(self, asked: Params) -> Page:
        start = (int(asked["page"]) - 1) * int(asked["per_page"])
        return Page(asked, self.numbers[start : start + int(asked["per_page"])], self.total)

    def by_offset(self, asked: Params) -> Page:
        start = int(asked["offset"])
        return Page(asked, self.numbers[start : start + int(asked["limit"])], self.total)

    def by_cursor(self, asked: Params) -> Page:
        start = int(asked.get("cursor", 0))
        stop = start + int(asked["limit"])
        cursor = str(stop) if stop < len(self.numbers) else None
        return Page(asked, self.numbers[start:stop], self.total, cursor)


def walk(paging: Paging, serve: Callable[[Params], Page]) -> list[int]:
    """All objects, page after page."""
    read: list[int] = []
    steps = [paging.first({"kind": "mug"})]
    while steps:
        for asked in steps:
            assert asked["kind"] == "mug"
            page = serve(asked)
            read += page.objects
        steps = list(paging.following(page))
    return read


@given(st.integers(0, 60), st.integers(1, 20), st.booleans())
def test_every_object_is_read_once_whatever_the_size(length: int, size: int, stated: bool) -> None:
    """Each of the ways is tried with a stated total and without one."""
    shop = ListOfNumbers(length, stated=stated)
    assert walk(PageNumbers(size), shop.by_number) == shop.numbers
    assert walk(Offsets(size), shop.by_offset) == shop.numbers
    assert walk(Cursors(size, in_body("next")), shop.by_cursor) == shop.numbers


def test_a_stated_total_shows_all_pages_at_once() -> None:
    """The pages can be asked for at the same time."""
    page = PageNumbers(10, start=0)
    first = Page(page.first({}), [1] * 10, total=31)
    assert [each["page"] for each in page.following(first)] == [1, 2, 3]
    offsets = Offsets(10)
    first = Page(offsets.first({}), [1] * 10, total=31)
    assert [each["offset"] for each in offsets.following(first)] == [10, 20, 30]


def test_a_short_page_is_not_the_last_where_no_total_is_stated() -> None:
    """A platform may filter objects out of a page."""
    paging = PageNumbers(10)
    assert list(paging.following(Page(paging.first({}), [1])))
    assert not list(paging.following(Page(paging.first({}), [])))


def test_a_cursor_may_stand_for_the_lists_own_parameters() -> None:
    """A platform that refuses them beside a cursor gets only the cursor and the size."""
    paging = Cursors(10, in_body("next"), alone=True)
    first = Page(paging.first({"kind": "mug"}), [1], cursor="abc")
    assert first.asked == {"kind": "mug", "limit": 10}
    assert list(paging.following(first)) == [{"limit": 10, "cursor": "abc"}]


def answer(json: Any = None, **headers: str) -> Answer:
    """An answer with this body and these headers."""
    return Answer(200, headers, b"", json)


@pytest.mark.parametrize(
    ("body", "cursor"),
    [
        ({"meta": {"next": "abc"}}, "abc"),
        ({"meta": {"next": 17}}, "17"),
        ({"meta": {"next": None}}, None),
        ({"meta": {"next": ""}}, None),
        ({"meta": {}}, None),
        ({}, None),
    ],
)
def test_a_cursor_is_read_in_the_body(body: Any, cursor: str | None) -> None:
    """Null, "" and a missing cursor end the list."""
    assert in_body("meta", "next")(answer(body)) == cursor


@pytest.mark.parametrize("length", [4097, 1_000_000])
def test_a_long_cursor_is_refused(length: int) -> None:
    """It would be kept, and sent with the next request."""
    paging = Cursors(10, in_body("next"))
    with pytest.raises(InvalidResponse, match=f"has {length} characters"):
        paging.cursor(answer({"next": "c" * length}))
    assert paging.cursor(answer({"next": "c" * 4096})) == "c" * 4096


@pytest.mark.parametrize("found", [True, ["abc"], {"cursor": "abc"}])
def test_a_cursor_of_another_form_is_no_end(found: Any) -> None:
    """If it ended the list, a part of the list would look whole."""
    with pytest.raises(InvalidResponse, match="next"):
        in_body("next")(answer({"next": found}))


@pytest.mark.parametrize(
    ("link", "cursor"),
    [
        ('<https://a.example/p?page_info=abc&limit=5>; rel="next"', "abc"),
        ('<https://a.example/p?page_info=1>; rel="previous", '
         '<https://a.example/p?limit=5&page_info=a%2Bb>; rel="next"', "a+b"),
        ("<https://a.example/p?page_info=abc>;rel=next", "abc"),
        ('<https://a.example/p?page_info=abc>; title="x"; rel="last next"', "abc"),
        ('<https://a.example/p?page_info=abc>; rel="nextish"', None),
        ('<https://a.example/p?page_info=abc>; rel="prev"', None),
        ("", None),
    ],
)  # fmt: skip
def test_a_cursor_is_read_in_the_link_to_the_next_page(link: str, cursor: str | None) -> None:
    """Of several links in any order, only that one is read."""
    assert in_link("page_info")(answer(Link=link)) == cursor


def test_a_link_to_the_next_page_without_its_cursor_is_no_end() -> None:
    """It raises an error, as a cursor of another form does."""
    with pytest.raises(InvalidResponse, match="page_info"):
        in_link("page_info")(answer(Link='<https://a.example/p?page=2>; rel="next"'))


@given(st.text(max_size=80) | st.from_regex(r'\A(<[^>]*>; rel="?next"?,? ?)*\Z'))
def test_no_link_breaks_the_reading(link: str) -> None:
    """Any link gives a cursor, the end, or an error that fails the shop."""
    try:
        found = in_link("page_info")(answer(Link=link))
    except InvalidResponse:
        return
    assert found is None or found in link or "%" in link or "+" in link


@pytest.mark.parametrize("written", [None, -1, 1.5, True, "", "-1", "many", "9" * 20, "\u0662"])
def test_a_list_that_should_state_its_length_and_does_not_is_invalid(written: Any) -> None:
    """Without its length, nothing shows that the list is complete."""
    with pytest.raises(InvalidResponse, match=r"meta\.total"):
        total_in_body("meta", "total")(answer({"meta": {"total": written}}))
    if written is None or isinstance(written, str):
        with pytest.raises(InvalidResponse, match="Total"):
            total_in_header("Total")(answer(**({} if written is None else {"Total": written})))


def test_a_total_is_read_where_the_platform_states_it() -> None:
    """It may be a number or text."""
    assert total_in_body("total")(answer({"total": 7})) == 7
    assert total_in_header("Total")(answer(Total="7")) == 7
