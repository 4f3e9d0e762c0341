"""Where Dagster keeps its runs and events."""

import json
import os
from collections.abc import Callable, Generator
from pathlib import Path
from typing import LiteralString
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from dagster import AssetMaterialization, DagsterInstance, OpExecutionContext, job, op
from dagster._core.execution.asset_backfill import _get_next_latest_storage_id
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._utils.caching_instance_queryer import CachingInstanceQueryer

from connector_pipeline.engine.storage import ConnectorStorage
from connector_pipeline.postgres.embedded.server import EmbeddedPostgres
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
    """As a deployment sets it."""
    url = urlunsplit(urlsplit(new_database(None))._replace(scheme="postgresql+psycopg2"))
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", url)
    storage = ConnectorStorage.from_config_value(None, {})
    assert isinstance(storage, ConnectorStorage)
    assert storage.postgres_url == url
    assert storage.run_storage.get_runs() == []


def test_beside_an_embedded_server_its_database_is_used(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    """So that a command beside a running dev sees the same runs."""
    monkeypatch.setenv("CONNECTOR_HOME", str(home))
    with EmbeddedPostgres(home, settings=QUICK) as server:
        storage = ConnectorStorage.from_config_value(None, {})
        assert isinstance(storage, ConnectorStorage)
        assert storage.postgres_url == server.dagster_url


def test_a_look_at_the_definitions_needs_no_server() -> None:
    """Dagster gives such a command a temporary instance."""
    storage = ConnectorStorage.from_config_value(None, {})
    assert isinstance(storage, DagsterSqliteStorage)


def test_runs_that_are_meant_to_stay_are_not_kept_in_a_temporary_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A daemon whose URL was forgotten must not start on an empty storage."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with pytest.raises(SettingsError, match="DAGSTER_POSTGRES_URL"):
        ConnectorStorage.from_config_value(None, {})


@pytest.fixture
def instance(
    monkeypatch: pytest.MonkeyPatch, new_database: Callable[[str | None], str], tmp_path: Path
) -> Generator[DagsterInstance]:
    """An instance over this storage, as dagster.yaml makes one."""
    url = urlunsplit(urlsplit(new_database(None))._replace(scheme="postgresql+psycopg2"))
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", url)
    storage = {"module": "connector_pipeline.engine.storage", "class": "ConnectorStorage"}
    (tmp_path / "dagster.yaml").write_text(json.dumps({"storage": {"custom": storage}}))
    with DagsterInstance.from_config(str(tmp_path)) as made:
        yield made


def admin(query: LiteralString) -> object:
    """The only value of a query's only row, over a connection that is not the storage's."""
    url = os.environ["DAGSTER_POSTGRES_URL"].replace("+psycopg2", "")
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def backends() -> set[int]:
    """The server's processes that answer the storage's connections."""
    found = admin(
        "SELECT array_agg(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    assert isinstance(found, list)
    return set(found)


def test_a_run_writes_its_events_over_the_connections_it_has(instance: DagsterInstance) -> None:
    """Not over two or three new ones for each event."""

    @op
    def talk(context: OpExecutionContext) -> None:
        for number in range(20):
            context.log_event(AssetMaterialization("spoken", metadata={"number": number}))

    @job
    def talking() -> None:
        talk()

    assert talking.execute_in_process(instance=instance).success
    before = backends()
    assert before
    assert talking.execute_in_process(instance=instance).success
    # One that was more than is kept may still have been leaving.
    assert backends() <= before


def test_connections_that_the_server_closed_are_not_used(instance: DagsterInstance) -> None:
    """As after a restart of Postgres between two events of a process."""
    assert instance.get_runs() == []
    closed = admin(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    assert closed
    assert instance.get_runs() == []


def test_a_backfill_sees_events_that_were_committed_after_later_ones(
    instance: DagsterInstance,
) -> None:
    """A batch has its ids before it is committed, and other runs write meanwhile."""
    copy_the_last = (
        "INSERT INTO event_logs (run_id, event, timestamp) "
        "SELECT run_id, event, timestamp FROM event_logs ORDER BY id DESC LIMIT 1 RETURNING id"
    )
    instance.report_engine_event("the first", run_id="r-1", job_name="any")
    url = os.environ["DAGSTER_POSTGRES_URL"].replace("+psycopg2", "")
    with psycopg.connect(url) as writing:
        [(late,)] = writing.execute(copy_the_last).fetchall()
        assert admin(copy_the_last) == late + 1
        # Where the next look at the events begins, asked as the daemon asks it.
        cursor = _get_next_latest_storage_id(CachingInstanceQueryer(instance, None, None))  # type: ignore[arg-type]
    assert cursor < late
