"""The Database resource: which Postgres holds the schemas `catalog` and `connector`."""

from collections.abc import Generator
from contextlib import contextmanager

import dagster as dg
import psycopg

from connector_pipeline.model.errors import DatabaseUnavailable
from connector_pipeline.postgres.at_revision import connect_at_needed_revision
from connector_pipeline.postgres.embedded.postmaster import running_server
from connector_pipeline.settings import load_settings


class Database(dg.ConfigurableResource[None]):
    """Connections to the catalog's Postgres. Safe to use from many threads at once.

    `url` is left empty in definitions, because Dagster's UI shows a resource's configuration and
    the URL holds a password. Empty means CONNECTOR_DATABASE_URL, else the embedded server if it
    runs under CONNECTOR_HOME.
    """

    url: str = ""

    @contextmanager
    def connect(self) -> Generator[psycopg.Connection]:
        """A connection of one's own, committed at the end and rolled back on an exception.

        See `postgres.connect_at_needed_revision`. Raises DatabaseUnavailable, DatabaseNotMigrated
        and SchemaNotOurs.
        """
        with connect_at_needed_revision(self.connection_url()) as connection:
            yield connection

    def connection_url(self) -> str:
        """The URL in use, password included: for connecting, never for showing.

        Raises DatabaseUnavailable if none is set and the embedded server does not run.
        """
        return self.url or _url_from_environment()

    def __repr__(self) -> str:
        return "Database()"

    __str__ = __repr__


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
