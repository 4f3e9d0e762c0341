"""Dagster's own storage, found where the project's settings say (dagster.yaml names it)."""

import atexit
import os
import shutil
import tempfile
from typing import Any

from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage

from connector_pipeline.embedded_postgres.postmaster import running_server
from connector_pipeline.settings import SettingsError, load_settings


class ConnectorStorage(DagsterPostgresStorage):
    """Postgres at DAGSTER_POSTGRES_URL, else the embedded server's if it runs.

    dagster.yaml's own `{env: …}` fails where the variable is not set, and with it every command
    that merely looks at the definitions. Without DAGSTER_HOME Dagster's instance is a temporary
    one, which such commands get: it is kept in a temporary folder. A process with a DAGSTER_HOME
    means its runs to stay, so for it a missing URL is a SettingsError.
    """

    @classmethod
    def config_type(cls) -> Any:
        """Nothing is configured in dagster.yaml: a URL holds a password."""
        return {}

    @classmethod
    def from_config_value(  # pyright: ignore[reportIncompatibleMethodOverride]  # theirs too
        cls, inst_data: ConfigurableClassData | None, config_value: Any
    ) -> DagsterStorage:
        """Open the storage. Raises SettingsError."""
        url = _postgres_url()
        if url is not None:
            return cls(postgres_url=url, inst_data=inst_data)
        if os.environ.get("DAGSTER_HOME"):
            raise SettingsError(
                [
                    "DAGSTER_POSTGRES_URL: not set, and no embedded Postgres runs. "
                    "Example: DAGSTER_POSTGRES_URL=postgresql+psycopg2://dagster@db.internal/dagster"
                ]
            )
        folder = tempfile.mkdtemp(prefix="connector-dagster-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return DagsterSqliteStorage(folder)


def _postgres_url() -> str | None:
    settings = load_settings()
    if settings.dagster_postgres_url is not None:
        return settings.dagster_postgres_url.get_secret_value()
    if settings.connector_database_url is not None:
        # Somebody else's server: which of its databases is Dagster's is not ours to guess.
        return None
    server = running_server(settings.home)
    return None if server is None else server.url("dagster", scheme="postgresql+psycopg2")
