"""Promises about asking a shop by id for absent variants."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.kit.contract import LOOKUP, RawPage
from connector_pipeline.platforms.kit.lookup import AnswerForIds, by_product, look_up

WITNESS = "w"
IDS = st.sets(st.integers(1, 400).map(str), max_size=300)


class ShopOfIds:
    """A shop that has some ids, and some more that it cannot load."""

    def __init__(self, there: set[str], broken: set[str] | None = None):
        self.there = there | {WITNESS}
        self.broken = broken or set()
        self.asked: list[list[str]] = []

    async def ask(self, ids: list[str]) -> AnswerForIds[str]:
        """Leave absent ids open as soon as one of the ids cannot be loaded."""
        self.asked.append(ids)
        found = {each: "there" for each in ids if each in self.there}
        unclear = bool(self.broken & set(ids))
        open_ids = [each for each in ids if each not in found] if unclear else []
        return AnswerForIds(RawPage(LOOKUP, b"{}"), found, open_ids)

    async def gone(self, absent: dict[str, list[str]], at_once: int = 100) -> list[str]:
        """The variants that are gone by the answers."""
        lookups = look_up(
            self.ask, absent=absent, witness=WITNESS, at_once=at_once, asked_of="Acme"
        )
        return [variant async for each in lookups for variant in each.gone]


@given(IDS, IDS, st.sets(st.integers(1, 400).map(str), max_size=5), st.integers(2, 100))
async def test_a_variant_neither_there_nor_in_doubt_is_gone(
    absent: set[str], there: set[str], broken: set[str], at_once: int
) -> None:
    """For any shop, each variant is judged once, by an answer with the witness."""
    shop = ShopOfIds(there, broken - there)
    gone = await shop.gone({own_id: [f"{own_id}-a", f"{own_id}-b"] for own_id in absent}, at_once)
    kept = there | broken
    assert sorted(gone) == sorted(f"{each}-{v}" for each in absent - kept for v in "ab")
    assert all(WITNESS in ids and len(ids) <= at_once for ids in shop.asked)
    assert bool(shop.asked) == bool(absent)


async def test_an_answer_for_everything_is_asked_once() -> None:
    """99 ids and the witness fit into one question of a hundred."""
    shop = ShopOfIds(set())
    assert len(await shop.gone({str(number): [str(number)] for number in range(99)})) == 99
    assert len(shop.asked) == 1


async def test_one_id_in_doubt_is_found_by_halving() -> None:
    """The other ids are settled on the way, in few questions."""
    shop = ShopOfIds(set(), {"37"})
    gone = await shop.gone({str(number): [str(number)] for number in range(99)})
    assert set(gone) == {str(number) for number in range(99)} - {"37"}
    assert len(shop.asked) < 20


async def test_variants_that_stay_in_doubt_are_named() -> None:
    """The platform has them and gives them in no way: nobody waits for another answer."""
    shop = ShopOfIds({"1"}, {"37", "64"})
    absent = {str(number): [f"{number}-a", f"{number}-b"] for number in range(99)}
    lookups = look_up(shop.ask, absent=absent, witness=WITNESS, at_once=100, asked_of="Acme")
    left_open = [variant async for each in lookups for variant in each.left_open]
    assert sorted(left_open) == ["37-a", "37-b", "64-a", "64-b"]


async def test_the_witness_may_have_absent_variants_of_its_own() -> None:
    """They need no question beside the one for the witness."""
    shop = ShopOfIds(set())
    assert await shop.gone({WITNESS: ["w-1"]}) == []
    assert shop.asked == [[WITNESS]]


async def test_an_answer_without_the_witness_is_not_believed() -> None:
    """A shop that lacks a product it listed a minute ago may lack any other."""
    shop = ShopOfIds({"1"})
    shop.there.discard(WITNESS)
    with pytest.raises(InvalidResponse, match="Acme was asked for w, which the shop had listed"):
        await shop.gone({"2": ["2"]})


async def test_an_answer_to_another_question_is_not_believed() -> None:
    """A shop that ignores the ids lists all its products."""

    async def ask(ids: list[str]) -> AnswerForIds[str]:
        return AnswerForIds(RawPage(LOOKUP, b""), {WITNESS: "there", "9": "there"})

    with pytest.raises(InvalidResponse, match="ids it was not asked for"):
        async for _ in look_up(
            ask, absent={"2": ["2"]}, witness=WITNESS, at_once=10, asked_of="Acme"
        ):
            pass


async def test_the_platform_judges_a_variant_by_its_products_state() -> None:
    """Where products are asked for, a product that is there may lack the variant."""
    absent = by_product({"11": "1", "12": "1", "21": "2"})
    assert absent == {"1": ["11", "12"], "2": ["21"]}
    listed = {"1": ["11"], WITNESS: ["w"]}

    async def ask(ids: list[str]) -> AnswerForIds[list[str]]:
        return AnswerForIds(RawPage(LOOKUP, b""), {i: listed[i] for i in ids if i in listed})

    lookups = look_up(
        ask,
        absent=absent,
        witness=WITNESS,
        at_once=10,
        asked_of="Acme",
        is_gone=lambda variant, variants: variant not in (variants or ()),
    )
    assert [each.gone async for each in lookups] == [("12", "21")]
