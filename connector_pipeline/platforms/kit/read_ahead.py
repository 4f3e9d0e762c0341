"""Lets a reading go on while its caller is busy with what came."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar

ItemT = TypeVar("ItemT")


async def read_ahead(items: AsyncGenerator[ItemT]) -> AsyncGenerator[ItemT]:
    """The items in their order, each made while the caller is busy with those before it.

    Two are made ahead at most. What making one raises is raised in its place. When the caller
    stops, or is cancelled, the item under way is cancelled and `items` is closed.
    """
    ready = asyncio.Queue[tuple[ItemT] | None](1)

    async def read() -> None:
        try:
            async with aclosing(items):
                async for item in items:
                    await ready.put((item,))
        except Exception:
            await ready.put(None)
            raise
        await ready.put(None)

    reading = asyncio.create_task(read())
    try:
        while (made := await ready.get()) is not None:
            yield made[0]
        await reading
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
