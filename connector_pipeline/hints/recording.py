"""Records deliveries in Postgres: those that arrive together share a transaction.

A commit takes as long as the disk, so that one for each delivery would bound their number. While
one transaction is under way, the deliveries that arrive wait for the next.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import psycopg

from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.postgres.bounded_connection import under
from connector_pipeline.postgres.database import Database
from connector_pipeline.postgres.limits import DELIVERING
from connector_pipeline.postgres.savepoint import OF_THE_DATA
from connector_pipeline.state import deliveries
from connector_pipeline.state.deliveries import ReceivedDelivery

MOST_IN_A_TRANSACTION: Final = 500
MOST_WAITING: Final = 5_000
"""Deliveries. One more is refused, so that the platform delivers it again later."""
ANSWER_WITHIN_SECONDS: Final = 4.0
"""A platform may wait for five (docs/facts/shopify.md, Webhooks). A delivery that is committed later is known when it is repeated."""

_log: Final = logging.getLogger(__name__)


class NotRecorded(ConnectorError):
    """A delivery could not be recorded now."""

    default_remedy = "The platform delivers it again."


class Unstorable(ConnectorError):
    """Postgres refuses what a delivery says."""


def record_in(database: Database, received: Sequence[ReceivedDelivery]) -> list[bool]:
    """Record these in one transaction, as `deliveries.record` does. Raises what psycopg raises."""
    with database.connect() as connection, under(connection, DELIVERING):
        return deliveries.record(connection, received)


class Recorder:
    """Records deliveries, for one event loop."""

    def __init__(self, record: Callable[[Sequence[ReceivedDelivery]], list[bool]]):
        self._record = record
        self._waiting: deque[tuple[ReceivedDelivery, asyncio.Future[bool]]] = deque()
        self._task: asyncio.Task[None] | None = None
        # A thread of its own: questions to the Token Service must not delay it.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="deliveries")

    async def record(self, received: ReceivedDelivery) -> bool:
        """Returns, after the commit, whether the delivery is one of ours.

        Raises NotRecorded if it is not known to be committed, Unstorable.
        """
        if len(self._waiting) >= MOST_WAITING:
            raise NotRecorded(f"{MOST_WAITING} deliveries wait already.")
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((received, done))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._commit_all())
        try:
            async with asyncio.timeout(ANSWER_WITHIN_SECONDS):
                return await done
        except TimeoutError:
            raise NotRecorded(
                f"Postgres has not committed it for {ANSWER_WITHIN_SECONDS:.0f} s."
            ) from None

    async def _commit_all(self) -> None:
        while self._waiting:
            number = min(len(self._waiting), MOST_IN_A_TRANSACTION)
            batch = [self._waiting.popleft() for _ in range(number)]
            # Nobody waits any more for one that was given up.
            batch = [(received, done) for received, done in batch if not done.done()]
            if batch:
                await self._commit(batch)

    async def _commit(self, batch: list[tuple[ReceivedDelivery, asyncio.Future[bool]]]) -> None:
        loop = asyncio.get_running_loop()
        try:
            ours = await loop.run_in_executor(
                self._thread, self._record, [received for received, _ in batch]
            )
        except OF_THE_DATA as error:
            if len(batch) > 1:
                for one in batch:
                    await self._commit([one])
                return
            _settle(batch, Unstorable(f"Postgres refuses it: {type(error).__name__}."))
        except (ConnectorError, psycopg.Error) as error:
            message = error.message if isinstance(error, ConnectorError) else type(error).__name__
            _log.error("%d deliveries were not recorded: %s", len(batch), message)
            _settle(batch, NotRecorded(message))
        except Exception:
            _log.exception("%d deliveries were not recorded.", len(batch))
            _settle(batch, NotRecorded("an error of ours; the log has it."))
        else:
            for (_, done), each in zip(batch, ours, strict=True):
                if not done.done():
                    done.set_result(each)


def _settle(
    batch: Sequence[tuple[ReceivedDelivery, asyncio.Future[bool]]], error: Exception
) -> None:
    for _, done in batch:
        if not done.done():
            done.set_exception(error)
