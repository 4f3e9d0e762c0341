"""Limit how many shops a run reads at once, so that slow shops do not hold up the others."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

HELD_FOR_SECONDS: Final = 30.0
"""How long a shop holds a place. A shop of a few thousand items is read in less. A shop that takes
longer mostly waits for its platform, and can do that without a place."""

OUTSIDE_PER_PLACE: Final = 4
"""Shops that may go on without a place, for each place. Each shop keeps a page or two in memory, so
this bounds a run's memory. With 16 places 80 shops can be read at once, so a run over the default
of 100 shops hardly ever reaches the bound."""


class Places:
    """The places of the shops that a run reads at once, first come first served; of one event loop.

    A shop that has held a place for `held_for` seconds (None: HELD_FOR_SECONDS) gives it up and
    goes on outside, that is without a place. At most `outside` shops may do so at once; the next
    one keeps its place until one of them ends. So a shop that takes hours costs the others
    seconds, and never more than `places` and `outside` together are read at once.
    """

    def __init__(self, places: int, *, outside: int, held_for: float | None = None):
        self._free = asyncio.Semaphore(places)
        self._may_go_outside = outside
        self._held_for = HELD_FOR_SECONDS if held_for is None else held_for
        self._slow: deque[_Place] = deque()

    @asynccontextmanager
    async def place(self) -> AsyncGenerator[None]:
        """Wait for a place and hold it while the body runs, or until it is given up."""
        await self._free.acquire()
        place = _Place()
        timer = asyncio.get_running_loop().call_later(self._held_for, self._held_too_long, place)
        try:
            yield
        finally:
            timer.cancel()
            self._leave(place)

    def _held_too_long(self, place: "_Place") -> None:
        self._slow.append(place)
        self._give_up_places()

    def _give_up_places(self) -> None:
        while self._slow and self._may_go_outside:
            self._slow.popleft().outside = True
            self._may_go_outside -= 1
            self._free.release()

    def _leave(self, place: "_Place") -> None:
        if place.outside:
            self._may_go_outside += 1
            self._give_up_places()
            return
        if place in self._slow:
            self._slow.remove(place)
        self._free.release()


class _Place:
    """The place of one shop; `outside` once the shop gave it up. Compared by identity."""

    outside = False
