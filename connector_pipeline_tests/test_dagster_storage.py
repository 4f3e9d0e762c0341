"""Where Dagster keeps its runs and events."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage

from connector_pipeline.dagster_storage import ConnectorStorage
from connector_pipeline.embedded_postgres.server import EmbeddedPostgres
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
