"""Whether a tick that found nothing to do may look on for what arrives.

`connector-pipeline dev` stops Dagster's daemon, which waits for its ticks. So it forbids them to
look on meanwhile, by an advisory lock, which no crash leaves behind.
"""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from typing import Final

import psycopg

from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.postgres.database import Database

_LOCK: Final = "connector.sync_queue looking on"


@contextmanager
def forbidden(database: Database) -> Generator[None]:
    """Let no tick over this database look on. Without a database the ticks end by themselves."""
    with suppress(ConnectorError, psycopg.Error), ExitStack() as held:
        with suppress(ConnectorError, psycopg.Error):
            connection = held.enter_context(database.connect())
            connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 2))", (_LOCK,))
        yield


def is_forbidden(connection: psycopg.Connection) -> bool:
    """Whether a process forbids ticks to look on just now."""
    [(allowed,)] = connection.execute(
        "SELECT pg_try_advisory_xact_lock_shared(hashtextextended(%s, 2))", (_LOCK,)
    ).fetchall()
    return not allowed
