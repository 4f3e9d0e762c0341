"""Promises about requests that are under way at the same time."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from functools import partial
from typing import Any

import pytest

from connector_pipeline.platforms.kit.rest.in_order import in_order


class Calls:
    """Calls that end when a test ends them, and count how many are under way."""

    def __init__(self, count: int):
        self.ends = [asyncio.Event() for _ in range(count)]
        self.under_way = self.peak = self.cancelled = 0

    async def call(self, number: int) -> int:
        """Wait to be ended, then return the number."""
        self.under_way += 1
        self.peak = max(self.peak, self.under_way)
        try:
            await self.ends[number].wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.under_way -= 1
        return number

    def all(self) -> list[Callable[[], Coroutine[Any, Any, int]]]:
        """Every call, none of them begun."""
        return [partial(self.call, number) for number in range(len(self.ends))]


@pytest.mark.parametrize("at_once", [1, 2, 5])
async def test_results_come_in_order_however_they_end(at_once: int) -> None:
    """Calls that end last to first give results first to last, never more at once than allowed."""
    calls = Calls(5)

    async def end_backwards() -> None:
        while not all(end.is_set() for end in calls.ends):
            begun = [end for end in calls.ends if not end.is_set()][: calls.under_way]
            if begun:
                begun[-1].set()
            await asyncio.sleep(0)

    ending = asyncio.create_task(end_backwards())
    assert [number async for number in in_order(calls.all(), at_once)] == [0, 1, 2, 3, 4]
    await ending
    assert calls.peak == at_once


async def test_a_failure_cancels_what_is_under_way() -> None:
    """The caller gets the error, and no request goes on."""
    calls = Calls(2)

    async def fail() -> int:
        await asyncio.sleep(0)
        raise RuntimeError("the first failed")

    with pytest.raises(RuntimeError, match="the first failed"):
        async for _ in in_order([fail, *calls.all()], 3):
            pass
    assert (calls.under_way, calls.cancelled) == (0, 2)


async def test_a_caller_who_stops_cancels_what_is_under_way() -> None:
    """After aclose nothing is under way."""
    calls = Calls(4)
    calls.ends[0].set()
    async with aclosing(in_order(calls.all(), 2)) as results:
        assert await anext(results) == 0
    assert calls.under_way == 0


async def test_no_calls_have_no_results() -> None:
    """An empty list ends at once and does not wait."""
    assert [result async for result in in_order([], 2)] == []
