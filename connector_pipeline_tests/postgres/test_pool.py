"""A process keeps its connections between their uses, and no user notices but by the time."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from connector_pipeline.model.errors import DatabaseUnavailable
from connector_pipeline.postgres import pool
from connector_pipeline.postgres.embedded.server import EmbeddedPostgres
from connector_pipeline.postgres.pool import close_idle_connections, pooled_connection

PATIENCE = 240.0
"""Seconds to wait for something that must come, long enough for a busy machine."""


@pytest.fixture(autouse=True)
def _none_kept() -> Iterator[None]:
    close_idle_connections()
    yield
    close_idle_connections()


def server_process(url: str) -> int:
    """The id of the server's process that a user's connection belongs to."""
    with pooled_connection(url) as connection:
        return connection.info.backend_pid


def end_sessions(url: str) -> None:
    """End every other session of the database, as a restart of the server does."""
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def sessions(url: str) -> int:
    """The database's sessions, but for the one that counts them."""
    with psycopg.connect(url, autocommit=True) as admin:
        [(found,)] = admin.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchall()
    return found


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_users_one_after_the_other_share_a_session(database_url: str) -> None:
    """Also in other threads, and after a user that failed."""
    first = server_process(database_url)
    with pytest.raises(LookupError), pooled_connection(database_url):
        raise LookupError
    with pytest.raises(psycopg.errors.UndefinedTable), pooled_connection(database_url) as failing:
        failing.execute("SELECT * FROM no_such_table")
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(server_process(database_url)))
    thread.start()
    thread.join()
    assert found == [first]


def test_a_block_commits_and_an_exception_rolls_back(database_url: str) -> None:
    """The next user of the session sees nothing of what was rolled back."""
    with pooled_connection(database_url) as connection:
        connection.execute("CREATE TABLE public.kept AS SELECT 1 AS number")
    with (
        pytest.raises(psycopg.errors.DivisionByZero),
        pooled_connection(database_url) as failing,
    ):
        failing.execute(
            "INSERT INTO public.kept SELECT 2 / number FROM (VALUES (1), (0)) AS v (number)"
        )
    with pooled_connection(database_url) as connection:
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        assert connection.execute("SELECT number FROM public.kept").fetchall() == [(1,)]


def test_a_process_uses_no_more_connections_than_its_budget(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many threads it has. The others wait for a place; a thread that has one does not."""
    close_idle_connections()
    most: list[int] = []
    all_begun = threading.Barrier(pool.MOST_AT_ONCE + 1)
    go_on = threading.Event()

    def use() -> None:
        with pooled_connection(database_url), pooled_connection(database_url):
            all_begun.wait(PATIENCE)
            assert go_on.wait(PATIENCE)

    def use_later() -> None:
        with pooled_connection(database_url):
            most.append(1)

    first = [threading.Thread(target=use) for _ in range(pool.MOST_AT_ONCE)]
    later = [threading.Thread(target=use_later) for _ in range(20)]
    for thread in first:
        thread.start()
    all_begun.wait(PATIENCE)
    assert sessions(database_url) == 2 * pool.MOST_AT_ONCE
    with monkeypatch.context() as impatient:
        impatient.setattr(pool, "LONGEST_WAIT_SECONDS", 0.0)
        with (
            pytest.raises(DatabaseUnavailable, match="16 threads of this process") as refused,
            pooled_connection(database_url),
        ):
            pass
    assert refused.value.retryable
    for thread in later:
        thread.start()
    assert most == []
    go_on.set()
    for thread in first + later:
        thread.join()
    assert len(most) == len(later)


def test_users_at_the_same_time_have_sessions_of_their_own(database_url: str) -> None:
    """A thread that holds a connection and asks for a second gets it at once."""
    with ExitStack() as held:
        used = [
            held.enter_context(pooled_connection(database_url)) for _ in range(pool.MOST_KEPT + 4)
        ]
        processes = {connection.info.backend_pid for connection in used}
        assert len(processes) == len(used)
    wait_until(lambda: sessions(database_url) == pool.MOST_KEPT)
    assert server_process(database_url) in processes


def test_a_server_that_was_restarted_fails_no_user(database_url: str) -> None:
    """Every connection that is kept is lost then."""
    with ExitStack() as held:
        for _ in range(3):
            held.enter_context(pooled_connection(database_url))
    end_sessions(database_url)
    for _ in range(3):
        with pooled_connection(database_url) as connection:
            connection.execute("SELECT 1")
    assert sessions(database_url) == 1


def test_a_connection_that_is_lost_in_use_is_unavailable_and_not_used_again(
    database_url: str,
) -> None:
    """The error is named as everywhere, and the next user gets another session."""

    def use_it_while_it_ends() -> None:
        with pooled_connection(database_url) as connection:
            end_sessions(database_url)
            connection.execute("SELECT 1")

    with pytest.raises(DatabaseUnavailable):
        use_it_while_it_ends()
    assert server_process(database_url) > 0


def test_a_session_that_takes_no_writes_is_not_used_again(database_url: str) -> None:
    """After a failover, or an administrator's pause, the server takes them in a new session."""
    with psycopg.connect(database_url, autocommit=True) as admin:
        name = admin.info.dbname
        admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())
        with pytest.raises(DatabaseUnavailable), pooled_connection(database_url) as connection:
            connection.execute("CREATE TABLE public.t ()")
        admin.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only".encode())
    with pooled_connection(database_url) as connection:
        connection.execute("CREATE TABLE public.t ()")


def test_a_commit_that_cannot_be_sent_is_not_taken_for_one(database_url: str) -> None:
    """The block did its work, and its work is lost."""

    def work_that_is_lost() -> None:
        with pooled_connection(database_url) as connection:
            connection.execute("CREATE TABLE lost ()")
            end_sessions(database_url)

    with pytest.raises(DatabaseUnavailable):
        work_that_is_lost()


def test_a_stopped_server_is_reported_at_once_and_in_its_own_words(home: Path) -> None:
    """A user that waits for a pool would learn of a timeout. When the server is back, it works."""
    quick = {"fsync": "off"}
    with EmbeddedPostgres(home, settings=quick) as server:
        url = server.url()
        first = server_process(url)
    with pytest.raises(
        DatabaseUnavailable, match=r"(No such file or directory|Connection refused)\. Check"
    ):
        server_process(url)
    with EmbeddedPostgres(home, settings=quick):
        assert server_process(url) != first


def test_a_session_that_does_not_answer_is_given_up(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new connection that does not answer would be given up after some seconds, too."""
    monkeypatch.setattr(pool, "CONNECT_TIMEOUT_SECONDS", 0.1)
    monkeypatch.setattr(pool, "ASKED_AFTER_SECONDS", 0.0)
    with EmbeddedPostgres(home, settings={"fsync": "off"}) as server:
        stopped = server_process(server.url())
        os.kill(stopped, signal.SIGSTOP)
        try:
            assert server_process(server.url()) != stopped
        finally:
            os.kill(stopped, signal.SIGCONT)


def test_what_nobody_uses_is_closed(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes of a deployment that have nothing to do hold no sessions."""
    monkeypatch.setattr(pool, "KEPT_IDLE_SECONDS", 0.05)
    for _ in range(2):
        with pooled_connection(database_url), pooled_connection(database_url):
            pass
        wait_until(lambda: sessions(database_url) == 0)


def test_an_old_connection_is_not_kept(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It leads to where the host's name led when it was opened."""
    monkeypatch.setattr(pool, "LONGEST_LIFE_SECONDS", -1.0)
    first = server_process(database_url)
    assert server_process(database_url) != first


def test_a_session_that_was_changed_is_not_kept(database_url: str) -> None:
    """Its next user would not know."""
    with pooled_connection(database_url) as connection:
        first = connection.info.backend_pid
        connection.autocommit = True
    with pooled_connection(database_url) as connection:
        assert not connection.autocommit
        assert connection.info.backend_pid != first


def test_a_statement_used_often_is_not_prepared(database_url: str) -> None:
    """A prepared one would not survive a migration, nor a pooler of transactions."""
    for number in range(20):
        with pooled_connection(database_url) as connection:
            connection.execute("SELECT %s", (number,))
    with pooled_connection(database_url) as connection:
        assert connection.execute("SELECT * FROM pg_prepared_statements").fetchall() == []


FORKING = """
import os, sys
from connector_pipeline.postgres.pool import pooled_connection

def server_process():
    with pooled_connection(sys.argv[1]) as connection:
        return connection.execute("SELECT pg_backend_pid()").fetchone()[0]

first = server_process()
child = os.fork()
if child == 0:
    sys.exit(0 if server_process() != first and server_process() != first else 3)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0, status
assert server_process() == first
"""


def test_a_forked_process_leaves_its_parents_sessions_alone(database_url: str) -> None:
    """Both ends of the fork end without waiting for anything."""
    done = subprocess.run(
        [sys.executable, "-c", FORKING, database_url],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
