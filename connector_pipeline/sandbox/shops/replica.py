"""A shop's replica, which answers readers and is behind the edits for a while.

Platforms answer reads from replicas and search indexes: a product is shown as it was before its
last edit, a new one is not found yet, and a deleted one is still there.
"""

import time
from collections import deque
from typing import Generic, TypeVar

ShopT = TypeVar("ShopT")


class Replica(Generic[ShopT]):
    """The states of a shop that readers may still see, oldest first; none without a lag."""

    def __init__(self) -> None:
        self._lag = 0.0
        self._states: deque[tuple[float, ShopT]] = deque()

    @property
    def is_behind(self) -> bool:
        """Whether edits have to be kept."""
        return self._lag > 0

    def stay_behind(self, seconds: float, now: ShopT) -> None:
        """Show each edit so many seconds late; infinity holds the state `now`, 0 ends it."""
        self._lag = seconds
        self._states.clear()
        if seconds > 0:
            self._states.append((time.monotonic(), now))

    def keep(self, state: ShopT) -> None:
        """Keep the state after an edit, until it is shown."""
        self._states.append((time.monotonic(), state))

    def shown(self) -> ShopT | None:
        """The state that readers see; None: the shop itself."""
        until = time.monotonic() - self._lag
        while len(self._states) > 1 and self._states[1][0] <= until:
            self._states.popleft()
        return self._states[0][1] if self._states else None
