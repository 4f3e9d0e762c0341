"""Promises about resuming from the pages of an interrupted attempt."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.platforms.kit.contract import RawPage
from connector_pipeline.platforms.kit.resume import ArchivedPages


def page(name: str) -> RawPage:
    """A page that answers the question of its name; a capital letter is a page archived early."""
    return RawPage(name, b"")


def pages(names: str) -> ArchivedPages:
    """These pages, one for each letter."""
    return ArchivedPages(map(page, names), archived_early=lambda each: each.kind.isupper())


def to(question: str) -> Callable[[RawPage], str | None]:
    """Reads the page that answers this question."""
    return lambda each: each.kind if each.kind == question else None


async def answers(archived: ArchivedPages, questions: str) -> str:
    """The answers to these questions, with a hyphen where the shop would be asked."""
    return "".join([await archived.answer(to(question)) or "-" for question in questions])


async def test_pages_answer_in_their_order_until_one_does_not() -> None:
    """The pages behind a page of another question followed from that page."""
    archived = pages("abcd")
    assert await answers(archived, "abxcd") == "ab---"
    assert (archived.exhausted, archived.taken) == (True, 2)


async def test_the_end_of_the_archive_is_where_the_shop_is_asked() -> None:
    """It is known only when the next page is looked for."""
    archived = pages("a")
    assert await answers(archived, "a") == "a"
    assert not archived.exhausted
    assert await archived.peek() is None
    assert archived.exhausted


async def test_a_page_looked_at_is_still_the_next() -> None:
    """A look at a page answers no question."""
    archived = pages("ab")
    assert await archived.peek() == await archived.peek() == page("a")
    assert await answers(archived, "ab") == "ab"


async def test_a_page_archived_early_waits_for_its_question() -> None:
    """It does not end the resumption when another question comes first."""
    archived = pages("PQab")
    assert await answers(archived, "aQbPQ") == "aQbP-"
    assert archived.taken == 4


async def test_a_page_archived_early_answers_after_the_others_are_no_answers() -> None:
    """It answers one question alone, so it does not depend on the pages beside it."""
    assert await answers(pages("Pab"), "xP") == "-P"


async def test_a_walk_that_stops_gets_no_more_answers() -> None:
    """The pages turned out to be of another attempt, and no further one is read."""
    archived = pages("ab")
    assert await answers(archived, "a") == "a"
    archived.stop()
    assert await archived.peek() is None
    assert await answers(archived, "b") == "-"


@given(st.text("abPQ", max_size=8), st.text("abPQ", max_size=8))
async def test_no_page_answers_twice_and_none_of_the_others_out_of_turn(
    names: str, questions: str
) -> None:
    """This holds for any archived pages and any questions."""
    given_back = (await answers(pages(names), questions)).replace("-", "")
    assert all(given_back.count(name) <= names.count(name) for name in "abPQ")
    in_turn = [name for name in given_back if name.islower()]
    assert in_turn == [name for name in names if name.islower()][: len(in_turn)]
