"""Advisory locks of Postgres, so that one run at a time fetches a shop."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self, TypeVar

import psycopg

from connector_pipeline.model.errors import DatabaseUnavailable, ShopBusy
from connector_pipeline.postgres.connections import open_connection, unavailable
from connector_pipeline.postgres.database import Database
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

# Another seed than that of the publish lock (catalog/publish_lock.py): a shop's newest snapshot may
# be published while the shop is fetched.
_KEY: Final = "hashtextextended(%(partition_key)s, 1)"
_TRY: Final = f"SELECT pg_try_advisory_lock({_KEY})"
_UNLOCK: Final = f"SELECT pg_advisory_unlock({_KEY})"
_HOLDER: Final = f"""
    SELECT session.application_name
    FROM pg_locks AS held JOIN pg_stat_activity AS session USING (pid)
    WHERE held.locktype = 'advisory' AND held.objsubid = 1 AND held.granted
        AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND held.classid = (({_KEY} >> 32) & 4294967295)::oid
        AND held.objid = ({_KEY} & 4294967295)::oid
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class _Held:
    """A held lock: its connection, and the timeout that cancels the work under a lost lock."""

    connection: psycopg.Connection
    lost: asyncio.Timeout


class _ConnectionLost(Exception):
    def __init__(self, connection: psycopg.Connection, error: DatabaseUnavailable):
        super().__init__(str(error))
        self.connection = connection
        self.error = error


class ShopLocks:
    """The locks of one run's shops, all held by one connection. A context manager of one loop.

    The locks end with the process, whatever ends it. If the connection is lost, so are the locks,
    and another run may take them a moment later. So the connection is checked every second; when it
    is gone, all work under its locks is cancelled and fails as DatabaseUnavailable.
    """

    def __init__(self, database: Database, *, run_id: str):
        self._database = database
        self._application_name = APPLICATION_NAME + run_id
        self._connection: psycopg.Connection | None = None
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
        connection, holder = await self._asked(
            lambda connection: (connection, _try(connection, partition_key))
        )
        if holder is not None:
            raise ShopBusy(f"{holder} is fetching the shop.", partition_key=partition_key)
        lost = asyncio.timeout(None)
        try:
            async with lost:
                self._held[partition_key] = _Held(connection, lost)
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
                    await self._asked(lambda connection: _unlock(connection, partition_key))

    async def _asked(self, question: Callable[[psycopg.Connection], T]) -> T:
        try:
            return await in_thread(self._ask, question)
        except _ConnectionLost as lost:
            self._drop_held(lost.connection)
            raise lost.error from None

    def _drop_held(self, connection: psycopg.Connection) -> None:
        now = asyncio.get_running_loop().time()
        for key in [key for key, held in self._held.items() if held.connection is connection]:
            self._held.pop(key).lost.reschedule(now)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCHED_EVERY_SECONDS)
            if self._held:
                with suppress(DatabaseUnavailable):
                    await self._asked(lambda connection: connection.execute("SELECT 1"))

    def _ask(self, question: Callable[[psycopg.Connection], T]) -> T:
        with self._one_at_a_time:
            connection = self._connection = self._connection or self._connected()
            try:
                return question(connection)
            except psycopg.OperationalError as error:
                connection.close()
                self._connection = None
                named = unavailable(error, self._database.connection_url())
                raise _ConnectionLost(connection, named) from None

    def _connected(self) -> psycopg.Connection:
        connection = open_connection(
            self._database.connection_url(),
            application_name=self._application_name,
            tcp_user_timeout=str(_ANSWERS_WITHIN_MILLISECONDS),
        )
        connection.autocommit = True
        for name, seconds in _KEEPALIVES.items():
            connection.execute("SELECT set_config(%s, %s, false)", (name, str(seconds)))
        return connection

    def _close(self) -> None:
        with self._one_at_a_time:
            if self._connection is not None:
                self._connection.close()
                self._connection = None


def _try(connection: psycopg.Connection, partition_key: str) -> str | None:
    """Take the shop's lock and return None; if it is taken, return the name of its holder."""
    values = {"partition_key": partition_key}
    [(taken,)] = connection.execute(_TRY, values).fetchall()
    if taken:
        return None
    for (name,) in connection.execute(_HOLDER, values).fetchall():
        if name.startswith(APPLICATION_NAME):
            return f"Dagster run {name.removeprefix(APPLICATION_NAME)}"
    return "another run"


def _unlock(connection: psycopg.Connection, partition_key: str) -> None:
    connection.execute(_UNLOCK, {"partition_key": partition_key})
