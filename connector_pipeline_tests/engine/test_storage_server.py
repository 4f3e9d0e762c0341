"""Dagster's own Postgres that cannot be reached is one line, soon, without its password."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from dagster import DagsterInstance, OpExecutionContext, job, op

from connector_pipeline.cli.failures import failure_of
from connector_pipeline.cli.local_services import instance_config
from connector_pipeline.engine.storage import ConnectorStorage
from connector_pipeline.engine.storage_server import StorageUnavailable, storage_connection
from connector_pipeline.postgres.embedded.server import EmbeddedPostgres
from connector_pipeline.settings import SettingsError
from connector_pipeline_tests import postgres_faults as faults

PATIENCE = 300

PASSWORD = "hunter2"


@contextmanager
def silent_server() -> Generator[int]:
    """The port of a server that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield server.getsockname()[1]


def closed_port() -> int:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def unavailable(monkeypatch: pytest.MonkeyPatch, url: str) -> str:
    """The line that a command prints, where the storage is at this URL."""
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", url)
    with pytest.raises(StorageUnavailable) as failed:
        ConnectorStorage.from_config_value(None, {})
    failure = failure_of(failed.value)
    assert failure is not None
    [line] = failure.lines
    assert "\n" not in line
    assert line.startswith("DatabaseUnavailable: ")
    assert "DAGSTER_POSTGRES_URL" in line
    for secret in (PASSWORD, "hun%ter"):
        assert secret not in line
    return line


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("someone:hunter2@127.0.0.1:{closed}/dagster", "127.0.0.1:{closed}, database dagster"),
        ("someone:hunter2@127.0.0.1:{silent}/dagster", "127.0.0.1:{silent}, database dagster"),
        ("someone:hunter2@127.0.0.1:{silent}/dagster", "timeout expired"),
        ("someone:hunter2@no-such-host.invalid/dagster", "no-such-host.invalid:5432"),
        ("someone:a@hunter2@127.0.0.1:{closed}/dagster", "cannot be read"),
        ("someone:hunter2@/dagster?host=/nowhere", "/nowhere, port 5432, database dagster"),
    ],
)
def test_a_server_that_cannot_be_reached_is_one_line(
    monkeypatch: pytest.MonkeyPatch, where: str, says: str
) -> None:
    """With the variable, the server, the reason, and no password, whatever it has in it."""
    with silent_server() as silent:
        ports = {"closed": closed_port(), "silent": silent}
        line = unavailable(monkeypatch, f"postgresql+psycopg2://{where.format(**ports)}")
    assert says.format(**ports) in line


@pytest.mark.parametrize(
    "where",
    [
        "someone:hun%ter2@127.0.0.1:{closed}/dagster",
        "someone:a/hunter2@127.0.0.1:{closed}/dagster",
        "someone:hunter2@127.0.0.1:{closed}x/dagster",
    ],
)
def test_a_url_that_readers_would_read_differently_is_one_line(
    monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """It says how to write the password, and no part of it."""
    url = f"postgresql+psycopg2://{where.format(closed=closed_port())}"
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", url)
    with pytest.raises(SettingsError) as failed:
        ConnectorStorage.from_config_value(None, {})
    [line] = failed.value.lines
    assert line.startswith("DAGSTER_POSTGRES_URL: ")
    assert PASSWORD not in line
    assert "hun%ter" not in line


@pytest.mark.parametrize(
    ("user", "path", "says"),
    [
        ("postgres", "/no_such_database", 'database "no_such_database" does not exist'),
        ("nobody", "/postgres", 'role "nobody" does not exist'),
    ],
)
def test_a_server_that_refuses_says_why(
    monkeypatch: pytest.MonkeyPatch, postgres_url: str, user: str, path: str, says: str
) -> None:
    """In the server's own words."""
    parts = urlsplit(postgres_url)
    netloc = f"{user}:{PASSWORD}@{parts.netloc.rpartition('@')[2]}"
    url = urlunsplit(parts._replace(scheme="postgresql+psycopg2", netloc=netloc, path=path))
    assert says in unavailable(monkeypatch, url)


def test_a_server_without_connections_left_says_so(
    monkeypatch: pytest.MonkeyPatch, empty_database_url: str
) -> None:
    """The line says what to raise."""
    with (
        faults.ordinary_user(empty_database_url) as url,
        faults.no_new_connections(empty_database_url, url),
    ):
        line = unavailable(monkeypatch, url.replace("postgresql://", "postgresql+psycopg2://"))
    assert "CONNECTION LIMIT" in line


def test_a_password_with_a_bare_percent_is_read_as_dagster_reads_it(
    empty_database_url: str,
) -> None:
    """SQLAlchemy takes it as it is, and so Dagster can connect."""
    url = empty_database_url.replace("postgresql://postgres@", "postgresql+psycopg2://postgres:5%@")
    with storage_connection(url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("module", ["dagster._daemon", "dagster_webserver"])
def test_dagsters_own_processes_say_it_in_one_line(tmp_path: Path, module: str) -> None:
    """A deployment starts them without a command of ours."""
    (tmp_path / "dagster.yaml").write_text(instance_config().read_text())
    port = closed_port()
    environment = os.environ | {
        "DAGSTER_HOME": str(tmp_path),
        "CONNECTOR_HOME": str(tmp_path),
        "DAGSTER_POSTGRES_URL": f"postgresql+psycopg2://someone:{PASSWORD}@127.0.0.1:{port}/dagster",
    }
    command = [sys.executable, "-m", module, *(["run"] if module == "dagster._daemon" else [])]
    ended = subprocess.run(
        [*command, "-m", "connector_pipeline.definitions"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    said = ended.stdout + ended.stderr
    assert ended.returncode == 1
    assert "Traceback" not in said
    assert PASSWORD not in said
    assert said.splitlines()[-1].startswith(f"Error: Postgres at 127.0.0.1:{port}")


def test_a_connection_of_the_storage_is_bounded(
    monkeypatch: pytest.MonkeyPatch, new_database: Callable[[str | None], str]
) -> None:
    """A statement, the wait for a lock, and a transaction that stands still."""
    url = urlunsplit(urlsplit(new_database(None))._replace(scheme="postgresql+psycopg2"))
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", url)
    storage = ConnectorStorage.from_config_value(None, {})
    assert isinstance(storage, ConnectorStorage)
    with storage.run_storage.connect() as connection:
        shown = [
            connection.exec_driver_sql(f"SHOW {name}").scalar_one()
            for name in (
                "statement_timeout",
                "lock_timeout",
                "idle_in_transaction_session_timeout",
            )
        ]
    assert shown == ["30min", "1min", "5min"]


def test_a_run_goes_on_when_its_storage_was_restarted(
    monkeypatch: pytest.MonkeyPatch, home: Path, tmp_path: Path
) -> None:
    """Its events are written after the restart."""
    with EmbeddedPostgres(home, settings={"fsync": "off"}) as server:
        monkeypatch.setenv("DAGSTER_POSTGRES_URL", server.dagster_url)
        storage = '{"module": "connector_pipeline.engine.storage", "class": "ConnectorStorage"}'
        (tmp_path / "dagster.yaml").write_text(f'{{"storage": {{"custom": {storage}}}}}')

        @op
        def restart(context: OpExecutionContext) -> None:
            faults.restart(server.url("dagster"), mode="immediate")
            context.log.info("after the restart")

        @job
        def restarting() -> None:
            restart()

        with DagsterInstance.from_config(str(tmp_path)) as instance:
            result = restarting.execute_in_process(instance=instance)
            assert result.success
            assert [log.user_message for log in instance.all_logs(result.run_id)].count(
                "after the restart"
            )
