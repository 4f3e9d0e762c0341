"""Connections that a process keeps between their uses.

Opening one costs the server a process and us several round trips, which is more than most of our
statements cost. The pool never makes a user wait: where no kept connection is free, it opens one,
so a thread may hold one and ask for a second, and a server that refuses is reported at once in its
own words. (psycopg_pool connects in threads of its own. If the server refuses, its user waits for
a timeout and does not learn the reason.)
"""

import atexit
import os
import select
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg.pq import ExecStatus, TransactionStatus

from connector_pipeline.model.errors import DatabaseUnavailable
from connector_pipeline.postgres.bounded_connection import BoundedConnection
from connector_pipeline.postgres.connections import (
    CONNECT_TIMEOUT_SECONDS,
    open_connection,
    outages_of,
)

MOST_KEPT: Final = 8
"""Idle connections that a process keeps. The threads of a run rarely use more at one moment."""
MOST_AT_ONCE: Final = 16
"""Threads of a process that use connections at one time. Python has as many threads for blocking
calls as the machine has cores, and four, so a server's slots would depend on the machine."""
LONGEST_WAIT_SECONDS: Final = 60.0
"""For a place; as long as an ordinary statement may take."""
KEPT_IDLE_SECONDS: Final = 60.0
"""Then an idle one is closed. The sensors of a code server use theirs more often than that."""
ASKED_AFTER_SECONDS: Final = 1.0
"""An idle one is asked whether it works, unless it was used less long ago and the server has sent
nothing since. A server that ends a session says so. The threads of a run hand one connection on
every few milliseconds."""
LONGEST_LIFE_SECONDS: Final = 1_800.0
"""An older one is closed after its use: the server frees what the session cached, and the next
connection goes to where the host's name leads by then."""


@dataclass(frozen=True, slots=True)
class _Connection:
    url: str
    driver: BoundedConnection
    opened_at: float


@contextmanager
def pooled_connection(url: str) -> Generator[BoundedConnection]:
    """A connection as `connect` gives it; after its use it is kept for the next user.

    So nobody may leave anything of the session behind: use SET LOCAL, locks of the transaction and
    temporary tables without rows. What needs a session of its own uses `connect`.
    Raises DatabaseUnavailable as `connect` does, and past LONGEST_WAIT_SECONDS without a place.
    """
    with _place():
        connection = _pool.take(url) or _opened(url)
        connection.driver.blocked_by = None
        try:
            with outages_of(connection.driver, url):
                try:
                    yield connection.driver
                except BaseException as error:
                    # A connection that cannot be rolled back is not kept.
                    with suppress(psycopg.Error):
                        connection.driver.rollback()
                    if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
                        # A session of a former primary, or of a database that took no writes when
                        # the session began, stays one for ever; a new one may be another.
                        connection.driver.close()
                        _pool.close_idle(url)
                    raise
                connection.driver.commit()
        finally:
            _pool.put_back(connection)


@contextmanager
def _place() -> Generator[None]:
    """A place for this thread, unless it has one."""
    if getattr(_has_place, "now", False):
        yield
        return
    # A process that was forked meanwhile has others.
    places = _pool.places
    if not places.acquire(timeout=LONGEST_WAIT_SECONDS):
        raise DatabaseUnavailable(
            f"{MOST_AT_ONCE} threads of this process have used their connections to Postgres for "
            f"{LONGEST_WAIT_SECONDS:.0f} s, and one more waited in vain.",
            remedy="See in pg_stat_activity what slows or blocks the server; the next sync tries "
            "again.",
        )
    _has_place.now = True
    try:
        yield
    finally:
        _has_place.now = False
        places.release()


def close_idle_connections() -> None:
    """Close the connections that are kept. Those in use are kept or closed after their use."""
    _pool.close_idle()


def _opened(url: str) -> _Connection:
    driver = open_connection(url)
    # Prepared statements would outlive a migration, and are lost behind a pooler of transactions.
    driver.prepare_threshold = None
    return _Connection(url, driver, time.monotonic())


class _Pool:
    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._idle: list[tuple[float, _Connection]] = []
        """With the times since when: the longest idle first."""
        self._closing: threading.Thread | None = None
        self._of_the_parent: list[_Connection] = []
        self.places = threading.Semaphore(MOST_AT_ONCE)

    def take(self, url: str) -> _Connection | None:
        """The connection to this database that was used last, if it still works."""
        with self._lock:
            fitting = [each for each in self._idle if each[1].url == url]
            if not fitting:
                return None
            self._idle.remove(fitting[-1])
        since, connection = fitting[-1]
        used_lately = time.monotonic() - since < ASKED_AFTER_SECONDS
        if used_lately and _has_sent_nothing(connection.driver):
            return connection
        if _answers(connection.driver):
            return connection
        # The server was restarted or cannot be reached, so the others do not work either.
        connection.driver.close()
        self.close_idle(url)
        return None

    def put_back(self, connection: _Connection) -> None:
        """Keep a connection after its use, or close it."""
        now = time.monotonic()
        if not _reusable(connection.driver) or now - connection.opened_at > LONGEST_LIFE_SECONDS:
            connection.driver.close()
            return
        with self._lock:
            self._idle.append((now, connection))
            surplus = self._idle[:-MOST_KEPT]
            del self._idle[:-MOST_KEPT]
            if self._closing is None:
                self._closing = threading.Thread(
                    target=self._close_the_long_idle, name="idle-connections", daemon=True
                )
                self._closing.start()
        for _, one_too_many in surplus:
            one_too_many.driver.close()

    def close_idle(self, url: str | None = None) -> None:
        """Close the idle connections to this database, or all."""
        with self._lock:
            closed = [each for each in self._idle if url in (None, each[1].url)]
            self._idle = [each for each in self._idle if each not in closed]
            self._lock.notify_all()
        for _, connection in closed:
            connection.driver.close()

    def forget(self) -> None:
        """Use none of them any more, in a process that was forked: they are the parent's.

        They are not closed, because that would end the parent's sessions.
        """
        self._of_the_parent += [connection for _, connection in self._idle]
        self._lock, self._idle, self._closing = threading.Condition(), [], None
        self.places = threading.Semaphore(MOST_AT_ONCE)

    def _close_the_long_idle(self) -> None:
        with self._lock:
            while self._idle:
                since, connection = self._idle[0]
                wait = since + KEPT_IDLE_SECONDS - time.monotonic()
                if wait > 0:
                    self._lock.wait(wait)
                else:
                    del self._idle[0]
                    connection.driver.close()
            self._closing = None


def _has_sent_nothing(driver: psycopg.Connection) -> bool:
    readable = select.poll()
    try:
        readable.register(driver.pgconn.socket, select.POLLIN)
    except psycopg.OperationalError:
        return False
    return not readable.poll(0)


def _answers(driver: psycopg.Connection) -> bool:
    """Whether the server answers an empty query, in the time that a new connection may take.

    Not by `execute`, which would begin a transaction and wait for a stopped server for ever.
    """
    until = time.monotonic() + CONNECT_TIMEOUT_SECONDS
    answer = None
    try:
        driver.pgconn.send_query(b"")
        readable = select.poll()
        readable.register(driver.pgconn.socket, select.POLLIN)
        while True:
            if driver.pgconn.flush() or driver.pgconn.is_busy():
                if not readable.poll(max(0.0, until - time.monotonic()) * 1000):
                    return False
                driver.pgconn.consume_input()
            elif (result := driver.pgconn.get_result()) is not None:
                answer = result.status
            else:
                break
    except psycopg.OperationalError:
        return False
    return answer == ExecStatus.EMPTY_QUERY


def _reusable(driver: psycopg.Connection) -> bool:
    return (
        driver.info.transaction_status == TransactionStatus.IDLE
        and not driver.autocommit
        and driver.isolation_level == psycopg.IsolationLevel.READ_COMMITTED
    )


_has_place: Final = threading.local()
_pool: Final = _Pool()
atexit.register(_pool.close_idle)
os.register_at_fork(after_in_child=_pool.forget)
