"""A Postgres that holds its connections and never answers stops no process of Dagster's."""

import tempfile
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import sqlalchemy
from sqlalchemy.exc import OperationalError

from connector_pipeline.engine import silent_server
from connector_pipeline.engine.storage import ConnectorStorage
from connector_pipeline.postgres.embedded.server import EmbeddedPostgres
from connector_pipeline_tests import postgres_faults as faults
from connector_pipeline_tests.postgres.pgbouncer import PROGRAM, pgbouncer, through

_HANGS = 300.0
"""Seconds after which a test that waits for something fails."""


@pytest.fixture
def server(home: Path) -> Generator[str]:
    """The URL of Dagster's database at a server of the test's own, which may be stopped."""
    with EmbeddedPostgres(home, settings={"fsync": "off"}) as postgres:
        joined = "&" if "?" in postgres.dagster_url else "?"
        yield f"{postgres.dagster_url}{joined}connect_timeout=2"


@pytest.fixture
def engine(server: str, monkeypatch: pytest.MonkeyPatch) -> sqlalchemy.Engine:
    """The engine of Dagster's storage, whose server is soon asked whether it is there."""
    monkeypatch.setattr(silent_server, "ASKED_AFTER", 0.2)
    storage = ConnectorStorage(server).run_storage
    return storage._engine  # pyright: ignore


def ask(engine: sqlalchemy.Engine, statement: str = "SELECT 1") -> object:
    """The only value of the answer."""
    with engine.connect() as connection:
        return connection.execute(sqlalchemy.text(statement)).scalar()


def test_a_statement_at_a_server_that_stands_still_ends_in_an_error(
    engine: sqlalchemy.Engine, server: str
) -> None:
    """So does the question whether a kept connection still works. Afterwards all is well."""
    url = urlsplit(server)._replace(scheme="postgresql").geturl()
    assert ask(engine) == 1
    with engine.connect() as held, ThreadPoolExecutor(2) as threads:
        held.execute(sqlalchemy.text("SELECT 1"))
        with faults.frozen(url):
            running = threads.submit(held.execute, sqlalchemy.text("SELECT 1"))
            checked = threads.submit(ask, engine)
            for each in (running, checked):
                with pytest.raises(OperationalError):
                    each.result(_HANGS)
    assert ask(engine) == 1


def test_a_long_statement_at_a_server_that_answers_goes_on(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often the server was asked meanwhile: a migration of Dagster's may take long."""
    monkeypatch.setattr(silent_server, "ASKED_AFTER", 0.2)
    # A busy server has time to answer.
    storage = ConnectorStorage(server.replace("connect_timeout=2", "connect_timeout=60"))
    engine = storage.run_storage._engine  # pyright: ignore
    assert ask(engine, "SELECT 1 FROM pg_sleep(1.5)") == 1


@pytest.mark.skipif(PROGRAM is None, reason="PgBouncer is not installed")
def test_a_server_that_stands_still_behind_a_pooler_is_given_up(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pooler goes on greeting clients. All that wait end together, after one look."""
    monkeypatch.setattr(silent_server, "ASKED_AFTER", 0.2)
    monkeypatch.setattr(silent_server, "ANSWERS_WITHIN", 3.0)
    url = urlsplit(server)._replace(scheme="postgresql").geturl()
    with (
        tempfile.TemporaryDirectory() as folder,
        pgbouncer(url, open_to_others(folder), pool_mode="transaction") as pooler,
    ):
        behind = urlsplit(through(pooler, url))._replace(
            scheme="postgresql+psycopg2", query="connect_timeout=2"
        )
        engine = ConnectorStorage(behind.geturl()).run_storage._engine  # pyright: ignore
        assert ask(engine) == 1
        with ThreadPoolExecutor(4) as threads, faults.frozen(url):
            for each in [threads.submit(ask, engine) for _ in range(4)]:
                with pytest.raises(OperationalError):
                    each.result(_HANGS)


def open_to_others(folder: str) -> Path:
    """The folder, which another account may enter."""
    path = Path(folder)
    path.chmod(0o755)
    return path
