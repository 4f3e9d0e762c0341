"""Every trouble of a real Postgres ends as one line that says what to do, and passes."""

import socket
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from connector_pipeline.cli.doctor import findings
from connector_pipeline.model.errors import ConnectorError, DatabaseUnavailable
from connector_pipeline.postgres.bounded_connection import under
from connector_pipeline.postgres.connections import connect, open_connection
from connector_pipeline.postgres.database import Database
from connector_pipeline.postgres.embedded.server import EmbeddedPostgres
from connector_pipeline.postgres.limits import Limits
from connector_pipeline_tests import postgres_faults as faults

SHORT = Limits(statement=timedelta(seconds=3), lock=timedelta(seconds=2))
WRITE = "DELETE FROM connector.shops"


def lines_of(error: ConnectorError) -> str:
    """The error as a command prints it. It is one line, and retried."""
    assert type(error) is DatabaseUnavailable
    assert error.retryable
    text = str(error)
    assert "\n" not in text
    return text


def fault(name: str) -> Callable[[str], AbstractContextManager[object]]:
    """A trouble of the table's rows."""
    return {
        "a table that another session locks": lambda url: faults.locked(url, "connector.shops"),
        "a deadlock": lambda url: faults.deadlock(url, "connector.shops"),
        "a full disk": lambda url: faults.disk_full(url, "connector.shops"),
        "a full disk at the commit": lambda url: faults.disk_full(
            url, "connector.locks", at_commit=True
        ),
        "a server without memory": lambda url: faults.failing_writes(
            url, "connector.shops", sqlstate="53200", message="out of memory"
        ),
        "a transaction that other ones changed": lambda url: faults.failing_writes(
            url, "connector.shops", sqlstate="40001", message="could not serialize access"
        ),
        "a database that takes no writes": faults.read_only,
    }[name]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            "a table that another session locks",
            ["lock timeout", "session {pid} of", "pg_term"],
        ),
        ("a deadlock", ["deadlock detected", "The transaction was undone"]),
        ("a full disk", ["No space left", "Make room on the server's disk"]),
        ("a full disk at the commit", ["No space left", "Make room on the server's disk"]),
        ("a server without memory", ["out of memory", "more memory"]),
        ("a transaction that other ones changed", ["could not serialize", "tries again"]),
        ("a database that takes no writes", ["read-only", "leads to a replica"]),
    ],
)
def test_a_trouble_of_the_server_is_one_line_and_passes(
    database_url: str, name: str, says: list[str]
) -> None:
    """The line names the server, the reason and the remedy. The next attempt succeeds."""

    def write() -> None:
        with connect(database_url, limits=SHORT) as connection:
            connection.execute("INSERT INTO connector.locks (name) VALUES ('a')")
            connection.execute(WRITE)

    with fault(name)(database_url) as pid, pytest.raises(ConnectorError) as failed:
        write()
    text = lines_of(failed.value)
    assert "Postgres at " in text
    for words in says:
        assert words.format(pid=pid) in text
    write()


def test_a_statement_that_takes_too_long_is_ended(database_url: str) -> None:
    """So is one inside of a transaction with bounds of its own."""
    with (
        pytest.raises(DatabaseUnavailable, match=r"statement timeout.*pg_stat_activity"),
        connect(database_url, limits=SHORT) as connection,
    ):
        connection.execute("SELECT pg_sleep(60)")
    with (
        pytest.raises(DatabaseUnavailable, match="statement timeout"),
        connect(database_url) as connection,
        under(connection, SHORT),
    ):
        connection.execute("SELECT pg_sleep(60)")


def test_bounds_of_a_transaction_end_with_it(database_url: str) -> None:
    """The next user of a pooled connection has the ordinary ones."""
    database = Database(url=database_url)
    with database.connect() as connection, under(connection, SHORT):
        assert shown(connection) == ["3s", "2s", "5min"]
    with database.connect() as connection:
        assert shown(connection) == ["1min", "30s", "5min"]


def shown(connection: psycopg.Connection) -> list[str]:
    """The session's bounds of statements, locks and idle transactions."""
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    [row] = connection.execute(
        "SELECT current_setting(%s), current_setting(%s), current_setting(%s)", names
    ).fetchall()
    return list(row)


def test_a_transaction_that_stands_still_frees_its_locks(database_url: str) -> None:
    """The server ends it, and its process learns that in one line."""
    idle = Limits(
        statement=timedelta(seconds=60), lock=timedelta(seconds=60), idle=timedelta(seconds=1)
    )

    def stand_still() -> None:
        with connect(database_url, limits=idle) as connection:
            connection.execute("LOCK TABLE connector.shops")
            # Waits for the lock, which only the end of the session above frees.
            with connect(database_url) as other:
                other.execute(WRITE)
            connection.execute("SELECT 1")

    with pytest.raises(DatabaseUnavailable) as failed:
        stand_still()
    assert "idle-in-transaction timeout" in lines_of(failed.value)


def test_a_right_that_is_missing_is_named(database_url: str) -> None:
    """Not as a defect: an administrator grants it."""
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute("DROP ROLE IF EXISTS without_rights")
        admin.execute(f"CREATE ROLE without_rights LOGIN PASSWORD '{faults.PASSWORD}'")
    try:
        url = faults.of_user(database_url, "without_rights")
        with pytest.raises(DatabaseUnavailable) as failed, connect(url) as connection:
            connection.execute(WRITE)
    finally:
        with psycopg.connect(database_url, autocommit=True) as admin:
            admin.execute("DROP ROLE without_rights")
    assert "permission denied for schema connector" in lines_of(failed.value)


def test_a_value_too_large_for_an_index_is_no_outage(database_url: str) -> None:
    """It would be retried for ever, and fail for ever."""
    huge = "INSERT INTO connector.locks (name) SELECT string_agg(md5(g::text), '') FROM "
    with (
        pytest.raises(psycopg.errors.ProgramLimitExceeded),
        connect(database_url) as connection,
    ):
        connection.execute(huge + "generate_series(1, 2000) AS g")


def test_a_user_out_of_connections_is_said_so(database_url: str) -> None:
    """The line says what to raise; a moment later the user is let in."""
    with faults.ordinary_user(database_url) as url:
        with (
            faults.no_new_connections(database_url, url),
            pytest.raises(DatabaseUnavailable) as failed,
        ):
            open_connection(url)
        text = lines_of(failed.value)
        assert "too many connections for role" in text
        assert "CONNECTION LIMIT" in text
        assert faults.PASSWORD not in text
        open_connection(url).close()


@pytest.fixture
def own_server(home: Path) -> Generator[str]:
    """The URL of a server of the test's own, small, whose processes may be stopped."""
    with EmbeddedPostgres(home, settings={"fsync": "off", "max_connections": "12"}) as server:
        yield server.url("catalog")


def test_a_server_out_of_connections_is_said_so(own_server: str) -> None:
    """The line says what to raise."""
    with faults.connections_used_up(own_server), pytest.raises(DatabaseUnavailable) as failed:
        open_connection(own_server)
    assert "max_connections" in lines_of(failed.value)
    open_connection(own_server).close()


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_server_that_restarts_under_a_statement_is_one_line(own_server: str, mode: str) -> None:
    """Stopped in order (AdminShutdown) or crashed (CrashShutdown): the next attempt succeeds."""

    def long_statement() -> None:
        with connect(own_server) as connection, ThreadPoolExecutor(1) as thread:
            running = thread.submit(connection.execute, "SELECT pg_sleep(600)")
            with psycopg.connect(own_server, autocommit=True) as watcher:
                while not watcher.execute(
                    "SELECT FROM pg_stat_activity WHERE query LIKE '%%pg_sleep(6%%' AND pid = %s",
                    (connection.info.backend_pid,),
                ).fetchall():
                    time.sleep(0.01)
            faults.restart(own_server, mode=mode)
            running.result()

    with pytest.raises(DatabaseUnavailable) as failed:
        long_statement()
    assert "Check CONNECTOR_DATABASE_URL and the server" in lines_of(failed.value)
    with connect(own_server) as connection:
        connection.execute("SELECT 1")


@contextmanager
def hanging(url: str) -> Generator[psycopg.Connection]:
    """A connection whose server is stopped with SIGSTOP, and goes on after the block."""
    second = timedelta(seconds=1)
    connection = open_connection(url, limits=Limits(statement=second, lock=second, margin=second))
    with connection:
        connection.execute("SELECT 1")
        with faults.frozen(url):
            yield connection


def test_a_server_that_holds_the_connection_and_never_answers_is_given_up(own_server: str) -> None:
    """The server's own bound of a statement does not help, as nothing of it runs."""
    with hanging(own_server) as connection, pytest.raises(psycopg.OperationalError) as failed:
        connection.execute("SELECT 1")
    assert "has not answered for" in str(failed.value)
    assert connection.closed
    with connect(own_server) as after:
        after.execute("SELECT 1")


@contextmanager
def stranger(*, drips: bool) -> Generator[str]:
    """The URL of a server that accepts a connection, and says nothing, or a byte now and then."""
    ended = threading.Event()

    def drip() -> None:
        with suppress(OSError):
            connection, _ = server.accept()
            with connection:
                # That it does not speak TLS, then the beginning of a message without an end.
                for byte in b"NR\0\0\0\x7f" + bytes(1_000):
                    connection.sendall(bytes([byte]))
                    if ended.wait(0.2):
                        return

    with socket.create_server(("127.0.0.1", 0)) as server:
        dripping = threading.Thread(target=drip)
        if drips:
            dripping.start()
        yield f"postgresql://a:hunter2@127.0.0.1:{server.getsockname()[1]}/catalog?connect_timeout=2"
        ended.set()
        if drips:
            dripping.join()


@pytest.mark.parametrize("drips", [False, True])
def test_a_stranger_at_the_address_is_given_up(drips: bool) -> None:
    """It takes the connection, and never answers as Postgres does."""
    with stranger(drips=drips) as url, pytest.raises(DatabaseUnavailable) as failed:
        open_connection(url)
    text = lines_of(failed.value)
    assert "timeout expired" in text
    assert "hunter2" not in text


def test_doctor_does_not_wait_for_a_server_that_hangs(
    own_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It says so of the database, and goes on with what it can look at."""
    monkeypatch.setenv("CONNECTOR_HOME", str(tmp_path))
    monkeypatch.setenv("CONNECTOR_DATABASE_URL", f"{own_server}&connect_timeout=2")
    monkeypatch.setenv("TOKEN_SERVICE_URL", "http://127.0.0.1:1")
    with faults.frozen(own_server):
        found = {finding.subject: finding for finding in findings()}
    assert not found["database"].ok
    assert "timeout expired" in found["database"].seen
