"""A look at each pooled connection before it is used: the server may have been restarted.

No event of Dagster's may be lost to that. SQLAlchemy's own look (`pool_pre_ping`) is a statement
before each use, and Dagster uses a connection for nearly every statement: they were two of five
statements of a run. A server that ends a session says so, or its system closes the connection, so
a connection that was in use a moment ago is asked only if something waits to be read on it.

Needs: nothing of Dagster's; the events `checkin` and `checkout` of SQLAlchemy, and psycopg2's
`fileno`. Here because the pool of Dagster's storage alone is SQLAlchemy's.
"""

import select
import time
from typing import Any, Final

import psycopg2
from sqlalchemy import Engine
from sqlalchemy.event import listen
from sqlalchemy.exc import InvalidatePoolError

_ASKED_AFTER: Final = 2.0
"""Seconds unused. What is between us and the server may have dropped the connection silently."""
_USED_AT: Final = "connector_used_at"


def look_before_use(engine: Engine) -> None:
    """Have the engine's pool replace connections that their server has ended."""
    listen(engine, "checkin", _note_use)
    listen(engine, "checkout", _look)


def _note_use(connection: Any, record: Any) -> None:
    record.info[_USED_AT] = time.monotonic()


def _look(connection: Any, record: Any, _: object) -> None:
    used_at = record.info.get(_USED_AT)
    if used_at is None:
        # It was just made.
        return
    try:
        if time.monotonic() - used_at < _ASKED_AFTER and not _something_waits(connection):
            return
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except (psycopg2.Error, OSError, ValueError) as error:
        raise InvalidatePoolError("the server has ended the connection") from error


def _something_waits(connection: Any) -> bool:
    watched = select.poll()
    watched.register(connection.fileno(), select.POLLIN)
    return bool(watched.poll(0))
