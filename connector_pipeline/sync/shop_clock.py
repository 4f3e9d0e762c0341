"""How long the reading of each shop of a run has taken, in all its attempts together."""

import asyncio
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True, slots=True)
class ShopClocks:
    """The clocks of a run's shops, by partition key. `deadline`: how long reading one may take.

    The time does not count in which a platform works for the adapter without being read.
    """

    deadline: timedelta
    _spent: dict[str, float] = field(default_factory=dict[str, float])
    _awaited: dict[str, float] = field(default_factory=dict[str, float])
    _began: dict[str, datetime] = field(default_factory=dict[str, datetime])

    @contextmanager
    def running(self, partition_key: str) -> Generator[None]:
        """Let the shop's clock run while the block does."""
        began = time.monotonic()
        self._began.setdefault(partition_key, datetime.now(UTC))
        try:
            yield
        finally:
            spent = time.monotonic() - began - self._awaited.pop(partition_key, 0.0)
            self._spent[partition_key] = self._spent.get(partition_key, 0.0) + spent

    def began(self, partition_key: str) -> datetime:
        """When the first attempt at the shop began; now, if none did."""
        return self._began.get(partition_key) or datetime.now(UTC)

    def timeout(self, partition_key: str) -> asyncio.Timeout:
        """A timeout of what is left to the shop."""
        return asyncio.timeout(self.deadline.total_seconds() - self._spent.get(partition_key, 0.0))

    @contextmanager
    def stopped(self, partition_key: str, deadline: asyncio.Timeout) -> Generator[None]:
        """Stop the shop's clock, and its timeout, while the block runs."""
        clock = asyncio.get_running_loop().time
        began, until = clock(), deadline.when()
        if until is None or deadline.expired():
            # The block is inside of another one, or the deadline has come.
            yield
            return
        deadline.reschedule(None)
        try:
            yield
        finally:
            awaited = clock() - began
            deadline.reschedule(until + awaited)
            self._awaited[partition_key] = self._awaited.get(partition_key, 0.0) + awaited
