"""Ends what waits for a Postgres that holds its connections and never answers.

psycopg2 waits for an answer without end. Neither TCP nor `statement_timeout` helps where the
server's processes stand still: the kernel still acknowledges what it gets, and nobody looks at the
clock. A statement that takes long may be a good one, so the server itself is asked first, over a
connection of its own. Only a server that does not answer that either is given up.

Needs: that Dagster's storages use the cursors of the engine that we give them. Tried with Dagster
1.13.27.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, suppress
from itertools import count
from typing import Any, Final, NamedTuple

import psycopg2
from psycopg2.extensions import connection as Psycopg2Connection  # noqa: N812
from psycopg2.extensions import cursor as Psycopg2Cursor  # noqa: N812

ASKED_AFTER: Final = 30.0
"""Seconds after which a server is asked whether it is there, and again after as many."""


ANSWERS_WITHIN: Final = 60.0
"""Seconds that a server may take for the least of statements, once it is connected. Behind a pooler
it waits for a session until then, because all may be in use by statements that take long."""


class _Place(NamedTuple):
    host: str | None
    port: int | None


class SilenceWatch:
    """Watches the statements of a process at the servers of one URL.

    `connect` is psycopg2's, with the URL's options, and gives up after `patience` seconds.
    """

    def __init__(self, connect: Callable[..., Any], *, patience: float):
        self._connect = connect
        self._patience = patience
        self._asked_after = ASKED_AFTER
        self._changed = threading.Condition()
        self._running: dict[int, tuple[Psycopg2Connection, float]] = {}
        self._numbers = count()
        self._watching = False

    @contextmanager
    def over(self, connection: Psycopg2Connection) -> Generator[None]:
        """Watch the connection while the block waits for its server."""
        number = next(self._numbers)
        with self._changed:
            self._running[number] = connection, time.monotonic() + self._asked_after
            if not self._watching:
                self._watching = True
                threading.Thread(target=self._watch, name="silent-server", daemon=True).start()
        try:
            yield
        finally:
            with self._changed:
                self._running.pop(number, None)

    def _watch(self) -> None:
        while True:
            with self._changed:
                if not self._running:
                    self._watching = False
                    return
                now = time.monotonic()
                due = [number for number, (_, until) in self._running.items() if until <= now]
                if not due:
                    self._changed.wait(self._asked_after / 2)
                    continue
                asked = [(number, self._running[number][0]) for number in due]
            # Once for all that lead to the same server: a look takes its time where none answers.
            answers: dict[_Place, bool] = {}
            for number, connection in asked:
                place = _place_of(connection)
                if place not in answers:
                    answers[place] = self._server_answers(place)
                with self._changed:
                    if number not in self._running:
                        continue
                    if answers[place]:
                        self._running[number] = connection, time.monotonic() + self._asked_after
                    else:
                        del self._running[number]
                        _cut(connection)

    def _server_answers(self, place: _Place) -> bool:
        began = time.monotonic()
        try:
            # Of several hosts the one that the connection leads to: another one may answer.
            with closing(self._connect(**place._asdict())) as asked, _cut_after(asked):
                # A pooler greets its clients itself, and a disk that hangs may be in no greeting.
                asked.cursor().execute("SELECT 1")
                return True
        except psycopg2.Error:
            # A refusal is an answer, e.g. that there are too many connections.
            return time.monotonic() - began < self._patience / 2


def watched_cursor(watch: SilenceWatch) -> type[Psycopg2Cursor]:
    """The class of cursors whose statements are watched, for psycopg2's `cursor_factory`."""

    class WatchedCursor(Psycopg2Cursor):
        def execute(self, *statement: Any, **values: Any) -> Any:
            with watch.over(self.connection):
                return super().execute(*statement, **values)

        def executemany(self, *statement: Any, **values: Any) -> Any:
            with watch.over(self.connection):
                return super().executemany(*statement, **values)

    return WatchedCursor


def _place_of(connection: Psycopg2Connection) -> _Place:
    try:
        at = connection.info
        return _Place(at.host, at.port)
    except psycopg2.Error:
        # It was closed meanwhile.
        return _Place(None, None)


@contextmanager
def _cut_after(connection: Psycopg2Connection) -> Generator[None]:
    timer = threading.Timer(ANSWERS_WITHIN, _cut, (connection,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _cut(connection: Psycopg2Connection) -> None:
    """End the connection under the thread that waits for it: libpq sees that it was closed."""
    # Closed or gone meanwhile.
    with suppress(OSError, psycopg2.Error), socket.socket(fileno=os.dup(connection.fileno())) as at:
        at.shutdown(socket.SHUT_RDWR)
