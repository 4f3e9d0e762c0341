"""Connections to Postgres: how we open them, and errors about them that show no password."""

import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from connector_pipeline.model.errors import DatabaseUnavailable

CONNECT_TIMEOUT_SECONDS: Final = 10


@contextmanager
def connect(url: str) -> Generator[psycopg.Connection]:
    """A connection, committed and closed at the end, rolled back and closed on an exception.

    Not in autocommit; READ COMMITTED; the session's time zone is UTC. Raises DatabaseUnavailable,
    with the server's message and never the password, if the server cannot be reached or ends the
    connection while it is in use.
    """
    try:
        with open_connection(url) as connection:
            yield connection
    except psycopg.OperationalError as error:
        # `from None`, because a traceback would show the driver's text as it is.
        raise unavailable(error, url) from None


def open_connection(url: str, **options: str) -> psycopg.Connection:
    """A connection as `connect` gives it, which the caller closes. `options` are libpq's.

    Raises DatabaseUnavailable.
    """
    parameters: dict[str, Any] = {**_parameters(url), **options}
    try:
        connection = psycopg.connect(**parameters)
    except psycopg.OperationalError as error:
        raise unavailable(error, url) from None
    connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
    return connection


def unavailable(error: BaseException, url: str) -> DatabaseUnavailable:
    """The driver's error as one that may be shown: with the server and the reason, no password."""
    parameters = _parameters(url)
    reason = " ".join(str(error).split()) or type(error).__name__
    password = str(parameters.get("password", ""))
    if password:
        reason = reason.replace(password, "***")
    where = f"{parameters.get('host', 'localhost')}, database {parameters.get('dbname', '')}"
    return DatabaseUnavailable(
        f"Postgres at {where}: {reason.rstrip('.')}.",
        remedy=_MAKE_ROOM if isinstance(error, _NO_ROOM) else None,
    )


_NO_ROOM: Final = (psycopg.errors.DiskFull, psycopg.errors.ConfigurationLimitExceeded)
_MAKE_ROOM: Final = (
    "Make room on the server's disk, or raise its limit that the message names; the catalog is as "
    "it was before, and the next sync tries again."
)


def _parameters(url: str) -> dict[str, Any]:
    try:
        parameters: dict[str, Any] = dict(conninfo_to_dict(url))
    except psycopg.Error:
        raise _not_a_url() from None
    # An unescaped @ or / in a password moves a part of it into these values, and so into messages.
    where = [str(parameters.get(name, "")) for name in ("host", "port", "dbname")]
    if any("@" in part for part in where) or not re.fullmatch(r"[\d,]*", where[1]):
        raise _not_a_url()
    options = [str(parameters.get("options", "")), "-c timezone=UTC"]
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
        "options": " ".join(options).strip(),
    }


def _not_a_url() -> DatabaseUnavailable:
    return DatabaseUnavailable(
        "the database's URL cannot be read.",
        remedy="Write it as postgresql://user:password@host:5432/catalog, with @, / and other "
        "special characters of the password percent-encoded (@ is %40, / is %2F).",
    )
