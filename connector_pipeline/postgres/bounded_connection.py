"""A connection that does not wait for ever, and learns meanwhile whom its statement waits for.

psycopg waits until the server answers, and a server whose process is stopped, or whose disk hangs,
keeps its sockets open and never does. `statement_timeout` does not help, as the server itself has
to act on it.
"""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from enum import Enum
from typing import Any, Final, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.rows import TupleRow

from connector_pipeline.postgres.limits import ORDINARY, Limits

T = TypeVar("T")

_LOOKS_AFTER: Final = 0.75
"""The part of the bound of a lock after which we look who holds it: it is freed at the end."""


class Pooling(Enum):
    """A pooler of connections in between: what it gives a client a session of the server for."""

    SESSIONS = "as long as the client is connected"
    TRANSACTIONS = "a transaction"


class ServerSilent(psycopg.OperationalError):
    """The server has the connection, and has not answered a statement for too long."""


class BoundedConnection(psycopg.Connection[TupleRow]):
    """A psycopg connection under Limits. `blocked_by` is set once a statement has waited long.

    `pooled` is None where no pooler is in between.
    """

    limits: Limits = ORDINARY
    look_for_blockers: Callable[[], str | None] | None = None
    blocked_by: str | None = None
    pooled: Pooling | None = None

    def wait(self, gen: PQGen[T], *args: Any, **options: Any) -> T:
        """Wait as psycopg does, and raise ServerSilent past the limits' `longest_silence`."""
        return super().wait(self._bounded(gen), *args, **options)

    def _bounded(self, gen: PQGen[T]) -> PQGen[T]:
        silence = self.limits.longest_silence
        look_at = self.limits.lock.total_seconds() * _LOOKS_AFTER
        heard = time.monotonic()
        looked = False
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                waited = time.monotonic() - heard
                if ready:
                    heard = time.monotonic()
                elif silence is not None and waited > silence:
                    self.pgconn.finish()
                    raise ServerSilent(f"the server has not answered for {waited:.0f} s")
                elif not looked and waited > look_at:
                    looked = True
                    self._look()
                wanted = gen.send(ready)
        except StopIteration as end:
            return end.value

    def _look(self) -> None:
        if self.look_for_blockers is not None:
            self.blocked_by = self.look_for_blockers()


@contextmanager
def under(connection: psycopg.Connection, limits: Limits) -> Generator[None]:
    """Set other limits for the rest of the transaction, which ends with the block."""
    bounded = connection if isinstance(connection, BoundedConnection) else None
    before = ORDINARY if bounded is None else bounded.limits
    if bounded is not None:
        bounded.limits = limits
    try:
        connection.execute(limits.statements("SET LOCAL").encode())
        yield
    finally:
        if bounded is not None:
            bounded.limits = before
