"""Locks by name that only users with rights in schema `connector` can take: rows of its table.

An advisory lock of Postgres is open to every user of the database: a reader could take one of ours
and stop a sync, as pg_locks shows everybody the keys that are in use.

- A lock of a transaction is the lock of a row. It ends with the transaction.
- A lock of a session is for longer than a transaction may last: its row names the session, and it
  is held for as long as that session lives. The session shows this by an advisory lock on a number
  of its own. It counts only while this session holds it, so nobody gains by taking the number.
"""

import secrets
from typing import Final

import psycopg

_LOCK: Final = "SELECT FROM connector.locks WHERE name = %s FOR UPDATE"
_ADD: Final = "INSERT INTO connector.locks (name) VALUES (%s) ON CONFLICT (name) DO NOTHING"

# A pooler may keep a session alive after its client, but it frees the session's advisory locks.
_ALIVE: Final = """EXISTS (
    SELECT FROM pg_catalog.pg_locks AS mark
    WHERE mark.locktype = 'advisory' AND mark.objsubid = 1 AND mark.granted
        AND mark.pid = held.pid
        AND mark.database = (
            SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()
        )
        AND mark.classid = ((held.session_key >> 32) & 4294967295)::oid
        AND mark.objid = (held.session_key & 4294967295)::oid
)"""
_TAKE: Final = f"""
    INSERT INTO connector.locks AS held (name, holder, pid, session_key)
    VALUES (%(name)s, %(holder)s, pg_backend_pid(), %(key)s)
    ON CONFLICT (name) DO UPDATE
    SET holder = excluded.holder, pid = excluded.pid, session_key = excluded.session_key
    WHERE NOT {_ALIVE}
"""  # noqa: S608
_HOLDER: Final = f"""
    SELECT held.holder FROM connector.locks AS held WHERE held.name = %s AND {_ALIVE}
"""  # noqa: S608
_RELEASE: Final = """
    DELETE FROM connector.locks WHERE name = %s AND pid = pg_backend_pid() AND session_key = %s
"""


def lock(connection: psycopg.Connection, name: str) -> None:
    """Wait for the lock of this name. It is held until the transaction ends.

    Raises psycopg's LockNotAvailable past the connection's `lock_timeout`.
    """
    if connection.execute(_LOCK, (name,)).fetchone() is None:
        # The one who adds the row holds its lock until the end, and others wait here for that.
        connection.execute(_ADD, (name,))
        connection.execute(_LOCK, (name,))


def begin_session(connection: psycopg.Connection) -> int:
    """Make the session able to hold locks. Returns the key to give to `take` and `release`."""
    while True:
        key = secrets.randbits(64) - 2**63
        [(free,)] = connection.execute(
            "SELECT pg_catalog.pg_try_advisory_lock(%s)", (key,)
        ).fetchall()
        if free:
            return key


def take(connection: psycopg.Connection, key: int, name: str, *, holder: str) -> str | None:
    """Take the lock for the session and return None, or return the words for its holder.

    For a connection in autocommit, as others see it from the commit on.
    """
    values = {"name": name, "holder": holder, "key": key}
    while connection.execute(_TAKE, values).rowcount == 0:
        if (other := held_by(connection, name)) is not None:
            return other
    return None


def held_by(connection: psycopg.Connection, name: str) -> str | None:
    """The words for the session that holds the lock, None if nobody holds it."""
    row = connection.execute(_HOLDER, (name,)).fetchone()
    return None if row is None else str(row[0])


def release(connection: psycopg.Connection, key: int, name: str) -> None:
    """Give the session's lock of this name back, if it still has it."""
    connection.execute(_RELEASE, (name, key))
