"""Locks in Postgres, so that one run at a time fetches a shop."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Final, Self, TypeVar

from connector_pipeline.model.errors import DatabaseUnavailable, ShopBusy
from connector_pipeline.postgres import named_locks
from connector_pipeline.postgres.bounded_connection import BoundedConnection
from connector_pipeline.postgres.connections import open_connection, outages_of, unavailable
from connector_pipeline.postgres.database import Database
from connector_pipeline.postgres.limits import Limits
from connector_pipeline.postgres.outages import OUTAGES
from connector_pipeline.sync.interruptible import in_thread

T = TypeVar("T")

APPLICATION_NAME: Final = "connector-pipeline run "
"""Followed by the Dagster run's id, so that `pg_stat_activity` shows which run holds a lock."""

WATCHED_EVERY_SECONDS: Final = 1.0

_ANSWERS_WITHIN_MILLISECONDS: Final = 10_000
_KEEPALIVES: Final = {"tcp_keepalives_idle": 30, "tcp_keepalives_interval": 10}
"""If a machine vanishes, the server frees its locks after 30 s of silence and three unanswered
probes. A machine that is only cut off has stopped reading by then: its own statements fail after
_ANSWERS_WITHIN_MILLISECONDS."""

_ANSWERS: Final = Limits(
    statement=timedelta(seconds=10), lock=timedelta(seconds=10), margin=timedelta(seconds=2)
)
"""All statements are about a row or two. A server that hangs for longer may have lost the locks."""


@dataclass(frozen=True, slots=True)
class _Session:
    """The connection that holds a run's locks (postgres/named_locks.py), and its key to them."""

    connection: BoundedConnection
    key: int

    def take(self, partition_key: str, run_id: str) -> str | None:
        return named_locks.take(
            self.connection, self.key, lock_name(partition_key), holder=f"Dagster run {run_id}"
        )

    def release(self, partition_key: str) -> None:
        named_locks.release(self.connection, self.key, lock_name(partition_key))


def lock_name(partition_key: str) -> str:
    """The name of the lock under which one run at a time fetches the shop."""
    # Not the name of the publish lock (catalog/publish_lock.py): a shop's newest snapshot may be
    # published while the shop is fetched.
    return f"fetch {partition_key}"


@dataclass(frozen=True, slots=True)
class _Held:
    """A held lock: its session, and the timeout that cancels the work under a lost lock."""

    session: _Session
    lost: asyncio.Timeout


class _SessionLost(Exception):
    def __init__(self, session: _Session, error: DatabaseUnavailable):
        super().__init__(str(error))
        self.session = session
        self.error = error


class ShopLocks:
    """The locks of one run's shops, all held by one connection. A context manager of one loop.

    The locks end with the process, whatever ends it. If the connection is lost, so are the locks,
    and another run may take them a moment later. So the connection is checked every second; when it
    is gone, all work under its locks is cancelled and fails as DatabaseUnavailable.
    """

    def __init__(self, database: Database, *, run_id: str):
        self._database = database
        self._run_id = run_id
        self._session: _Session | None = None
        self._one_at_a_time = threading.Lock()
        self._held: dict[str, _Held] = {}
        self._watching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._watching is not None:
            self._watching.cancel()
        await in_thread(self._close)

    @asynccontextmanager
    async def hold(self, partition_key: str) -> AsyncGenerator[None]:
        """Hold the shop's lock while the body runs.

        Raises ShopBusy at once if another run holds the lock, and names that run;
        DatabaseUnavailable if Postgres does not answer or the lock was lost.
        """
        session, holder = await self._asked(
            lambda session: (session, session.take(partition_key, self._run_id))
        )
        if holder is not None:
            raise ShopBusy(f"{holder} has the shop.", partition_key=partition_key)
        lost = asyncio.timeout(None)
        try:
            async with lost:
                self._held[partition_key] = _Held(session, lost)
                yield
        except TimeoutError:
            if not lost.expired():
                raise
            raise DatabaseUnavailable(
                "the connection that held the shop's lock was lost; reading was stopped, because "
                "another run may have taken the lock.",
                partition_key=partition_key,
            ) from None
        finally:
            # A lost lock is no longer in `_held`, and another run may hold it.
            if self._held.pop(partition_key, None) is not None:
                with suppress(DatabaseUnavailable):
                    await self._asked(lambda session: session.release(partition_key))

    async def _asked(self, question: Callable[[_Session], T]) -> T:
        try:
            return await in_thread(self._ask, question)
        except _SessionLost as lost:
            self._drop_held(lost.session)
            raise lost.error from None

    def _drop_held(self, session: _Session) -> None:
        now = asyncio.get_running_loop().time()
        for key in [key for key, held in self._held.items() if held.session is session]:
            self._held.pop(key).lost.reschedule(now)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCHED_EVERY_SECONDS)
            if self._held:
                with suppress(DatabaseUnavailable):
                    await self._asked(lambda session: session.connection.execute("SELECT 1"))

    def _ask(self, question: Callable[[_Session], T]) -> T:
        with self._one_at_a_time:
            session = self._session = self._session or self._begun()
            try:
                return question(session)
            except OUTAGES as error:
                session.connection.close()
                self._session = None
                named = unavailable(error, self._database.connection_url())
                raise _SessionLost(session, named) from None

    def _begun(self) -> _Session:
        url = self._database.connection_url()
        connection = open_connection(
            url,
            limits=_ANSWERS,
            application_name=APPLICATION_NAME + self._run_id,
            tcp_user_timeout=str(_ANSWERS_WITHIN_MILLISECONDS),
        )
        with outages_of(connection, url):
            try:
                connection.autocommit = True
                for name, seconds in _KEEPALIVES.items():
                    connection.execute(
                        "SELECT pg_catalog.set_config(%s, %s, false)", (name, str(seconds))
                    )
                return _Session(connection, named_locks.begin_session(connection))
            except BaseException:
                connection.close()
                raise

    def _close(self) -> None:
        with self._one_at_a_time:
            if self._session is not None:
                self._session.connection.close()
                self._session = None
