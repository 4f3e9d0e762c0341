"""The partition keys of the registry: for the completion of a shell, and for a mistyped key.

Both are a kindness: without a database they have nothing to say, and never fail a command.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

import psycopg
from psycopg.conninfo import make_conninfo

from connector_pipeline.cli.dev_session import running_session
from connector_pipeline.cli.local_services import SchemaUse, database_services, database_url
from connector_pipeline.postgres.connections import connect
from connector_pipeline.postgres.limits import LOOKING
from connector_pipeline.settings import Settings, load_settings
from connector_pipeline.state.unknown_shops import shops_like

_MOST: Final = 50
_CONNECT_SECONDS: Final = 2

_BEGINNING: Final = """
    SELECT platform_name || '/' || domain AS key FROM connector.shops
    WHERE starts_with(platform_name || '/' || domain, %s)
    ORDER BY key LIMIT %s
"""


def beginning_with(incomplete: str) -> list[str]:
    """The first keys that begin so; none where no database answers at once."""
    with suppress(Exception):
        url = _answering(load_settings())
        if url is not None:
            with _connected(url) as connection:
                found = connection.execute(_BEGINNING, [incomplete, _MOST]).fetchall()
                return [key for (key,) in found]
    return []


def did_you_mean(typed: str) -> str:
    """A sentence with the registered keys that are like what was typed, empty if none is."""
    with suppress(Exception):
        if alike := _alike(typed):
            return f" Did you mean {' or '.join(alike)}?"
    return ""


def _alike(typed: str) -> Sequence[str]:
    settings = load_settings()
    url = _answering(settings)
    if url is not None:
        with _connected(url) as connection:
            return shops_like(connection, typed)
    # The embedded server stands still: the command itself would have started it.
    with (
        database_services(SchemaUse.ROWS) as started,
        connect(database_url(started), limits=LOOKING) as connection,
    ):
        return shops_like(connection, typed)


def _answering(settings: Settings) -> str | None:
    """The URL of a database that is there without us; None if the embedded one would have to be
    started."""
    if settings.connector_database_url is not None:
        return settings.connector_database_url.get_secret_value()
    session = running_session(settings.home)
    return None if session is None else session.database_url


@contextmanager
def _connected(url: str) -> Generator[psycopg.Connection]:
    with connect(
        make_conninfo(url, connect_timeout=_CONNECT_SECONDS), limits=LOOKING
    ) as connection:
        yield connection
