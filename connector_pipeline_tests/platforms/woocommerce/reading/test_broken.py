"""Promises about broken objects: the rest of their page is read, and they are named."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connector_pipeline.model.errors import PlatformUnavailable
from connector_pipeline.platforms.http.client import Answer, HeavyAnswer
from connector_pipeline.platforms.http.json_body import parse_json
from connector_pipeline.platforms.woocommerce.reading.broken import (
    MOST_BROKEN,
    AroundBroken,
    join_lists,
)
from connector_pipeline.platforms.woocommerce.reading.page_sizes import smaller
from connector_pipeline.platforms.woocommerce.talking.asking import Question
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline_tests.platforms.woocommerce.shop_reading import SMALL, Reading

SHOP = replace(SMALL, domain="broken.example", products=40, awkward=False)


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    """One sandbox for the module."""
    with SandboxServer(()) as running:
        yield running


def without(rows: list[dict[str, Any]], *ids: int) -> list[dict[str, Any]]:
    """The rows without those of these products and variations."""
    left_out = {str(each) for each in ids}
    return [
        row
        for row in rows
        if row["product_id"] not in left_out and row["variant_id"] not in left_out
    ]


@pytest.mark.parametrize("batch_size", [100, 10, 7])
@pytest.mark.parametrize("field", ["price", None], ids=["one field", "nothing"])
async def test_a_broken_product_is_left_out_and_the_rest_is_read(
    server: SandboxServer, batch_size: int, field: str | None
) -> None:
    """It is named by its id, or by its position where not even the id can be read."""
    shop = server.store.put(SHOP)
    ids = [number for number in shop.product_ids() if shop.status(number) == "publish"]
    shop.broken[ids[5]] = field
    reading = Reading(server, SHOP, batch_size=batch_size)
    await reading.read()
    assert reading.items() == without(reading.expected(), ids[5])
    assert not reading.report.complete
    named = f"/wc/v3/products object {ids[5]}"
    if field is None:
        named = f"/wc/v3/products position 6, after {ids[4]}, before {ids[6]}"
    assert reading.report.details["broken_objects"] == [named]
    assert named in reading.report.warnings[-1]


@pytest.mark.parametrize("root", [True, False], ids=["of the shop", "of the parent"])
async def test_a_broken_variation_is_left_out_and_the_rest_is_read(
    server: SandboxServer, root: bool
) -> None:
    """This holds for each of the lists of variations."""
    spec = replace(SHOP, root_variations=root, analytics_variations=root)
    shop = server.store.put(spec)
    victim = next(
        variation
        for product in shop.products()
        if product.status == "publish"
        for variation in getattr(product, "variations", ())
    ).id
    shop.broken[victim] = "price"
    reading = Reading(server, spec, batch_size=20)
    await reading.read()
    assert reading.items() == without(reading.expected(), victim)
    (named,) = reading.report.details["broken_objects"]  # type: ignore[misc]
    assert str(named).endswith(f"object {victim}")
    assert not reading.report.complete


async def test_a_shop_that_fails_for_everything_is_unavailable(server: SandboxServer) -> None:
    """It fails soon, and not object by object. So does a shop with too many broken objects."""
    shop = server.store.put(SHOP)
    shop.broken |= dict.fromkeys(shop.product_ids(), None)
    reading = Reading(server, SHOP, max_retries=0)
    assert "answered 500" in await reading.fails(PlatformUnavailable)
    assert reading.report.requests < 15
    shop.broken.clear()
    published = [number for number in shop.product_ids() if shop.status(number) == "publish"]
    shop.broken |= dict.fromkeys(published[1 : 2 * MOST_BROKEN + 4 : 2], None)
    await Reading(server, SHOP, max_retries=0).fails(PlatformUnavailable)


class List:
    """A list of objects. Some of them break their page."""

    def __init__(self, bodies: list[bytes], broken: set[int], *, of_wordpress: bool = True):
        self.bodies = bodies
        self.of_wordpress = of_wordpress
        self.broken = broken
        self.requests = 0

    async def ask(self, question: Question) -> Answer:
        self.requests += 1
        size, number = int(question.params["per_page"]), int(question.params["page"])
        positions = range((number - 1) * size, min(number * size, len(self.bodies)))
        if self.broken & set(positions):
            failure = Answer(500, {}, b"{}", {}) if self.of_wordpress else None
            raise HeavyAnswer(PlatformUnavailable("The shop failed."), failure)
        body = (
            b"\xef\xbb\xbf[ "
            + b" , ".join(self.bodies[position] for position in positions)
            + b" ]\n"
        )
        headers = {"X-WP-Total": str(len(self.bodies)), "X-WP-TotalPages": "1"}
        return Answer(200, headers, body, parse_json(body))


@given(
    st.integers(1, 60),
    st.sets(st.integers(0, 59), max_size=4) | st.sets(st.integers(0, 15), max_size=14),
    st.integers(1, 100),
    st.integers(1, 3),
)
@example(length=60, broken={0, 1}, size=100, number=1)
@example(length=60, broken={0, 1, 2}, size=100, number=1)
@example(length=1, broken={0}, size=1, number=1)
@example(length=1, broken={0}, size=2, number=1)
async def test_every_object_that_can_be_read_is_in_the_answer_once(
    length: int, broken: set[int], size: int, number: int
) -> None:
    """They are in order and byte for byte, for any broken objects and any page."""
    bodies = [
        f'{{"id": {position + 1}, "name": "\\u00e5 {position}"}}'.encode()
        for position in range(length)
    ]
    around = AroundBroken(List(bodies, broken))
    asked = range((number - 1) * size, min(number * size, length))
    try:
        answer = await around.ask(Question("/wc/v3/products", {"per_page": size, "page": number}))
    except PlatformUnavailable:
        # Three broken objects in a row at the start of a page are an error, and so is a whole page.
        assert len(broken & set(asked)) >= 3 or set(asked) <= broken
        return
    # A page past the end of the list has parts without objects, which the shop can answer.
    assert len(asked) < size or not set(asked) <= broken
    whole = [position for position in asked if position not in broken]
    assert [row["id"] for row in answer.json] == [position + 1 for position in whole]
    assert parse_json(answer.body) == answer.json
    assert all(bodies[position] in answer.body for position in whole)
    assert [each.position - 1 for each in around.found] == sorted(broken & set(asked))
    assert answer.headers["X-WP-Total"] == str(length)


@pytest.mark.parametrize("broken", [0, 37, 99])
async def test_one_broken_object_of_a_hundred_costs_few_requests(broken: int) -> None:
    """The page is read in halves, quarters, fives and ones, and not in a hundred requests."""
    shop = List([b"{}"] * 100, {broken})
    around = AroundBroken(shop)
    answer = await around.ask(Question("/wc/v3/products", {"per_page": 100, "page": 1}))
    assert (len(answer.json), [each.position for each in around.found]) == (99, [broken + 1])
    assert shop.requests <= 16


@pytest.mark.parametrize("broken", [{0}, {37}, {99}, {0, 37}, {98, 99}], ids=repr)
async def test_an_object_that_kills_the_host_is_left_out_as_well(broken: set[int]) -> None:
    """PHP may die over an object, and then the web server answers in its place, or nobody."""
    shop = List([b'{"id": 1}'] * 100, broken, of_wordpress=False)
    around = AroundBroken(shop)
    answer = await around.ask(Question("/wc/v3/products", {"per_page": 100, "page": 1}))
    assert len(answer.json) == 100 - len(broken)
    assert [each.position - 1 for each in around.found] == sorted(broken)
    assert around.sizes.size("products") == 100


async def test_a_host_that_fails_for_two_single_objects_is_not_asked_for_more() -> None:
    """It is down, or it seems to be."""
    shop = List([b'{"id": 1}'] * 100, set(range(100)), of_wordpress=False)
    with pytest.raises(PlatformUnavailable, match="in pages of any size"):
        await AroundBroken(shop).ask(Question("/wc/v3/products", {"per_page": 100, "page": 1}))
    assert shop.requests == 3


@given(st.integers(2, 100))
def test_smaller_pages_begin_where_larger_ones_do(size: int) -> None:
    """Otherwise objects would be read twice, or not at all."""
    assert size % smaller(size) == 0
    assert smaller(size) < size


def test_lists_are_joined_as_they_are_written() -> None:
    """A BOM, spaces and empty lists between them change nothing."""
    assert join_lists([b"[]"]) == b"[]"
    assert join_lists([b'\xef\xbb\xbf[{"a":1.10}]\n', b"[ ]", b"[2,3]"]) == b'[{"a":1.10},2,3]'
    assert json.loads(join_lists([])) == []
