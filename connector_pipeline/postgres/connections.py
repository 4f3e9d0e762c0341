"""Connections to Postgres: how we open them, and errors about them that show no password."""

import re
from collections.abc import Generator
from contextlib import closing, contextmanager
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from connector_pipeline.model.errors import DatabaseUnavailable
from connector_pipeline.postgres.blocking import blockers
from connector_pipeline.postgres.bounded_connection import BoundedConnection, Pooling
from connector_pipeline.postgres.limits import ORDINARY, Limits
from connector_pipeline.postgres.outages import (
    CONNECTOR_DATABASE,
    OUTAGES,
    is_outage,
    outage,
    place_of,
)
from connector_pipeline.postgres.pooler import pooling, server_process

CONNECT_TIMEOUT_SECONDS: Final = 10

SEARCH_PATH: Final = "pg_catalog, pg_temp"
"""Our statements name the schema of each table. A function or operator without one is Postgres's
own: where the path has `public`, anybody who may make functions there can make ours call his."""


@contextmanager
def connect(
    url: str,
    *,
    limits: Limits = ORDINARY,
    setting: str = CONNECTOR_DATABASE,
    search_path: str | None = SEARCH_PATH,
    shared: bool = False,
) -> Generator[BoundedConnection]:
    """A connection, committed and closed at the end, rolled back and closed on an exception.

    Not in autocommit; READ COMMITTED; under the limits; the session's time zone is UTC and its
    search_path SEARCH_PATH (None: the user's own). Raises DatabaseUnavailable, with the server's
    message and the variable `setting` and never the password, if the server cannot be reached, ends
    the connection while it is in use, or takes longer than the limits; and behind a pooler of
    transactions, unless the user of the connection can do with a `shared` session, of which
    nothing is set then.
    """
    opened = open_connection(
        url, limits=limits, setting=setting, search_path=search_path, shared=shared
    )
    # psycopg itself leaves a connection open whose commit fails.
    with outages_of(opened, url, setting), closing(opened), opened:
        yield opened


@contextmanager
def outages_of(
    connection: BoundedConnection, url: str, setting: str = CONNECTOR_DATABASE
) -> Generator[None]:
    """Raise DatabaseUnavailable in place of an outage that the block meets."""
    try:
        yield
    except OUTAGES as error:
        if not is_outage(error):
            raise
        # `from None`, because a traceback would show the driver's text as it is.
        raise unavailable(error, url, setting=setting, blocked_by=connection.blocked_by) from None


def open_connection(
    url: str,
    *,
    limits: Limits = ORDINARY,
    setting: str = CONNECTOR_DATABASE,
    search_path: str | None = SEARCH_PATH,
    shared: bool = False,
    **options: str,
) -> BoundedConnection:
    """A connection as `connect` gives it, which the caller closes. `options` are libpq's.

    Raises DatabaseUnavailable.
    """
    parameters: dict[str, Any] = {**_parameters(url, setting), **options, "autocommit": True}
    try:
        connection = BoundedConnection.connect(**parameters)
    # psycopg reads some options itself, and Python's own codec refuses some names of hosts.
    except (psycopg.Error, UnicodeError) as error:
        raise unavailable(error, url, setting=setting) from None
    try:
        connection.limits = limits
        process = server_process(connection)
        connection.pooled = pooling(connection.info.backend_pid, process, parameters)
        if connection.pooled is Pooling.TRANSACTIONS:
            if not shared:
                connection.close()
                raise _needs_a_session(parameters, setting)
            # A statement that was prepared for this connection is in another one's session.
            connection.prepare_threshold = None
        else:
            # Not by `options`, which poolers refuse or ignore (docs/deploying.md).
            path = "" if search_path is None else f"SET search_path = {search_path}; "
            connection.execute(f"{path}SET TimeZone = 'UTC'; {limits.statements()}".encode())
            connection.look_for_blockers = lambda: blockers(parameters, process)
        connection.autocommit = False
        connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
    except psycopg.Error as error:
        connection.close()
        if not is_outage(error):
            raise
        raise unavailable(error, url, setting=setting) from None
    return connection


def _needs_a_session(parameters: dict[str, Any], setting: str) -> DatabaseUnavailable:
    return DatabaseUnavailable(
        f"Postgres at {place_of(parameters)}: a pooler in between gives each transaction another "
        "session, so locks and bounds would be those of other clients.",
        remedy=f"Let it pool sessions (PgBouncer: pool_mode=session for this database), or let "
        f"{setting} lead to the server itself, and restart.",
    )


def unavailable(
    error: BaseException,
    url: str,
    *,
    setting: str = CONNECTOR_DATABASE,
    blocked_by: str | None = None,
) -> DatabaseUnavailable:
    """The driver's error as one that may be shown: with the server and the reason, no password."""
    return outage(error, _parameters(url, setting), setting=setting, blocked_by=blocked_by)


def refuse_unreadable(url: str, setting: str) -> None:
    """Raise DatabaseUnavailable if the URL is none, or shows a part of its password elsewhere."""
    _parameters(url, setting)


def _parameters(url: str, setting: str) -> dict[str, Any]:
    try:
        parameters: dict[str, Any] = dict(conninfo_to_dict(url))
    # Percent-encoded bytes need not be UTF-8.
    except (psycopg.Error, UnicodeError):
        raise not_a_url(setting) from None
    # An unescaped @ or / in a password moves a part of it into these values, and so into messages.
    where = [str(parameters.get(name) or "") for name in ("host", "port", "dbname")]
    if any("@" in part for part in where) or not re.fullmatch(r"[\d,]*", where[1]):
        raise not_a_url(setting)
    return {
        # So that we notice a server that vanished within two minutes, not within two hours.
        "keepalives_idle": 60,
        "keepalives_interval": 10,
        "keepalives_count": 6,
        # Keepalives are for silence. What we send to it would else be repeated for 15 minutes.
        "tcp_user_timeout": 30_000,
        "application_name": "connector-pipeline",
        **parameters,
        "connect_timeout": parameters.get("connect_timeout", CONNECT_TIMEOUT_SECONDS),
        "client_encoding": "utf8",
    }


def not_a_url(setting: str) -> DatabaseUnavailable:
    """The error for a URL that cannot be read; it shows nothing of it."""
    example = (
        "postgresql://user:password@host:5432/catalog"
        if setting == CONNECTOR_DATABASE
        else "postgresql+psycopg2://user:password@host:5432/dagster"
    )
    return DatabaseUnavailable(
        f"{setting} cannot be read as a database's URL.",
        remedy=f"Write it as {example}, with @, /, % and other special characters of the password "
        "percent-encoded (@ is %40, / is %2F, % is %25).",
    )
