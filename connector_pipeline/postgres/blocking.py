"""Which sessions hold what another session waits for."""

from contextlib import suppress
from typing import Any, Final

import psycopg

from connector_pipeline.model.storable import clipped

_LOOK_SECONDS: Final = 3
_QUERY_BYTES: Final = 120

_SETUP: Final = "SET search_path = pg_catalog, pg_temp; SET statement_timeout = '3s'"

# Another user's sessions show their pid and name to everybody, and their statement to few.
_BLOCKERS: Final = """
    SELECT pid, usename, application_name, state, query,
        extract(epoch FROM clock_timestamp() - xact_start)::bigint AS seconds
    FROM pg_catalog.pg_stat_activity
    WHERE pid = ANY (pg_catalog.pg_blocking_pids(%s))
    ORDER BY xact_start NULLS LAST LIMIT 3
"""


def blockers(parameters: dict[str, Any], pid: int) -> str | None:
    """The sessions that block the session `pid`, in words: pid, user, application, statement.

    None if there is none, or nobody can be asked: it is only for a message.
    """
    looking: dict[str, Any] = {**parameters, "connect_timeout": _LOOK_SECONDS}
    with suppress(psycopg.Error), psycopg.connect(**looking) as connection:
        connection.execute(_SETUP)
        rows = connection.execute(_BLOCKERS, (pid,)).fetchall()
        return ", and ".join(_in_words(*row) for row in rows) or None
    return None


def _in_words(
    pid: int, user: str, application: str, state: str, query: str, seconds: int | None
) -> str:
    since = "" if seconds is None else f", in a transaction for {seconds} s"
    doing = f", {state}" if state else ""
    statement = f": {clipped(' '.join(query.split()), most_bytes=_QUERY_BYTES)}" if query else ""
    named = f' "{clipped(application, most_bytes=60)}"' if application else ""
    return f"session {pid} of user {user}{named}{since}{doing}{statement}"
