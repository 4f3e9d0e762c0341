"""The Postgres that holds the schemas `catalog` and `connector`, and connections to it."""

from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psycopg

from connector_pipeline.model.errors import DatabaseUnavailable
from connector_pipeline.postgres.at_revision import connect_at_needed_revision
from connector_pipeline.postgres.embedded.postmaster import running_server
from connector_pipeline.settings import load_settings


@dataclass(frozen=True, slots=True)
class Database:
    """Connections to the catalog's Postgres. Many threads may use it at once.

    An empty `url` means CONNECTOR_DATABASE_URL at the time when a connection is opened, else the
    embedded server if it runs under CONNECTOR_HOME. The URL may hold a password: never show it.
    """

    url: str = field(default="", repr=False)

    @contextmanager
    def connect(self) -> Generator[psycopg.Connection]:
        """A connection, committed at the end and rolled back on an exception.

        The next user in this process may get the same one (see `pooled_connection`), but not
        before the block has ended. Raises DatabaseUnavailable, DatabaseNotMigrated and
        SchemaNotOurs.
        """
        with connect_at_needed_revision(self.connection_url()) as connection:
            yield connection

    @contextmanager
    def connect_for_statements(self) -> Generator[psycopg.Connection]:
        """As `connect`, and each statement is a transaction of its own.

        So one statement is one round trip and not three.
        """
        with self.connect() as connection:
            # The comparison of the revision may have begun one.
            connection.commit()
            connection.autocommit = True
            try:
                yield connection
            finally:
                # One that cannot be set back is not kept for the next user.
                with suppress(psycopg.Error):
                    connection.autocommit = False

    def connection_url(self) -> str:
        """The URL in use, password included: for a connection, never to be shown.

        Raises DatabaseUnavailable if none is set and the embedded server does not run.
        """
        return self.url or _url_from_environment()


def _url_from_environment() -> str:
    settings = load_settings()
    if settings.connector_database_url is not None:
        return settings.connector_database_url.get_secret_value()
    server = running_server(settings.home)
    if server is None:
        raise DatabaseUnavailable(
            f"CONNECTOR_DATABASE_URL is not set and no embedded Postgres runs under "
            f"{settings.home}.",
            remedy="Run `connector-pipeline dev`, or set CONNECTOR_DATABASE_URL.",
        )
    return server.url("catalog")
