"""Whether a tick that found nothing to do may look on for what arrives.

`connector-pipeline dev` stops Dagster's daemon, which waits for its ticks. So it forbids them to
look on meanwhile, by a lock, which no crash leaves behind.
"""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from typing import Final

import psycopg

from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.postgres import named_locks
from connector_pipeline.postgres.connections import connect
from connector_pipeline.postgres.database import Database

_LOCK: Final = "ticks do not look on"


@contextmanager
def forbidden(database: Database) -> Generator[None]:
    """Let no tick over this database look on. Without a database the ticks end by themselves."""
    with suppress(ConnectorError, psycopg.Error), ExitStack() as held:
        with suppress(ConnectorError, psycopg.Error):
            connection = held.enter_context(connect(database.connection_url()))
            connection.autocommit = True
            key = named_locks.begin_session(connection)
            # A second `dev` that stops at the same time finds it held, which is as well.
            named_locks.take(connection, key, _LOCK, holder="connector-pipeline dev, which stops")
            held.callback(_release, connection, key)
        yield


def is_forbidden(connection: psycopg.Connection) -> bool:
    """Whether a process forbids ticks to look on just now."""
    return named_locks.held_by(connection, _LOCK) is not None


def _release(connection: psycopg.Connection, key: int) -> None:
    with suppress(psycopg.Error):
        named_locks.release(connection, key, _LOCK)
