"""Promises about a reading that goes on while its caller is busy."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from connector_pipeline.platforms.kit.read_ahead import read_ahead


class Pages:
    """Makes numbers, and keeps which were begun and whether it was closed."""

    def __init__(self, count: int, *, fails_at: int | None = None):
        self._count = count
        self._fails_at = fails_at
        self.begun: list[int] = []
        self.closed = False

    async def all(self) -> AsyncGenerator[int]:
        """The numbers, each after the loop had its turn."""
        try:
            for number in range(self._count):
                self.begun.append(number)
                await asyncio.sleep(0)
                if number == self._fails_at:
                    raise ValueError(number)
                yield number
        finally:
            self.closed = True


async def settled() -> None:
    """Let everything happen that waits for nothing."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_two_are_made_while_the_caller_is_busy() -> None:
    """They come in their order, and no more wait in memory."""
    pages = Pages(9)
    seen: list[int] = []
    async with aclosing(read_ahead(pages.all())) as read:
        async for number in read:
            await settled()
            seen.append(number)
            assert pages.begun[-1] == min(number + 2, 8)
    assert seen == [*range(9)]
    assert pages.closed


async def test_what_fails_fails_in_its_place() -> None:
    """What came before it is given to the caller, who may keep it."""
    pages = Pages(9, fails_at=3)
    seen: list[int] = []

    async def read() -> None:
        async for number in read_ahead(pages.all()):
            await settled()
            seen.append(number)

    with pytest.raises(ValueError, match="3"):
        await read()
    assert seen == [0, 1, 2]
    assert pages.closed


async def test_a_caller_who_stops_leaves_nothing_under_way() -> None:
    """The page under way is cancelled, and the reading is closed."""
    pages = Pages(9)
    tasks = asyncio.all_tasks()
    async with aclosing(read_ahead(pages.all())) as read:
        async for _ in read:
            break
    assert pages.closed
    assert asyncio.all_tasks() == tasks


async def test_a_caller_who_is_cancelled_leaves_nothing_under_way() -> None:
    """As the deadline of a shop cancels its reading."""
    pages = Pages(9)
    tasks = asyncio.all_tasks()

    async def read() -> None:
        async with aclosing(read_ahead(pages.all())) as made:
            async for _ in made:
                await asyncio.Event().wait()

    reading = asyncio.create_task(read())
    await settled()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert pages.closed
    assert asyncio.all_tasks() == tasks
