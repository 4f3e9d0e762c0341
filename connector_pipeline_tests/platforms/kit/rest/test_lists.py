"""Promises about lists that are read as raw pages."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.http.client import Answer
from connector_pipeline.platforms.kit.contract import FetchReport, RawPage
from connector_pipeline.platforms.kit.rest.lists import ListOf, ListReader
from connector_pipeline.platforms.kit.rest.paging import (
    Cursors,
    Offsets,
    PageNumbers,
    Params,
    in_body,
    total_in_body,
)
from connector_pipeline.platforms.kit.resume import ArchivedPages

NUMBERED = ListOf("mugs", "/mugs", PageNumbers(3), ("mugs",), total_in_body("total"))
WAYS = {
    "numbers": NUMBERED,
    "offsets": ListOf("mugs", "/mugs", Offsets(3), ("mugs",), total_in_body("total")),
    "cursors": ListOf("mugs", "/mugs", Cursors(3, in_body("next")), ("mugs",)),
    "numbers without total": ListOf("mugs", "/mugs", PageNumbers(3), ("mugs",)),
}


class Mugs:
    """A shop of mugs with these ids. It pages in each of the ways, and logs its requests."""

    def __init__(self, ids: list[Any], *, grows_at: int | None = None):
        self.ids = ids
        self.asked: list[Params] = []
        self.grows_at = grows_at

    async def get(self, path: str, params: Params) -> Answer:
        """Answer with one page."""
        self.asked.append(params)
        if len(self.asked) == self.grows_at:
            self.ids += [900, 901, 902, 903]
        size = int(params.get("per_page", params.get("limit", 1)))
        start = int(params.get("offset", params.get("cursor", 0)))
        if "page" in params:
            start = (int(params["page"]) - 1) * size
        stop = start + size
        body = {
            "mugs": [{"id": each} for each in self.ids[start:stop]],
            "total": len(self.ids),
            "next": str(stop) if stop < len(self.ids) else None,
        }
        return Answer(200, {}, json.dumps(body).encode(), body)


async def read(
    mugs: Any, wanted: ListOf = NUMBERED, archived: list[RawPage] | None = None
) -> tuple[list[RawPage], list[Any], FetchReport]:
    """The raw pages, the ids, and the report of a walk, which is complete at first."""
    report = FetchReport(complete=True)
    reader = ListReader(mugs, ArchivedPages(archived or ()), report, ahead=4)
    pages = [page async for page in reader.pages(wanted)]
    return [page.raw for page in pages], [each for page in pages for each in page.ids], report


@pytest.mark.parametrize("way", WAYS)
@given(length=st.integers(0, 20), kept=st.integers(0, 8))
async def test_a_list_is_read_whole_and_goes_on_after_its_archived_pages(
    way: str, length: int, kept: int
) -> None:
    """Every way of paging gives the same pages in the same order, and asks for none twice."""
    wanted = WAYS[way]
    mugs = Mugs(list(range(1, length + 1)))
    whole, ids, report = await read(mugs, wanted)
    assert ids == mugs.ids
    assert (report.complete, report.details["mugs"]) == (True, length)
    again = Mugs(list(range(1, length + 1)))
    resumed, _, report = await read(again, wanted, whole[:kept])
    assert resumed == whole
    assert again.asked == mugs.asked[kept:]
    assert report.complete


async def test_archived_pages_of_another_question_are_not_taken() -> None:
    """They are of another list or another filter, or they are no pages at all."""
    whole, _, _ = await read(Mugs([1, 2, 3, 4]))
    for strange in (
        RawPage("cups", whole[0].body, whole[0].facts),
        RawPage("mugs", whole[0].body, {**whole[0].facts, "path": "/cups"}),
        RawPage("mugs", whole[0].body, {**whole[0].facts, "asked": {"page": 1}}),
        RawPage("mugs", b"{", whole[0].facts),
    ):
        mugs = Mugs([1, 2, 3, 4])
        assert (await read(mugs, archived=[strange, *whole[1:]]))[0] == whole
        assert len(mugs.asked) == 2


async def test_a_list_that_grows_is_read_to_its_new_end_and_not_believed() -> None:
    """An object that came meanwhile may have shifted the pages read before."""
    _, ids, report = await read(Mugs([1, 2, 3, 4, 5], grows_at=2))
    assert ids == [1, 2, 3, 4, 5, 900, 901, 902, 903]
    assert not report.complete
    assert "counted 5 on the first page and 9 on the last" in report.warnings[0]


@pytest.mark.parametrize("ids", [[1, 1, 2], [3, 2, 1], [1, None, 3], [1, "2", 3], [1, True, 3]])
async def test_a_list_whose_ids_do_not_rise_is_not_believed(ids: list[Any]) -> None:
    """Repeats, another order and objects without ids could each hide a missing one."""
    _, _, report = await read(Mugs(ids))
    assert not report.complete


class Fixed:
    """A shop that answers every request with one body."""

    def __init__(self, body: Any):
        self.body = body

    async def get(self, path: str, params: Params) -> Answer:
        """Answer with that body."""
        return Answer(200, {}, json.dumps(self.body).encode(), self.body)


async def test_cursors_that_lead_in_a_circle_end_with_an_error() -> None:
    """The circle may have any length; without the error the walk would never end."""
    wanted = WAYS["cursors"]
    with pytest.raises(InvalidResponse, match="/mugs leads from page to page in a circle"):
        await read(Fixed({"mugs": [{"id": 1}], "next": "abc"}), wanted)


@pytest.mark.parametrize("body", [None, [], {"mugs": {}}, {"mugs": [1]}, {"total": 1}])
async def test_a_page_that_is_no_list_of_objects_is_invalid(body: Any) -> None:
    """The error names the list."""
    if isinstance(body, dict):
        body = {"total": 1, **body}
    with pytest.raises(InvalidResponse):
        await read(Fixed(body))


async def test_a_page_that_is_no_list_is_archived_and_used_again() -> None:
    """An example is the page of the shop's own settings."""
    shop = Fixed({"currency": "SEK"})
    page = await ListReader(shop, ArchivedPages(), FetchReport()).single("shop", "/shop")
    assert json.loads(page.body) == {"currency": "SEK"}
    other = Fixed({"currency": "EUR"})
    again = await ListReader(other, ArchivedPages([page]), FetchReport()).single("shop", "/shop")
    assert again == page


class Endless(Mugs):
    """A shop whose list has two more mugs with every answer."""

    async def get(self, path: str, params: Params) -> Answer:
        """Answer with one page, and make the next ones."""
        answer = await super().get(path, params)
        self.ids += [self.ids[-1] + each for each in (1, 2, 3)]
        return answer


@pytest.mark.parametrize("way", WAYS)
async def test_a_list_that_grows_for_ever_ends_in_an_error_with_the_numbers(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the list has a length, twice that and some more are read; elsewhere a high ceiling."""
    monkeypatch.setattr("connector_pipeline.platforms.kit.list_bound.MOST_OBJECTS", 600)
    mugs = Endless([1, 2, 3, 4])
    with pytest.raises(InvalidResponse, match=r"/mugs does not end: \d{3} objects") as caught:
        await read(mugs, WAYS[way])
    assert len(mugs.asked) < 220
    assert "merchant" in caught.value.remedy


async def test_a_list_of_impossible_length_is_not_read() -> None:
    """Its first page says so, and no other is asked for."""
    mugs = Mugs([1, 2, 3, 4])
    wanted = ListOf("mugs", "/mugs", PageNumbers(3), ("mugs",), lambda _: 900_000_000)
    with pytest.raises(InvalidResponse, match="900000000 objects"):
        await read(mugs, wanted)
    assert len(mugs.asked) == 1
