"""The storage in which Dagster keeps its runs and events."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import LiteralString
from urllib.parse import urlsplit, urlunsplit

import httpx
import psycopg
import pytest
from dagster import AssetMaterialization, DagsterInstance, OpExecutionContext, job, op
from dagster._core.execution.asset_backfill import _get_next_latest_storage_id
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._utils.caching_instance_queryer import CachingInstanceQueryer
from dagster_postgres import PostgresRunStorage

from connector_pipeline.engine.storage import ConnectorStorage, bound_storage
from connector_pipeline.engine.webserver import webserver_app
from connector_pipeline.postgres.embedded.server import EmbeddedPostgres
from connector_pipeline.postgres.limits import DAGSTER_PAGES
from connector_pipeline.settings import SettingsError

QUICK = {"fsync": "off"}


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("DAGSTER_POSTGRES_URL", "CONNECTOR_DATABASE_URL", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CONNECTOR_HOME", str(tmp_path))


def test_the_url_of_the_environment_is_used(
    monkeypatch: pytest.MonkeyPatch, new_database: Callable[[str | None], str]
) -> None:
    """A deployment sets DAGSTER_POSTGRES_URL."""
    url = urlunsplit(urlsplit(new_database(None))._replace(scheme="postgresql+psycopg2"))
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", url)
    storage = ConnectorStorage.from_config_value(None, {})
    assert isinstance(storage, ConnectorStorage)
    assert storage.postgres_url == url
    assert storage.run_storage.get_runs() == []


def test_beside_an_embedded_server_its_database_is_used(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    """A command beside a running `dev` sees the same runs."""
    monkeypatch.setenv("CONNECTOR_HOME", str(home))
    with EmbeddedPostgres(home, settings=QUICK) as server:
        storage = ConnectorStorage.from_config_value(None, {})
        assert isinstance(storage, ConnectorStorage)
        assert storage.postgres_url == server.dagster_url


def test_a_look_at_the_definitions_needs_no_server() -> None:
    """Dagster gives such a command a temporary instance."""
    storage = ConnectorStorage.from_config_value(None, {})
    assert isinstance(storage, DagsterSqliteStorage)


def test_a_process_with_a_dagster_home_gets_no_temporary_storage(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A daemon whose URL was forgotten must not start on an empty storage."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with pytest.raises(SettingsError, match="DAGSTER_POSTGRES_URL"):
        ConnectorStorage.from_config_value(None, {})


def admin(query: LiteralString) -> object:
    """The only value of a query's only row, read over a connection of the test's own."""
    url = os.environ["DAGSTER_POSTGRES_URL"].replace("+psycopg2", "")
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def backends() -> set[int]:
    """The ids of the server's processes that serve the storage's connections."""
    found = admin(
        "SELECT array_agg(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    assert isinstance(found, list)
    return set(found)


def end_sessions() -> None:
    """End the sessions of the storage, and wait until they have ended."""
    # The time is in milliseconds. Without it the server has only been asked to end them.
    assert admin(
        "SELECT bool_and(pg_terminate_backend(pid, 60000)) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )


def test_a_run_writes_its_events_over_the_connections_it_has(
    stored_instance: DagsterInstance,
) -> None:
    """It does not open two or three new ones for each event."""

    @op
    def talk(context: OpExecutionContext) -> None:
        for number in range(20):
            context.log_event(AssetMaterialization("spoken", metadata={"number": number}))

    @job
    def talking() -> None:
        talk()

    assert talking.execute_in_process(instance=stored_instance).success
    before = backends()
    assert before
    assert talking.execute_in_process(instance=stored_instance).success
    # A connection beyond those that are kept may still have been closing.
    assert backends() <= before


def test_connections_that_the_server_closed_are_not_used(stored_instance: DagsterInstance) -> None:
    """Postgres may be restarted between two events of a process."""
    assert stored_instance.get_runs() == []
    end_sessions()
    assert stored_instance.get_runs() == []


@pytest.mark.usefixtures("stored_instance")
async def test_the_web_server_uses_no_connections_that_the_server_closed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Else the first clicks after a restart of Postgres fail, and one leaves half a run."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    workspace = tmp_path / "workspace.yaml"
    workspace.write_text("load_from: []\n")
    of_each_storage = (
        "{runsOrError{... on Runs{count}} assetRecordsOrError{... on AssetRecordConnection{cursor}}"
        " instance{daemonHealth{allDaemonStatuses{lastHeartbeatTime}}}}"
    )

    async def ask() -> dict[str, object]:
        return (await pages.post("/graphql", json={"query": of_each_storage})).json()

    target = WorkspaceFileTarget([str(workspace)])
    with webserver_app(target, read_only=False, path_prefix="") as app:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://ui"
        ) as pages:
            first = await ask()
            assert "errors" not in first
            end_sessions()
            assert await ask() == first


def test_the_web_server_gives_a_page_less_time(stored_instance: DagsterInstance) -> None:
    """A page for which Postgres works for minutes has no reader any more."""
    bound_storage(stored_instance, DAGSTER_PAGES)
    storage = stored_instance.run_storage
    assert isinstance(storage, PostgresRunStorage)
    with storage.connect() as connection:
        assert connection.exec_driver_sql("SHOW statement_timeout").scalar_one() == "15s"


def test_a_backfill_sees_events_that_were_committed_after_later_ones(
    stored_instance: DagsterInstance,
) -> None:
    """A batch has its ids before it is committed, and other runs commit later ids meanwhile."""
    copy_the_last = (
        "INSERT INTO event_logs (run_id, event, timestamp) "
        "SELECT run_id, event, timestamp FROM event_logs ORDER BY id DESC LIMIT 1 RETURNING id"
    )
    stored_instance.report_engine_event("the first", run_id="r-1", job_name="any")
    url = os.environ["DAGSTER_POSTGRES_URL"].replace("+psycopg2", "")
    with psycopg.connect(url) as writing:
        [(late,)] = writing.execute(copy_the_last).fetchall()
        assert admin(copy_the_last) == late + 1
        # The event after which the next look begins, computed as the daemon computes it.
        cursor = _get_next_latest_storage_id(CachingInstanceQueryer(stored_instance, None, None))  # type: ignore[arg-type]
    assert cursor < late
