"""Fetch a run's shops in two rounds, several at once, each under its lock."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from connector_pipeline.archive.manifest import SnapshotManifest
from connector_pipeline.model.errors import (
    ConnectorError,
    DeadlineExceeded,
    ShopBusy,
    SyncInterrupted,
)
from connector_pipeline.sync.fetch import ShopFetcher
from connector_pipeline.sync.interruptible import in_thread
from connector_pipeline.sync.locks import ShopLocks
from connector_pipeline.sync.outcomes import Outcomes
from connector_pipeline.sync.places import Places

_LOCK_TRIED_EVERY: Final = 1.0
"""Seconds between two attempts to take the lock of a shop that another run fetches."""


def worth_another_round(error: ConnectorError) -> bool:
    """Whether the run tries the shop again, because its trouble may be over by then.

    A shop whose time is up, or that another run fetches, has waited already and is not tried again.
    """
    return error.retryable and not isinstance(error, DeadlineExceeded | ShopBusy)


class FetchRounds:
    """Fetches a run's shops, as many at once as `places` allow. Of one event loop; used once.

    A shop that another run fetches is waited for, without a place, for `wait` seconds. A shop
    whose trouble may pass is tried once more when all others are done, and at least `again_after`
    seconds after it failed. Until then its sync stays recorded as running; the second attempt goes
    on after the pages that the first one archived. `fetched` is called with the partition key of
    each shop that was fetched, once its lock is free; it must not block.
    """

    def __init__(
        self,
        fetcher: ShopFetcher,
        outcomes: Outcomes[SnapshotManifest],
        *,
        places: Places,
        locks: ShopLocks,
        wait: float,
        again_after: float,
        fetched: Callable[[str], None],
    ):
        self._fetcher = fetcher
        self._outcomes = outcomes
        self._places = places
        self._locks = locks
        self._wait = wait
        self._again_after = again_after
        self._fetched = fetched
        self._postponed: dict[str, ConnectorError] = {}

    async def fetch(self, partition_keys: Iterable[str]) -> None:
        """Fetch every shop, and report its outcome."""
        try:
            async with asyncio.TaskGroup() as first:
                for key in partition_keys:
                    first.create_task(self._first(key))
            if self._postponed:
                async with asyncio.TaskGroup() as second:
                    for key in list(self._postponed):
                        second.create_task(self._second(key))
        finally:
            # A run that was cancelled between the rounds makes no second one.
            for key, error in self._postponed.items():
                self._fetcher.record_failure(key, error)

    async def _first(self, partition_key: str) -> None:
        try:
            await self._attempt(partition_key)
        except ConnectorError as error:
            if worth_another_round(error):
                self._postponed[partition_key] = error
                self._outcomes.postpone(partition_key, error)
                # The wait begins now, so a shop that failed early waits while others are read.
                await asyncio.sleep(self._again_after)
            else:
                await self._failed(partition_key, error)

    async def _second(self, partition_key: str) -> None:
        try:
            await self._attempt(partition_key)
        except ConnectorError as error:
            self._postponed.pop(partition_key, None)
            await self._failed(partition_key, error)

    async def _attempt(self, partition_key: str) -> None:
        begun = False
        try:
            async with self._place_and_lock(partition_key):
                self._postponed.pop(partition_key, None)
                begun = True
                manifest = await self._fetcher.fetch(partition_key)
        except asyncio.CancelledError:
            if begun:
                # Not awaited: a cancelled task cannot rely on being resumed by the loop.
                self._fetcher.record_failure(
                    partition_key, SyncInterrupted("the fetch was cancelled.")
                )
            raise
        for warning in manifest.warnings:
            self._outcomes.warn(partition_key, warning)
        self._outcomes.succeed(partition_key, manifest)
        self._fetched(partition_key)

    @asynccontextmanager
    async def _place_and_lock(self, partition_key: str) -> AsyncGenerator[None]:
        """Hold a place and the shop's lock while the body runs.

        Raises ShopBusy, DatabaseUnavailable.
        """
        loop = asyncio.get_running_loop()
        until: float | None = None
        while True:
            async with AsyncExitStack() as held:
                await held.enter_async_context(self._places.place())
                try:
                    await held.enter_async_context(self._locks.hold(partition_key))
                except ShopBusy as error:
                    busy = error
                else:
                    yield
                    return
            now = loop.time()
            until = now + self._wait if until is None else until
            if now >= until:
                raise busy
            await asyncio.sleep(min(_LOCK_TRIED_EVERY, until - now))

    async def _failed(self, partition_key: str, error: ConnectorError) -> None:
        await in_thread(self._fetcher.record_failure, partition_key, error)
        self._outcomes.fail(partition_key, error)
