"""How many shops a run reads at once, and how the slow ones make room for the others."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

HELD_FOR_SECONDS: Final = 30.0
"""How long a shop holds a place. One of a few thousand items is read in less; one that is not waits
for its platform more than it makes us work, and can do that without a place."""

OUTSIDE_PER_PLACE: Final = 4
"""Shops that may go on without a place, for each place there is. Each has a page or two in memory,
so this is what bounds a run's memory, and a run over the default of 100 shops all but never
reaches it: with 16 places 80 of them can be read at once."""


class Places:
    """So many shops at once, first come first served; of one event loop.

    Who has held a place for `held_for` seconds, HELD_FOR_SECONDS if not given, gives it up and goes
    on outside, if fewer than `outside` do: else as soon as one of them ends. So a shop that takes
    hours costs the others seconds, and the number read at once is never more than `places` and
    `outside` together.
    """

    def __init__(self, places: int, *, outside: int, held_for: float | None = None):
        self._free = asyncio.Semaphore(places)
        self._may_go_outside = outside
        self._held_for = HELD_FOR_SECONDS if held_for is None else held_for
        self._slow: deque[_Place] = deque()

    @asynccontextmanager
    async def place(self) -> AsyncGenerator[None]:
        """Wait for a place and have it, or go on without it, until the end."""
        await self._free.acquire()
        place = _Place()
        timer = asyncio.get_running_loop().call_later(self._held_for, self._held_long, place)
        try:
            yield
        finally:
            timer.cancel()
            self._leave(place)

    def _held_long(self, place: "_Place") -> None:
        self._slow.append(place)
        self._let_out()

    def _let_out(self) -> None:
        while self._slow and self._may_go_outside:
            self._slow.popleft().outside = True
            self._may_go_outside -= 1
            self._free.release()

    def _leave(self, place: "_Place") -> None:
        if place.outside:
            self._may_go_outside += 1
            self._let_out()
            return
        if place in self._slow:
            self._slow.remove(place)
        self._free.release()


class _Place:
    """One shop's; `outside` once it was given up. Compared by identity."""

    outside = False
