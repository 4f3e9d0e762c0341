"""Slow shops make room for the others, and memory stays bounded all the same."""

import asyncio
import random

from connector_pipeline.sync.places import Places

HANGS = 300
"""Seconds after which a test that hangs is ended."""


async def test_shops_that_take_for_ever_cost_the_others_nothing() -> None:
    """Eighteen slow shops with four places wait for ten quick ones that queue behind them."""
    places = Places(4, outside=16, held_for=0.01)
    quick_are_done = asyncio.Event()

    async def slow() -> None:
        async with places.place():
            await quick_are_done.wait()

    async def quick() -> None:
        async with places.place():
            await asyncio.sleep(0)

    async with asyncio.timeout(HANGS), asyncio.TaskGroup() as group:
        for _ in range(18):
            group.create_task(slow())
        quick_ones = [group.create_task(quick()) for _ in range(10)]
        await asyncio.wait(quick_ones)
        quick_are_done.set()


async def test_no_more_are_under_way_than_places_and_outside_together() -> None:
    """The bound holds however slow the shops are and however they end. All of them get a place."""
    draw = random.Random(7)
    places = Places(3, outside=4, held_for=0.001)
    under_way, most, done = 0, 0, 0

    async def shop(number: int) -> None:
        nonlocal under_way, most, done
        async with places.place():
            under_way += 1
            most = max(most, under_way)
            try:
                await asyncio.sleep(draw.uniform(0, 0.02))
                if number % 5 == 0:
                    raise LookupError
            finally:
                under_way -= 1
        done += 1

    async with asyncio.timeout(HANGS):
        ended = await asyncio.gather(*map(shop, range(60)), return_exceptions=True)
    assert most == 7
    assert done == 48
    assert sum(isinstance(each, LookupError) for each in ended) == 12
    # Every place is back.
    async with asyncio.timeout(HANGS):
        for _ in range(10):
            async with places.place(), places.place(), places.place():
                pass


async def test_a_quick_shop_keeps_its_place() -> None:
    """No shop goes outside before its time, so three places are three shops at once."""
    places = Places(3, outside=100)
    under_way, most = 0, 0

    async def shop() -> None:
        nonlocal under_way, most
        async with places.place():
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0)
            under_way -= 1

    async with asyncio.timeout(HANGS):
        await asyncio.gather(*(shop() for _ in range(30)))
    assert most == 3
