"""Errors of Postgres that are no fault of the statement, as ones that an operator may see."""

from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final

import psycopg
from psycopg import errors

from connector_pipeline.model.errors import DatabaseUnavailable
from connector_pipeline.model.redaction import without

CONNECTOR_DATABASE: Final = "CONNECTOR_DATABASE_URL"
_USUAL_PORT: Final = "5432"

OUTAGES: Final = (
    psycopg.OperationalError,
    errors.IdleInTransactionSessionTimeout,
    errors.TransactionTimeout,
    errors.ReadOnlySqlTransaction,
    errors.InsufficientPrivilege,
    errors.DataCorrupted,
    errors.IndexCorrupted,
)
"""Errors after which the same statement may succeed, once the server is well or somebody acted."""

_OF_THE_STATEMENT: Final = (errors.ProgramLimitExceeded, errors.StatementTooComplex)
"""psycopg counts them among the OperationalErrors, and the same statement fails with them again."""


@dataclass(frozen=True, slots=True)
class _Meaning:
    error: type[psycopg.Error]
    remedy: str


_MEANINGS: Final = (
    _Meaning(
        errors.LockNotAvailable,
        "End the session that holds the lock, if nothing else will: SELECT "
        "pg_terminate_backend(its pid)",
    ),
    _Meaning(errors.QueryCanceled, "See in pg_stat_activity what slows or blocks the server"),
    _Meaning(
        errors.IdleInTransactionSessionTimeout,
        "A process of ours stood still in a transaction, which was undone",
    ),
    _Meaning(errors.TransactionTimeout, "Raise the server's transaction_timeout"),
    _Meaning(errors.DeadlockDetected, "The transaction was undone"),
    _Meaning(
        errors.ReadOnlySqlTransaction,
        "{setting} leads to a replica, or to a database that takes no writes: name the primary "
        "(target_session_attrs=read-write chooses it among several hosts)",
    ),
    _Meaning(
        errors.InsufficientPrivilege,
        "Connect as a user in the role of the pipeline: an administrator makes it, with all of its "
        "rights, by the SQL that `connector-pipeline migrate --roles` prints",
    ),
    _Meaning(
        errors.DataCorrupted,
        "The server's files are damaged: look at its log, check its disk, and restore",
    ),
    _Meaning(errors.IndexCorrupted, "REINDEX the index on the server, and check its disk"),
    _Meaning(errors.DiskFull, "Make room on the server's disk"),
    _Meaning(errors.ConfigurationLimitExceeded, "Raise the server's temp_file_limit"),
    _Meaning(errors.OutOfMemory, "Give the server more memory"),
)
_CONNECTIONS: Final = (
    "Raise max_connections or the CONNECTION LIMIT of the role or database (of PgBouncer "
    "max_client_conn or default_pool_size), or end sessions that pg_stat_activity shows idle"
)
_REFUSED_FOR_NUMBER: Final = (
    "too many clients",
    "too many connections",
    "remaining connection slots are reserved",
    # PgBouncer's words for its own bounds.
    "no more connections allowed",
    "query_wait_timeout",
)
"""A refused connection has no SQLSTATE, only the server's words."""
_NOT_VERIFIED: Final = (
    "certificate verify failed",
    "does not match host name",
    "root certificate file",
    "server does not support SSL",
)
"""The words of libpq, and of OpenSSL below it."""


def is_outage(error: BaseException) -> bool:
    """Whether it is an error of OUTAGES and not one of the statement's own."""
    return isinstance(error, OUTAGES) and not isinstance(error, _OF_THE_STATEMENT)


def outage(
    error: BaseException,
    parameters: dict[str, Any],
    *,
    setting: str = CONNECTOR_DATABASE,
    blocked_by: str | None = None,
) -> DatabaseUnavailable:
    """The driver's error in one line: the server, the reason, what to do; and no password.

    `parameters` are the connection's, `setting` is the variable that names the server.
    """
    # libpq guesses at the cause on lines of their own, which begin with a tab.
    lines = [line for line in str(error).splitlines() if not line.startswith("\t")]
    reason = " ".join(" ".join(lines).split()) or type(error).__name__
    password = str(parameters.get("password") or "")
    # One that is the user's name, too, cannot be hidden, and is needed to read the message.
    if password and password not in (parameters.get("user"), parameters.get("dbname")):
        reason = without(reason, password)
    waited = isinstance(error, errors.LockNotAvailable | errors.QueryCanceled)
    blocking = f"; it waited for {blocked_by}" if blocked_by and waited else ""
    named = "" if setting == CONNECTOR_DATABASE else f" ({setting})"
    return DatabaseUnavailable(
        f"Postgres at {place_of(parameters)}{named}: {reason.rstrip('.?')}{blocking}.",
        remedy=_remedy(error, reason, setting),
    )


def _remedy(error: BaseException, reason: str, setting: str) -> str:
    # A process that cannot read Dagster's storage does not start, and so syncs nothing.
    then = "; the next sync tries again." if setting == CONNECTOR_DATABASE else "."
    if any(words in reason for words in _REFUSED_FOR_NUMBER):
        return _CONNECTIONS + then
    if any(words in reason for words in _NOT_VERIFIED):
        return (
            f"Let {setting} name the server as its certificate does, and the certificate's "
            f"authority by sslrootcert=FILE{then}"
        )
    for meaning in _MEANINGS:
        if isinstance(error, meaning.error):
            return meaning.remedy.format(setting=setting) + then
    return f"Check {setting} and the server{then}"


def place_of(parameters: dict[str, Any]) -> str:
    """Where they lead: `host:port, database name`; of several hosts each with its own port."""
    hosts = str(parameters.get("host") or parameters.get("hostaddr") or "localhost").split(",")
    ports = str(parameters.get("port") or "").split(",")
    # libpq takes one port for all hosts, or one for each; an empty one is the usual one.
    ports = ports * len(hosts) if len(ports) == 1 else ports
    places = (
        _place(host, port or _USUAL_PORT)
        for host, port in zip_longest(hosts, ports[: len(hosts)], fillvalue="")
    )
    return f"{','.join(places)}, database {parameters.get('dbname') or ''}"


def _place(host: str, port: str) -> str:
    if host.startswith("/"):
        return f"{host}, port {port}"
    return f"{f'[{host}]' if ':' in host else host}:{port}"
