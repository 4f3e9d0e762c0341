"""Connections are set up as the project needs them, and no message shows a password."""

import traceback
from pathlib import Path

import psycopg
import pytest

from connector_pipeline.model.errors import DatabaseUnavailable
from connector_pipeline.postgres.connections import connect, unavailable


def test_a_connection_is_as_the_project_needs_it(database_url: str) -> None:
    """UTC, UTF-8, READ COMMITTED, not in autocommit, and with our name in pg_stat_activity."""
    with connect(database_url) as connection:
        row = connection.execute(
            "SELECT current_setting('TimeZone'), current_setting('client_encoding'),"
            " current_setting('transaction_isolation'), current_setting('application_name')"
        ).fetchone()
        assert not connection.autocommit
    assert row == ("UTC", "UTF8", "read committed", "connector-pipeline")


def test_a_block_commits_and_an_exception_rolls_back(database_url: str) -> None:
    """The connection is closed either way."""
    with connect(database_url) as connection:
        connection.execute("CREATE TABLE public.kept AS SELECT 1 AS number")
    failing = None
    try:
        with connect(database_url) as failing:
            failing.execute("INSERT INTO public.kept VALUES (2)")
            raise LookupError
    except LookupError:
        pass
    assert failing is not None
    assert failing.closed
    with connect(database_url) as connection:
        assert connection.execute("SELECT number FROM public.kept").fetchall() == [(1,)]


def test_a_connection_the_server_ends_is_unavailable(database_url: str) -> None:
    """Also in the middle of the block."""

    def use_it_while_it_ends() -> None:
        with connect(database_url) as connection:
            with psycopg.connect(database_url, autocommit=True) as admin:
                admin.execute(
                    "SELECT pg_terminate_backend(%s, 60000)", (connection.info.backend_pid,)
                )
            connection.execute("SELECT 1")

    with pytest.raises(DatabaseUnavailable):
        use_it_while_it_ends()


def test_a_mistake_of_ours_is_not_taken_for_an_outage(database_url: str) -> None:
    """A wrong statement would otherwise be retried for ever."""
    with pytest.raises(psycopg.errors.UndefinedTable), connect(database_url) as connection:
        connection.execute("SELECT * FROM no_such_table")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://someone:hunter2@127.0.0.1:1/catalog",
        "postgresql://someone:hunter2@/catalog?host={home}",
        "postgresql://someone:before@hunter2@127.0.0.1:1/catalog",
        "postgresql://someone:before/hunter2@127.0.0.1:1/catalog",
        "postgresql://someone:hunter2/after@127.0.0.1:1/catalog",
        "postgresql://someone:before#hunter2?@127.0.0.1:1/catalog",
        "postgresql://someone:%hunter2@127.0.0.1:1/catalog",
        "postgresql://someone@127.0.0.1:1/catalog?password=hunter2",
        "postgresql://someone@127.0.0.1:1/catalog?passwort=hunter2",
        # A bare % before two hexadecimal digits is read as a byte, which is no UTF-8.
        "postgresql://someone:hunter2%ec@127.0.0.1:1/catalog",
        "postgresql://someone@127.0.0.1:1/catalog?password=hunter2%FF",
        "postgresql://someone:hunter2@127.0.0.1:1/catalog?connect_timeout=soon",
        "postgresql://someone:hunter2@{label}.invalid/catalog",
        "postgresql://someone:hunter2@127.0.0.1:99999/catalog",
    ],
)
def test_no_failure_shows_the_password(url: str, home: Path) -> None:
    """Its traceback does not either, however the URL is misspelled."""
    with (
        pytest.raises(DatabaseUnavailable) as failed,
        connect(url.replace("{home}", str(home)).replace("{label}", "a" * 64)),
    ):
        pass
    shown = "".join(traceback.format_exception(failed.value))
    assert "hunter2" not in shown


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("postgresql://me@127.0.0.1:1/catalog", "127.0.0.1:1, database catalog"),
        ("postgresql://me@db.internal/catalog", "db.internal:5432, database catalog"),
        ("postgresql://me@[::1]:6432/catalog", "[::1]:6432, database catalog"),
        ("postgresql://me@a:1,b:2/catalog", "a:1,b:2, database catalog"),
        ("postgresql://me@a,b:2/catalog", "a:5432,b:2, database catalog"),
        (
            "postgresql://me@/catalog?host=/run/postgres&port=6432",
            "/run/postgres, port 6432, database",
        ),
        ("postgresql:///catalog", "localhost:5432, database catalog"),
        ("postgresql://me@/catalog?hostaddr=10.0.0.1", "10.0.0.1:5432, database catalog"),
    ],
)
def test_a_failure_names_the_servers_port(url: str, server: str) -> None:
    """Several servers of one host differ in nothing else."""
    error = unavailable(psycopg.OperationalError("the server is starting up"), url)
    assert error.message.startswith(f"Postgres at {server}")
    assert "the server is starting up" in error.message
