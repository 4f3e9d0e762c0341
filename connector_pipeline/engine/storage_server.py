"""Whether Dagster's own Postgres can be reached, found out before Dagster looks for itself.

Dagster tries for 30 to 50 s, with a warning for each attempt and a traceback at the end, which may
show the URL.

Needs: Dagster's commands are click's, which print a ClickException in one line without a traceback.
Tried with Dagster 1.13.27.
"""

import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

import click
from psycopg.conninfo import make_conninfo
from sqlalchemy.dialects.postgresql.psycopg2 import dialect
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from connector_pipeline.model.errors import DatabaseUnavailable
from connector_pipeline.postgres.bounded_connection import BoundedConnection
from connector_pipeline.postgres.connections import connect, not_a_url, refuse_unreadable
from connector_pipeline.postgres.limits import LOOKING

SETTING: Final = "DAGSTER_POSTGRES_URL"

_TRIED_SECONDS: Final = 5.0
"""A server that is restarted, or that starts together with us, is there by then."""


class StorageUnavailable(DatabaseUnavailable, click.ClickException):
    """Dagster's own Postgres does not answer. It is printed in one line by Dagster's commands."""

    @property
    def code(self) -> str:
        """The name of the public error."""
        return DatabaseUnavailable.__name__

    def format_message(self) -> str:
        """The line that click prints."""
        return str(self)


@contextmanager
def storage_connection(url: str) -> Generator[BoundedConnection]:
    """A connection to Dagster's database, for a look. Raises DatabaseUnavailable."""
    # Dagster's tables are wherever the user's own search_path leads.
    with connect(
        conninfo(url), limits=LOOKING, setting=SETTING, search_path=None, shared=True
    ) as connection:
        yield connection


def wait_for_storage(url: str) -> None:
    """Return once the database can be connected to. Raises StorageUnavailable within 10 s or so."""
    until = time.monotonic() + _TRIED_SECONDS
    try:
        tried = make_conninfo(conninfo(url), connect_timeout=int(_TRIED_SECONDS))
        refuse_unreadable(tried, SETTING)
        while True:
            try:
                with connect(tried, limits=LOOKING, setting=SETTING, search_path=None, shared=True):
                    return
            except DatabaseUnavailable:
                if time.monotonic() > until:
                    raise
            time.sleep(0.5)
    except DatabaseUnavailable as error:
        raise StorageUnavailable(error.message, remedy=error.remedy) from None


def conninfo(url: str) -> str:
    """The URL as SQLAlchemy reads it, which Dagster connects with: libpq refuses a bare `%`."""
    try:
        _, options = dialect().create_connect_args(make_url(url))
    except (ArgumentError, ValueError):
        # The error's own text may show a part of the password.
        raise not_a_url(SETTING) from None
    named: dict[str, Any] = dict(options)
    return make_conninfo("", **named)
