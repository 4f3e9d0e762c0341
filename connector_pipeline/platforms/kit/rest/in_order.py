"""Runs several requests at the same time and gives their results in the order of the requests."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from itertools import islice
from typing import TypeVar

ResultT = TypeVar("ResultT")


async def in_order(
    calls: Iterable[Callable[[], Awaitable[ResultT]]], at_once: int
) -> AsyncGenerator[ResultT]:
    """The calls' results in the calls' order, with at most `at_once` of them under way.

    When a call fails or the caller stops, the calls under way are cancelled.
    """
    remaining = iter(calls)
    under_way: deque[asyncio.Task[ResultT]] = deque()
    try:
        while True:
            for call in islice(remaining, at_once - len(under_way)):
                under_way.append(asyncio.ensure_future(_started(call)))
            if not under_way:
                return
            result = await under_way[0]
            under_way.popleft()
            yield result
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def _started(call: Callable[[], Awaitable[ResultT]]) -> ResultT:
    return await call()
