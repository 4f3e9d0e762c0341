"""Promises about how many requests a shop gets at once."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.platforms.http.pacing import PaceSignal, Turn
from connector_pipeline.platforms.kit.contract import FetchReport
from connector_pipeline.platforms.kit.rest.pace import AdaptiveLimit, Pace, counted_as_alone

WORK = "/wc/v3/variations"


def after(
    limit: AdaptiveLimit, seconds: Callable[[int], float], answers: int, work: str = WORK
) -> list[int]:
    """The limit after each of so many answers, all of requests that began at the limit."""
    seen: list[int] = []
    for _ in range(answers):
        limit.answered(seconds(limit.value), under_way=limit.value, work=work)
        seen.append(limit.value)
    return seen


def flat(_: int) -> float:
    """A host that takes as long for any number of requests."""
    return 0.05


def workers(count: int) -> Callable[[int], float]:
    """A host of so many workers. A request beyond them waits for one."""
    return lambda under_way: 0.05 * max(1.0, under_way / count)


@pytest.mark.parametrize(("most", "start"), [(1, 1), (2, 2), (4, 2), (32, 2)])
def test_a_shop_is_asked_two_things_at_first(most: int, start: int) -> None:
    """It is asked one thing where no more is allowed."""
    assert AdaptiveLimit(most).value == start


def test_the_limit_grows_while_answers_take_no_longer() -> None:
    """It grows by one at a time, up to the most that is allowed."""
    seen = after(AdaptiveLimit(6), flat, 200)
    assert seen == sorted(seen)
    assert seen[-1] == 6
    assert {after - before for before, after in pairwise(seen)} == {0, 1}


@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_limit_stays_where_more_only_wait(count: int) -> None:
    """A host of some workers seldom gets more requests at once, and then only a few more."""
    seen = after(AdaptiveLimit(32), workers(count), 3_000)
    assert max(seen) <= count * 1.3 + 1
    assert sum(each > count * 1.3 for each in seen) < 0.1 * len(seen)
    assert min(seen[200:]) >= count - 1


@pytest.mark.parametrize("before", [4, 40, 200])
def test_the_limit_shrinks_when_answers_come_to_take_longer(before: int) -> None:
    """While the host is busy with something else, the limit is one. It grows again afterwards."""
    limit = AdaptiveLimit(4)
    after(limit, flat, before)
    busy = after(limit, lambda under_way: 0.05 * 4 ** (under_way - 1), 60)
    assert min(busy) == 1
    # More requests make such a host slower, so the limit grows more and more seldom.
    after(limit, flat, 4_000)
    assert limit.value == 4


def test_a_shop_that_is_slow_by_itself_is_not_held_to_its_past() -> None:
    """Later pages are heavier. At one request at a time, their own time is the new measure."""
    limit = AdaptiveLimit(4)
    after(limit, flat, 100)
    seen = after(limit, lambda _: 0.5, 4_000)
    assert 1 in seen
    assert seen[-1] == 4


def test_a_shop_that_answers_well_soon_gets_more() -> None:
    """Seven answers that take no longer each are enough for four requests at once."""
    assert after(AdaptiveLimit(4), flat, 7)[-1] == 4


def test_another_endpoint_takes_its_own_time() -> None:
    """Ten times the time of other work shows nothing: the host bears as many requests for it."""
    limit = AdaptiveLimit(4)
    after(limit, flat, 100)
    limit.answered(0.5, under_way=1, work="/wc/v3/products")
    assert set(after(limit, lambda _: 0.5, 100, work="/wc/v3/products")) == {4}
    assert set(after(limit, flat, 100)) == {4}


def test_an_endpoint_that_is_too_much_for_the_host_gets_less() -> None:
    """The answer that came alone shows it, where every handful took longer."""
    limit = AdaptiveLimit(4)
    after(limit, flat, 100)
    limit.answered(0.05, under_way=1, work="/wc/v3/products")
    seen = after(limit, workers(2), 200, work="/wc/v3/products")
    assert seen[9] == 3
    assert seen[10:].count(4) <= 20


def test_answers_to_two_endpoints_in_turn_count_each_for_its_own() -> None:
    """A question of another kind in between does not discard the answers before it."""
    limit = AdaptiveLimit(4)
    for _ in range(4):
        after(limit, flat, 1)
        after(limit, lambda _: 0.5, 1, work="/wc/v3/products")
    assert limit.value == 3


@pytest.mark.parametrize(("begun", "left"), [(8, 4), (1, 4), (9, 8)])
def test_a_refusal_halves_the_limit(begun: int, left: int) -> None:
    """A refusal of a request that began at a higher limit does not: it is counted already."""
    limit = AdaptiveLimit(8)
    after(limit, flat, 500)
    assert limit.value == 8
    limit.overloaded(under_way=begun)
    assert limit.value == left


def test_one_refusal_of_all_under_way_is_one_refusal() -> None:
    """Eight requests that are answered 429 at the same time make the limit four, not zero."""
    limit = AdaptiveLimit(8)
    after(limit, flat, 500)
    for _ in range(8):
        limit.overloaded(under_way=8)
    assert limit.value == 4


@given(
    st.integers(1, 32),
    st.lists(
        st.tuples(
            st.booleans(), st.floats(0, 100), st.integers(1, 40), st.sampled_from([WORK, "other"])
        ),
        max_size=300,
    ),
)
def test_the_limit_is_never_out_of_bounds(
    most: int, heard: list[tuple[bool, float, int, str]]
) -> None:
    """It is at least one and at most the allowed number, and it grows by one at most."""
    limit = AdaptiveLimit(most)
    for answered, seconds, under_way, work in heard:
        before = limit.value
        if answered:
            limit.answered(seconds, under_way=under_way, work=work)
            assert limit.value <= before + 1
        else:
            limit.overloaded(under_way=under_way)
            assert limit.value <= before
        assert 1 <= limit.value <= most


class Fixed:
    """A limit that learns nothing."""

    def __init__(self, value: int):
        self.value = value

    def answered(self, seconds: float, *, under_way: int, work: str) -> None:
        """Learn nothing."""

    def overloaded(self, *, under_way: int) -> None:
        """Learn nothing."""


async def test_requests_pass_the_gate_in_their_order() -> None:
    """No more are under way than the limit allows, and they go in the order they came."""
    pace = Pace(Fixed(2), FetchReport())
    passed: list[int] = []
    under_way = 0

    async def request(number: int) -> None:
        nonlocal under_way
        turn = await pace.enter(WORK)
        passed.append(number)
        under_way += 1
        assert under_way <= turn.under_way <= 2
        await asyncio.sleep(0)
        under_way -= 1
        pace.leave(turn, PaceSignal.ANSWERED)

    await asyncio.gather(*(request(number) for number in range(20)))
    assert passed == list(range(20))
    assert pace.highest == 2


@pytest.mark.parametrize("cancelled", [1, 2])
async def test_a_cancelled_request_takes_no_turn(cancelled: int) -> None:
    """It may be cancelled before its turn or just after it got one: the next request goes in."""
    pace = Pace(Fixed(1), FetchReport())
    first = await pace.enter(WORK)
    waiting = [asyncio.create_task(pace.enter(WORK)) for _ in range(3)]
    await asyncio.sleep(0)
    if cancelled == 1:
        waiting[1].cancel()
        pace.leave(first, PaceSignal.UNKNOWN)
        pace.leave(await waiting[0], PaceSignal.UNKNOWN)
    else:
        pace.leave(first, PaceSignal.UNKNOWN)
        waiting[0].cancel()
        pace.leave(await waiting[1], PaceSignal.UNKNOWN)
    pace.leave(await waiting[2], PaceSignal.UNKNOWN)
    pace.leave(await pace.enter(WORK), PaceSignal.UNKNOWN)


async def test_a_pause_is_everybodys_and_is_counted_once() -> None:
    """Four answers ask for a wait at once, and other requests wait too: one wait is counted."""
    report = FetchReport()
    pace = Pace(Fixed(4), report)
    loop = asyncio.get_running_loop()
    turns = [await pace.enter(WORK) for _ in range(4)]
    waiting = asyncio.create_task(pace.enter(WORK))
    await asyncio.sleep(0)
    until = loop.time() + 0.25
    for turn in turns:
        pace.leave(turn, PaceSignal.OVERLOADED)
        pace.pause(0.25)
    passed = [await pace.enter(WORK), await waiting]
    assert loop.time() >= until
    # Four waits would be a second; one grows by what a busy machine takes between the four answers.
    assert 0.25 <= report.waited_seconds < 1.0
    for turn in passed:
        pace.leave(turn, PaceSignal.ANSWERED)


async def test_the_first_page_of_an_empty_list_makes_no_full_page_slow() -> None:
    """It is asked for beside full ones, which take ten times as long, and counts as alone."""
    limit = AdaptiveLimit(4)
    pace = Pace(limit, FetchReport())

    def leave(turn: Turn, seconds: float) -> None:
        pace.leave(replace(turn, began=turn.began - seconds), PaceSignal.ANSWERED)

    full = await pace.enter(WORK)
    with counted_as_alone():
        for _ in range(3):
            leave(await pace.enter(WORK), 0.01)
        empty = await pace.enter(WORK)
        waiting = asyncio.create_task(pace.enter(WORK))
    await asyncio.sleep(0)
    assert not waiting.done()
    leave(empty, 0.01)
    leave(await waiting, 0.01)
    leave(full, 0.1)
    for _ in range(100):
        for turn in [await pace.enter(WORK) for _ in range(limit.value)]:
            leave(turn, 0.1)
    assert limit.value == 4
