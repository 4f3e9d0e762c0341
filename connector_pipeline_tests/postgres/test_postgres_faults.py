"""The troubles that tests give to a real Postgres are the troubles that they are named after."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from connector_pipeline.postgres.embedded.server import EmbeddedPostgres
from connector_pipeline_tests import postgres_faults as faults

WRITE = "DELETE FROM connector.shops"


def test_a_full_disk_fails_the_statement_or_the_commit(database_url: str) -> None:
    """The server's own code for it, 53100, comes either way."""
    add = (
        "INSERT INTO connector.sync_requests (platform_name, domain, merchant_id,"
        " platform_shop_id, sync_id) VALUES ('a', 'b', 'c', 'd', 'e')"
    )
    with (
        faults.disk_full(database_url, "connector.sync_requests"),
        psycopg.connect(database_url) as connection,
        pytest.raises(psycopg.errors.DiskFull),
    ):
        connection.execute(add)
    with (
        faults.disk_full(database_url, "connector.sync_requests", at_commit=True),
        psycopg.connect(database_url) as connection,
    ):
        connection.execute(add)
        with pytest.raises(psycopg.errors.DiskFull):
            connection.commit()
    with psycopg.connect(database_url) as connection:
        connection.execute(add)


def test_the_first_writer_is_the_victim_of_a_deadlock(database_url: str) -> None:
    """A second attempt goes through."""
    with (
        faults.deadlock(database_url, "connector.shops"),
        psycopg.connect(database_url) as connection,
    ):
        with pytest.raises(psycopg.errors.DeadlockDetected):
            connection.execute(WRITE)
        connection.rollback()
        connection.execute(WRITE)


def test_a_paused_writer_can_be_seen_and_ended(database_url: str) -> None:
    """The pause names the session that stands at it."""
    with (
        faults.paused(database_url, "connector.shops") as pause,
        psycopg.connect(database_url) as connection,
        ThreadPoolExecutor(1) as thread,
    ):
        writing = thread.submit(connection.execute, WRITE)
        assert pause.reached() == connection.info.backend_pid
        pause.release()
        writing.result()


def test_a_user_out_of_connections_is_refused(database_url: str) -> None:
    """One that is no superuser, for whom Postgres counts."""
    with faults.ordinary_user(database_url) as url:
        psycopg.connect(url).close()
        with (
            faults.no_new_connections(database_url, url),
            pytest.raises(psycopg.OperationalError, match="too many connections for role"),
        ):
            psycopg.connect(url)


def test_a_read_only_database_takes_no_writes(database_url: str) -> None:
    """And takes them again afterwards."""
    with (
        faults.read_only(database_url),
        psycopg.connect(database_url) as connection,
        pytest.raises(psycopg.errors.ReadOnlySqlTransaction),
    ):
        connection.execute(WRITE)
    with psycopg.connect(database_url) as connection:
        connection.execute(WRITE)


def test_a_server_restarts_freezes_and_runs_out(home: Path) -> None:
    """A server of its own, because others share that of the tests."""
    settings = {"fsync": "off", "max_connections": "8"}
    with EmbeddedPostgres(home, settings=settings) as server:
        url = server.url("catalog")
        with psycopg.connect(url) as connection:
            faults.restart(url, mode="immediate")
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
        with (
            faults.connections_used_up(url),
            pytest.raises(psycopg.OperationalError, match="too many clients"),
        ):
            psycopg.connect(url)
        with faults.frozen(url), pytest.raises(psycopg.errors.ConnectionTimeout):
            psycopg.connect(url, connect_timeout=2)
        psycopg.connect(url).close()
