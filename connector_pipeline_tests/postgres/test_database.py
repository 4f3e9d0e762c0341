"""The Database resource: which server it chooses, and what it shows."""

from pathlib import Path

import pytest

from connector_pipeline.model.errors import DatabaseUnavailable
from connector_pipeline.postgres.database import Database
from connector_pipeline.postgres.embedded.server import EmbeddedPostgres


@pytest.fixture(autouse=True)
def _own_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONNECTOR_DATABASE_URL", raising=False)
    monkeypatch.setenv("CONNECTOR_HOME", str(home))


def test_the_environment_names_the_server(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the resource has no URL of its own."""
    monkeypatch.setenv("CONNECTOR_DATABASE_URL", database_url)
    with Database().connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_the_embedded_server_is_used_while_it_runs(home: Path) -> None:
    """And without it, an operator is told what to do."""
    with EmbeddedPostgres(home, settings={"fsync": "off"}), Database().connect() as connection:
        assert connection.info.dbname == "catalog"
    with (
        pytest.raises(DatabaseUnavailable, match=r"connector-pipeline dev.*CONNECTOR_DATABASE_URL"),
        Database().connect(),
    ):
        pass


def test_its_url_is_never_shown() -> None:
    """A resource turns up in logs and errors by its repr."""
    database = Database(url="postgresql://someone:hunter2@db.example.com/catalog")
    assert "hunter2" not in f"{database} {database!r}"
