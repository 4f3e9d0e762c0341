"""Troubles of a real Postgres, for tests: context managers, and functions that do a thing once.

All take the URL of a superuser (that of the fixtures `database_url` and `postgres_url`). What they
make in the database ends with the block. A table is named with its schema: "catalog.catalog_items".
"""

import os
import signal
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, LiteralString, cast
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import uuid4

import psycopg
from psycopg import sql

from connector_pipeline.postgres.embedded.account import server_user_account
from connector_pipeline.postgres.embedded.programs import run_program

PASSWORD: Final = "of a test"
_HANGS: Final = 300
"""Seconds after which a test that waits for something fails."""
_PAUSE: Final = 0x70617573
_CROSSING: Final = 0x63726F73


def end_sessions(url: str, *, application_name: str = "%", query: str = "%") -> int:
    """Terminate the database's other sessions whose name and newest statement are LIKE these.

    Returns how many.
    """
    with psycopg.connect(url, autocommit=True) as admin:
        rows = admin.execute(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND application_name LIKE %s AND query LIKE %s",
            (application_name, query),
        ).fetchall()
    return len(rows)


def restart(url: str, *, mode: str = "fast") -> None:
    """Restart the embedded server. `mode` is pg_ctl's: "immediate" is a crash."""
    with psycopg.connect(url, autocommit=True) as admin:
        [(data,)] = admin.execute("SHOW data_directory").fetchall()
    ended = run_program(
        ["pg_ctl", "restart", "-w", "-m", mode, "-l", "server.log"],
        data=Path(data),
        server_user=server_user_account(),
    )
    assert ended.returncode == 0, ended.stdout


@contextmanager
def ordinary_user(url: str, *, most_connections: int = -1) -> Generator[str]:
    """A URL of the same database as a user who is no superuser and may do what the owner may.

    The server refuses this user more than `most_connections` at a time (-1: no bound).
    """
    name = f"ordinary_{uuid4().hex[:12]}"
    role = sql.Identifier(name)
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} CONNECTION LIMIT {}").format(
                role, sql.Literal(PASSWORD), sql.Literal(most_connections)
            )
        )
        admin.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(admin.info.user), role))
        try:
            yield of_user(url, name)
        finally:
            admin.execute(
                "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE usename = %s",
                (name,),
            )
            admin.execute(sql.SQL("DROP OWNED BY {}").format(role))
            admin.execute(sql.SQL("DROP ROLE {}").format(role))


@contextmanager
def no_new_connections(url: str, user_url: str) -> Generator[None]:
    """The user of `user_url` (an `ordinary_user`) is refused: "too many connections for role"."""
    role = sql.Identifier(urlsplit(user_url).username or "")
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(sql.SQL("ALTER ROLE {} CONNECTION LIMIT 0").format(role))
        try:
            yield
        finally:
            admin.execute(sql.SQL("ALTER ROLE {} CONNECTION LIMIT -1").format(role))


@contextmanager
def connections_used_up(url: str) -> Generator[None]:
    """The whole server refuses: "sorry, too many clients already". Best with one of its own."""
    with ExitStack() as opened:
        with suppress(psycopg.OperationalError):
            while True:
                opened.enter_context(psycopg.connect(url))
        yield


@contextmanager
def read_only(url: str) -> Generator[None]:
    """The database takes no writes, as a replica after a failover. Ends the other sessions."""
    with _database_setting(url, "default_transaction_read_only", "on"):
        yield


@contextmanager
def no_room_for_temporary_files(url: str) -> Generator[None]:
    """Sorts and joins that do not fit into memory fail. Ends the other sessions."""
    with _database_setting(url, "temp_file_limit", "0"):
        yield


@contextmanager
def disk_full(url: str, table: str, *, at_commit: bool = False) -> Generator[None]:
    """Each statement that writes to the table fails as on a full disk, or the commit does."""
    with failing_writes(
        url,
        table,
        sqlstate="53100",
        message='could not extend file "base/1/2": No space left on device',
        at_commit=at_commit,
    ):
        yield


@contextmanager
def failing_writes(
    url: str, table: str, *, sqlstate: str, message: str, at_commit: bool = False
) -> Generator[None]:
    """Each statement that writes to the table fails with this error, or the commit does."""
    body = sql.SQL("RAISE EXCEPTION USING ERRCODE = {}, MESSAGE = {};").format(
        sql.Literal(sqlstate), sql.Literal(message)
    )
    with _trigger(url, table, body, at_commit=at_commit):
        yield


@contextmanager
def locked(url: str, table: str, mode: LiteralString = "ACCESS EXCLUSIVE") -> Generator[int]:
    """Another session holds the table's lock. Yields its pid."""
    with psycopg.connect(url) as holder:
        holder.execute(sql.SQL("LOCK TABLE {} IN {} MODE").format(_table(table), sql.SQL(mode)))
        yield holder.info.backend_pid
        holder.rollback()


@contextmanager
def rows_locked(url: str, table: str) -> Generator[int]:
    """Another session holds the locks of all the table's rows. Yields its pid."""
    with psycopg.connect(url) as holder:
        holder.execute(sql.SQL("SELECT FROM {} FOR UPDATE").format(_table(table)))
        yield holder.info.backend_pid
        holder.rollback()


@dataclass(frozen=True, slots=True)
class Pause:
    """A place at which sessions stop until `release`."""

    holder: psycopg.Connection

    def reached(self) -> int:
        """Wait until a session stands here, and return its pid."""
        until = time.monotonic() + _HANGS
        while time.monotonic() < until:
            row = self.holder.execute(
                "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = %s"
                " AND NOT granted",
                (_PAUSE,),
            ).fetchone()
            if row is not None:
                return int(row[0])
            time.sleep(0.01)
        raise AssertionError("no session came to the pause")

    def release(self) -> None:
        """Let the sessions go on, and stop none any more."""
        self.holder.execute("SELECT pg_advisory_unlock_all()")


@contextmanager
def paused(url: str, table: str, *, at_commit: bool = False) -> Generator[Pause]:
    """A statement that writes to the table stops before it, or the commit after it does."""
    body = sql.SQL("PERFORM pg_catalog.pg_advisory_xact_lock({});").format(sql.Literal(_PAUSE))
    with psycopg.connect(url, autocommit=True) as holder:
        holder.execute("SELECT pg_advisory_lock(%s)", (_PAUSE,))
        with _trigger(url, table, body, at_commit=at_commit):
            try:
                yield Pause(holder)
            finally:
                # The trigger cannot be dropped while somebody stands at it. After a restart of the
                # server nobody does.
                with suppress(psycopg.OperationalError):
                    holder.execute("SELECT pg_advisory_unlock_all()")


@contextmanager
def deadlock(url: str, table: str) -> Generator[None]:
    """The first statement that writes to the table is the victim of a real deadlock."""
    ours, theirs = sql.Literal(_CROSSING), sql.Literal(_CROSSING + 1)
    body = sql.SQL(
        "IF NOT pg_catalog.pg_try_advisory_xact_lock({theirs}) THEN"
        "  PERFORM pg_catalog.pg_advisory_xact_lock({ours});"
        "  WHILE NOT EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype = 'advisory'"
        "    AND objid = {ours} AND NOT granted)"
        # The other session may still be about to end, when the victim tries again.
        "    AND EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype = 'advisory'"
        "    AND objid = {theirs} AND granted) LOOP"
        "    PERFORM pg_catalog.pg_sleep(0.01); END LOOP;"
        "  PERFORM pg_catalog.pg_advisory_xact_lock({theirs});"
        "END IF;"
    ).format(ours=ours, theirs=theirs)
    ended = threading.Event()

    def cross(other: psycopg.Connection, watcher: psycopg.Connection) -> None:
        crossed = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND granted"
        while watcher.execute(crossed, (_CROSSING,)).fetchone() is None:
            if ended.wait(0.01):
                return
        # It waits without looking for deadlocks, so the victim is the session of the test.
        other.execute("SELECT pg_advisory_xact_lock(%s)", (_CROSSING,))
        other.rollback()

    with psycopg.connect(url) as other, psycopg.connect(url, autocommit=True) as watcher:
        other.execute("SET LOCAL deadlock_timeout = '1h'")
        other.execute("SELECT pg_advisory_xact_lock(%s)", (_CROSSING + 1,))
        crossing = threading.Thread(target=cross, args=(other, watcher))
        with _trigger(url, table, body):
            crossing.start()
            try:
                yield
            finally:
                ended.set()
                crossing.join()
                other.rollback()


@contextmanager
def frozen(url: str, *, application_name: str = "%") -> Generator[None]:
    """The server's processes of these sessions are stopped: sockets stay open, nothing answers.

    New connections are accepted by the kernel and never answered, as of a server that hangs.
    """
    with psycopg.connect(url, autocommit=True) as admin:
        sessions = admin.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND application_name LIKE %s",
            (application_name,),
        ).fetchall()
        [(data,)] = admin.execute("SHOW data_directory").fetchall()
    postmaster = int(_pid_file(Path(data)).splitlines()[0])
    stopped = [postmaster, *(pid for (pid,) in sessions)]
    try:
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


def _pid_file(data: Path) -> str:
    return (data / "postmaster.pid").read_text()


@contextmanager
def _database_setting(url: str, name: LiteralString, value: str) -> Generator[None]:
    with psycopg.connect(url, autocommit=True) as admin:
        database = sql.Identifier(admin.info.dbname)
        setting = sql.SQL(name)
        admin.execute(
            sql.SQL("ALTER DATABASE {} SET {} = {}").format(database, setting, sql.Literal(value))
        )
        end_sessions(url)
    try:
        yield
    finally:
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute("SET default_transaction_read_only = off")
            admin.execute(sql.SQL("ALTER DATABASE {} RESET {}").format(database, setting))
        end_sessions(url)


@contextmanager
def _trigger(
    url: str, table: str, body: sql.Composed, *, at_commit: bool = False
) -> Generator[None]:
    name = sql.Identifier(f"fault_{uuid4().hex[:12]}")
    function = sql.SQL("{}.{}").format(sql.Identifier(table.split(".")[0]), name)
    when = (
        "CREATE CONSTRAINT TRIGGER {} AFTER INSERT OR UPDATE OR DELETE ON {}"
        " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {}()"
        if at_commit
        else "CREATE TRIGGER {} BEFORE INSERT OR UPDATE OR DELETE ON {}"
        " FOR EACH STATEMENT EXECUTE FUNCTION {}()"
    )
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE FUNCTION {}() RETURNS trigger LANGUAGE plpgsql AS {}").format(
                function,
                sql.Literal(f"BEGIN {body.as_string(admin)} RETURN NULL; END"),
            )
        )
        admin.execute(sql.SQL(cast("LiteralString", when)).format(name, _table(table), function))
    try:
        yield
    finally:
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(sql.SQL("DROP TRIGGER {} ON {}").format(name, _table(table)))
            admin.execute(sql.SQL("DROP FUNCTION {}()").format(function))


def _table(name: str) -> sql.Composed:
    return sql.SQL("{}").format(sql.Identifier(*name.split(".")))


def of_user(url: str, name: str) -> str:
    """The URL for this user, whose password is PASSWORD."""
    parts = urlsplit(url)
    where = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{name}:{quote(PASSWORD, safe='')}@{where}"))
