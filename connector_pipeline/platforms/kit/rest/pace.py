"""The pace: finds out how many requests a shop can answer at once.

A shop may run on the merchant's own host. A host of two cores gains little from more than two
requests at a time, another gains from up to ten, and none states it (docs/facts/woocommerce.md,
Speed and concurrency). So the limit starts at two. It grows while answers take no longer, and
shrinks when they take longer or when the shop says that it is overloaded.
"""

import asyncio
import re
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from statistics import median
from typing import Final, Protocol

from connector_pipeline.platforms.http.pacing import PaceSignal, Turn
from connector_pipeline.platforms.kit.contract import FetchReport

STARTING_LIMIT: Final = 2

SLOWER: Final = 1.3
"""Answers this many times as long as the quickest are slower.

A shop with two workers takes 1.5 times as long for each of three requests at once.
"""

SLOWER_THAN_ALONE: Final = 1.6
"""The same beside the one answer that came alone, which is less sure than a handful."""

_PATIENCE: Final = 8
_LONGEST_PATIENCE: Final = 128
_ID: Final = re.compile(r"/\d+")
_counted_as_alone: Final = ContextVar("counted_as_alone", default=False)


@contextmanager
def counted_as_alone() -> Generator[None]:
    """Have the answers to what the block asks say nothing of several requests at once.

    For the first pages of lists, asked for while another list is read: an empty one comes sooner
    than any page that is full, and a limit that took it for the quickest would take those for slow.
    They wait for their turns as every request does.
    """
    before = _counted_as_alone.set(True)
    try:
        yield
    finally:
        _counted_as_alone.reset(before)


class Limit(Protocol):
    """Decides how many requests may be under way at once, by the answers so far."""

    @property
    def value(self) -> int:
        """At least 1."""
        ...

    def answered(self, seconds: float, *, under_way: int, work: str) -> None:
        """Count an answer to this kind of work. `under_way` counts the requests as it began."""
        ...

    def overloaded(self, *, under_way: int) -> None:
        """Count a request that the shop refused as too much, or took too long for."""
        ...


class AdaptiveLimit:
    """A limit between 1 and `most`, which depends on its calls alone and on no clock.

    Answers are judged a handful at a time, by their median. Only answers to requests that began at
    the limit count, because the others show nothing of it. A handful is compared with the quickest
    handful of the same work, because each endpoint takes its own time. The limit itself is the
    host's, so another endpoint begins with it; its first handful is compared with the answer that
    came alone, if one did: a list's first page is asked for alone.
    """

    def __init__(self, most: int):
        self._most = most
        self._value = min(STARTING_LIMIT, most)
        self._handfuls: dict[str, list[float]] = {}
        self._alone: dict[str, float] = {}
        self._quickest: dict[str, float] = {}
        self._patience = _PATIENCE
        self._wait = 0

    @property
    def value(self) -> int:
        """How many requests may be under way now."""
        return self._value

    def answered(self, seconds: float, *, under_way: int, work: str) -> None:
        """Count an answer. The limit may grow by one with it, and shrinks after a whole handful."""
        if under_way == 1:
            self._alone[work] = min(seconds, self._alone.get(work, seconds))
        if under_way != self._value:
            return
        handful = self._handfuls.setdefault(work, [])
        handful.append(seconds)
        if len(handful) <= self._value:
            return
        typical = median(handful)
        if self._value > 1 and self._is_slower(typical, work):
            # A few answers that take no longer are enough for one request more. A smaller limit
            # lasts for long, so twice as many answers decide on that.
            if len(handful) >= 2 + 2 * self._value:
                self._shrink_to(self._value - 1)
            return
        handful.clear()
        # The limit cannot shrink below 1, so a handful of single answers is the new measure.
        known = typical if self._value == 1 else self._quickest.get(work, typical)
        self._quickest[work] = min(typical, known)
        if self._wait:
            self._wait -= 1
        elif self._value < self._most:
            self._handfuls.clear()
            self._value += 1

    def _is_slower(self, typical: float, work: str) -> bool:
        if (quickest := self._quickest.get(work)) is not None:
            return typical > SLOWER * quickest
        alone = self._alone.get(work)
        return alone is not None and typical > SLOWER_THAN_ALONE * alone

    def overloaded(self, *, under_way: int) -> None:
        """Halve the limit, once for all requests that were under way together."""
        if under_way <= self._value:
            self._shrink_to(self._value // 2)

    def _shrink_to(self, value: int) -> None:
        # After each shrinking, the limit waits twice as many handfuls before it grows again.
        self._value = max(1, value)
        self._handfuls.clear()
        self._wait = self._patience
        self._patience = min(2 * self._patience, _LONGEST_PATIENCE)


class Pace:
    """Gives turns to the requests to one shop, in the order in which they ask; see `http.pacing`.

    `highest` is the most requests that were under way at once.
    """

    def __init__(self, limit: Limit, report: FetchReport):
        self._limit = limit
        self._report = report
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._under_way = 0
        self._quiet_until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.highest = 0

    async def enter(self, path: str) -> Turn:
        """Wait until one more request may be sent."""
        loop = asyncio.get_running_loop()
        if not self._is_open():
            waiter = loop.create_future()
            self._waiting.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if not waiter.cancelled():
                    # The waiter was cancelled just after it got a turn, so the next one gets that.
                    self._under_way -= 1
                    self._let_in()
                raise
        else:
            self._under_way += 1
        self.highest = max(self.highest, self._under_way)
        return Turn(path, 1 if _counted_as_alone.get() else self._under_way, loop.time())

    def leave(self, turn: Turn, signal: PaceSignal) -> None:
        """End a turn: adapt the limit by its signal, and let the next request in."""
        self._under_way -= 1
        if signal is PaceSignal.ANSWERED:
            seconds = asyncio.get_running_loop().time() - turn.began
            work = _ID.sub("/{id}", turn.path)
            self._limit.answered(seconds, under_way=turn.under_way, work=work)
        elif signal is PaceSignal.OVERLOADED:
            self._limit.overloaded(under_way=turn.under_way)
        self._let_in()

    def pause(self, seconds: float) -> None:
        """Give no turn for this long: a wait that one answer asks for holds for all requests."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        self._report.waited_seconds += max(0.0, until - max(self._quiet_until, loop.time()))
        if until <= self._quiet_until:
            return
        self._quiet_until = until
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(until, self._open)

    def _open(self) -> None:
        # A timer may fire a tick early by its own clock, so the time is not compared again.
        self._quiet_until = 0.0
        self._timer = None
        self._let_in()

    def _is_open(self) -> bool:
        return self._timer is None and self._under_way < self._limit.value

    def _let_in(self) -> None:
        while self._waiting and self._is_open():
            waiter = self._waiting.popleft()
            # A request that was cancelled while it waited is still in the queue.
            if not waiter.done():
                self._under_way += 1
                waiter.set_result(None)
