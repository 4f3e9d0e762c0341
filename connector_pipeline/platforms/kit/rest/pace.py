"""How many requests at once a shop is asked, found out by asking it.

A shop may be somebody's own host: one of two cores gains little past two requests at a time,
another gains up to ten, and none says so (docs/facts/woocommerce.md, Speed and concurrency). So the
limit starts at two, grows while an answer takes no longer for it, and shrinks when answers take
longer or the shop says it is too much.
"""

import asyncio
import re
from collections import deque
from statistics import median
from typing import Final, Protocol

from connector_pipeline.platforms.http.client import Outcome, Turn
from connector_pipeline.platforms.kit.contract import FetchReport

STARTING_LIMIT: Final = 2

SLOWER: Final = 1.3
"""From here on answers take longer. A third request at once takes two workers 1.5 times as long."""

_PATIENCE: Final = 4
_LONGEST_PATIENCE: Final = 64
_ID: Final = re.compile(r"/\d+")


class Limit(Protocol):
    """How many requests may be under way at once, after what was learned so far."""

    @property
    def value(self) -> int:
        """At least 1."""
        ...

    def answered(self, seconds: float, *, under_way: int, work: str) -> None:
        """A request of this kind of work was answered; `under_way` as it began, itself included."""
        ...

    def overloaded(self, *, under_way: int) -> None:
        """The shop refused a request as too much, or took too long for it."""
        ...


class AdaptiveLimit:
    """A limit between 1 and `most`: a function of what is reported to it, without clock or loop.

    Answers are judged a handful at a time by their median, and only those of requests that began
    when as many were under way as allowed: the others tell nothing of the limit. What they are
    held against is the quickest handful of the same work; another endpoint takes its own time, and
    begins with two at once.
    """

    def __init__(self, most: int):
        self._most = most
        self._value = min(STARTING_LIMIT, most)
        self._work: str = ""
        self._handful: list[float] = []
        self._quickest: dict[str, float] = {}
        self._patience = _PATIENCE
        self._wait = 0

    @property
    def value(self) -> int:
        """How many requests may be under way now."""
        return self._value

    def answered(self, seconds: float, *, under_way: int, work: str) -> None:
        """Count an answer; with the last of a handful the limit may move by one."""
        if work != self._work:
            self._work = work
            self._handful.clear()
            if work not in self._quickest:
                # Nothing is known of it: what it takes at a higher limit would be no measure.
                self._value = min(self._value, STARTING_LIMIT)
        if under_way != self._value:
            return
        self._handful.append(seconds)
        if len(self._handful) < 2 + 2 * self._value:
            return
        typical = median(self._handful)
        self._handful.clear()
        quickest = self._quickest.get(work, typical)
        if self._value == 1:
            # There is nothing gentler to hold it against: what the shop takes now is what it takes.
            quickest = typical
        elif typical > SLOWER * quickest:
            self._shrink_to(self._value - 1)
            return
        self._quickest[work] = min(typical, quickest)
        if self._wait:
            self._wait -= 1
        elif self._value < self._most:
            self._value += 1

    def overloaded(self, *, under_way: int) -> None:
        """Halve the limit, once for all requests that were under way together."""
        if under_way <= self._value:
            self._shrink_to(self._value // 2)

    def _shrink_to(self, value: int) -> None:
        # Each time it turns out too much, the next try waits twice as long.
        self._value = max(1, value)
        self._handful.clear()
        self._wait = self._patience
        self._patience = min(2 * self._patience, _LONGEST_PATIENCE)


class Pace:
    """The gate that every request to one shop passes, in the order they came; see `http.Pacer`.

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
        """Wait until the shop may be asked once more."""
        loop = asyncio.get_running_loop()
        if not self._is_open():
            place = loop.create_future()
            self._waiting.append(place)
            try:
                await place
            except asyncio.CancelledError:
                if not place.cancelled():
                    # Let in and cancelled at once: the place is the next one's.
                    self._under_way -= 1
                    self._let_in()
                raise
        else:
            self._under_way += 1
        self.highest = max(self.highest, self._under_way)
        return Turn(path, self._under_way, loop.time())

    def leave(self, turn: Turn, outcome: Outcome) -> None:
        """A request is over: learn from it, and let the next one in."""
        self._under_way -= 1
        if outcome is Outcome.ANSWERED:
            seconds = asyncio.get_running_loop().time() - turn.began
            work = _ID.sub("/{id}", turn.path)
            self._limit.answered(seconds, under_way=turn.under_way, work=work)
        elif outcome is Outcome.OVERLOADED:
            self._limit.overloaded(under_way=turn.under_way)
        self._let_in()

    def pause(self, seconds: float) -> None:
        """Ask the shop nothing for this long: a wait that one request is asked for is for all."""
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
        # A timer may ring a tick early by the clock it was set by.
        self._quiet_until = 0.0
        self._timer = None
        self._let_in()

    def _is_open(self) -> bool:
        return self._timer is None and self._under_way < self._limit.value

    def _let_in(self) -> None:
        while self._waiting and self._is_open():
            place = self._waiting.popleft()
            # A request that was cancelled while it waited is still in the queue.
            if not place.done():
                self._under_way += 1
                place.set_result(None)
