"""Poolers of connections, such as PgBouncer: whether one is in between, and in which mode.

A pooler of transactions gives each transaction some session of the server. What one client sets of
a session, others then get: bounds, `search_path`, and locks. Postgres's protocol does not say
whether there is a pooler. But a pooler cannot state the server's own process for a client that may
have another one a moment later, so what it states is not what the server answers.
"""

from collections.abc import Hashable, Mapping
from typing import Any, Final

import psycopg

from connector_pipeline.postgres.bounded_connection import BoundedConnection, Pooling
from connector_pipeline.postgres.limits import LOOKING

_ROUNDS: Final = 8
"""PgBouncer gives the session that was used last to the next transaction. In a busy pool another
client may be faster, but hardly so often."""

_PROCESS: Final = "SELECT pg_catalog.pg_backend_pid()"

_found: Final[dict[Hashable, Pooling]] = {}
"""The poolers that this process has found, by where it connected."""


def server_process(connection: psycopg.Connection) -> int:
    """The server's process of this session: the one that is in `pg_stat_activity`."""
    [(process,)] = connection.execute(_PROCESS).fetchall()
    return process


def pooling(stated: int, process: int, parameters: Mapping[str, Any]) -> Pooling | None:
    """How the connections with these parameters of libpq are pooled; None if they are not.

    `stated` is the process as the protocol states it, `process` the server's own answer. Where they
    differ, two more connections are opened, once in this process. Raises psycopg's errors.
    """
    if stated == process:
        return None
    place = tuple(str(parameters.get(name)) for name in ("host", "port", "dbname", "user"))
    if place not in _found:
        with _opened(parameters) as one, _opened(parameters) as other:
            _found[place] = Pooling.TRANSACTIONS if _share(one, other) else Pooling.SESSIONS
    return _found[place]


def _opened(parameters: Mapping[str, Any]) -> BoundedConnection:
    options: dict[str, Any] = {**parameters, "autocommit": True, "prepare_threshold": None}
    connection = BoundedConnection.connect(**options)
    connection.limits = LOOKING
    return connection


def _share(one: psycopg.Connection, other: psycopg.Connection) -> bool:
    """Whether two connections that are both open had the same session, or one had several.

    They set nothing. In a pooler of sessions each keeps the session of its first statement.
    """
    processes: tuple[set[int], set[int]] = (set(), set())
    for _ in range(_ROUNDS):
        for connection, seen in zip((one, other), processes, strict=True):
            seen.add(server_process(connection))
        if len(processes[0]) > 1 or len(processes[1]) > 1 or processes[0] & processes[1]:
            return True
    return False
