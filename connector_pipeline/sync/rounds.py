"""Fetch a run's shops in two rounds, several at once, each under its lock."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

from connector_pipeline.archive.manifest import SnapshotManifest
from connector_pipeline.model.errors import (
    ConnectorError,
    DeadlineExceeded,
    ShopBusy,
    ShopDisconnected,
    SyncInterrupted,
)
from connector_pipeline.state.refusals import Share
from connector_pipeline.sync.fetch import ShopFetcher
from connector_pipeline.sync.interruptible import in_thread
from connector_pipeline.sync.locks import ShopLocks
from connector_pipeline.sync.outcomes import Outcomes
from connector_pipeline.sync.places import Places

_LOCK_TRIED_EVERY: Final = 1.0
"""Seconds between two attempts to take the lock of a shop that another run fetches."""


def worth_another_round(error: ConnectorError) -> bool:
    """Whether the run tries the shop again, because its trouble may be over by then.

    A refusal may pass within seconds, as an overload does. A shop whose time is up, or that another
    run fetches, has waited already and is not tried again.
    """
    if isinstance(error, DeadlineExceeded | ShopBusy):
        return False
    return error.retryable or isinstance(error, ShopDisconnected)


class FetchRounds:
    """Fetches a run's shops, as many at once as `places` allow. Of one event loop; used once.

    A shop that another run fetches is waited for, without a place, for `wait` seconds. A shop
    whose trouble may pass is tried once more when all others are done, and at least `again_after`
    seconds after it failed. Until then its sync stays recorded as running; the second attempt goes
    on after the pages that the first one archived. A refusal that stays is judged at the very end,
    when the run knows how many shops of the platform were refused. `fetched` is called with the
    partition key of each shop that was fetched, once its lock is free; it must not block.
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
        self._refused: dict[str, ShopDisconnected] = {}
        self._tried: set[str] = set()

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
            await self._judge_refusals()
        finally:
            # A run that was interrupted between the rounds makes no second one, and judges nothing.
            # Its retry tries these again.
            for key, error in self._postponed.items():
                self._fetcher.record_failure(
                    key,
                    SyncInterrupted(
                        f"the run ended before it tried the shop once more. At first: {error}"
                    ),
                )
            for key, error in self._refused.items():
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
            if isinstance(error, ShopDisconnected):
                self._refused[partition_key] = error
            else:
                await self._failed(partition_key, error)

    async def _judge_refusals(self) -> None:
        """Record the refusals that stayed, each beside the others of its platform in this run."""
        refused = Counter(_platform_of(key) for key in self._refused)
        tried = Counter(_platform_of(key) for key in self._tried)
        for key in list(self._refused):
            platform_name = _platform_of(key)
            share = Share(refused[platform_name], tried[platform_name])
            await self._failed(key, self._refused.pop(key), refused_in_run=share)

    async def _attempt(self, partition_key: str) -> None:
        begun = False
        try:
            async with self._place_and_lock(partition_key):
                self._postponed.pop(partition_key, None)
                begun = True
                self._tried.add(partition_key)
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

    async def _failed(
        self, partition_key: str, error: ConnectorError, *, refused_in_run: Share | None = None
    ) -> None:
        record = partial(
            self._fetcher.record_failure, partition_key, error, refused_in_run=refused_in_run
        )
        self._outcomes.fail(partition_key, await in_thread(record))


def _platform_of(partition_key: str) -> str:
    return partition_key.partition("/")[0]
