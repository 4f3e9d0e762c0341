"""A Dagster instance over the project's own storage."""

import json
from collections.abc import Callable, Generator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from dagster import DagsterInstance


@pytest.fixture
def stored_instance(
    monkeypatch: pytest.MonkeyPatch, new_database: Callable[[str | None], str], tmp_path: Path
) -> Generator[DagsterInstance]:
    """An instance over ConnectorStorage and a fresh database, as dagster.yaml makes one."""
    url = urlunsplit(urlsplit(new_database(None))._replace(scheme="postgresql+psycopg2"))
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", url)
    storage = {"module": "connector_pipeline.engine.storage", "class": "ConnectorStorage"}
    (tmp_path / "dagster.yaml").write_text(json.dumps({"storage": {"custom": storage}}))
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        yield instance
