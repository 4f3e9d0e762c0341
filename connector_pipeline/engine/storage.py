"""Dagster's own storage, found where the project's settings say (dagster.yaml names it)."""

import atexit
import os
import shutil
import tempfile
from typing import Any, Final

import sqlalchemy
from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage

from connector_pipeline.postgres.embedded.postmaster import running_server
from connector_pipeline.settings import SettingsError, load_settings

_KEPT_CONNECTIONS: Final = 2
"""Connections a process keeps open between its events: one works, one more while it waits."""
_MORE_CONNECTIONS: Final = 18
"""What a process may open beyond them for a moment, as many as the daemon has threads."""
_RECYCLE_SECONDS: Final = 1_800
"""Load balancers and firewalls drop what is idle for longer without a word."""

_EVENTS_AT_ONCE: Final = 500
"""Events of a step that are written together, where Dagster has them all at hand."""

_EVENTS_LOOKED_BACK: Final = 10 * _EVENTS_AT_ONCE
"""Of the daemon's backfills. They remember the newest event they saw and look for later ones next
time; but a batch gets its ids before it is committed, and while it is written other runs commit
later ids. Dagster looks back none: a backfill that looked at that moment would never see the batch,
and would call its shops failed and not publish them."""


class ConnectorStorage(DagsterPostgresStorage):
    """Postgres at DAGSTER_POSTGRES_URL, else the embedded server's if it runs; connections pooled.

    Dagster's own storage opens two or three connections for every event it writes, which takes
    longer than all else it does (dagster/FACTS: Cost). Here the runs, events and schedules of a
    process share one pool, and the materializations of a run over many shops are written together:
    bench/dagster_storage.py says what a shop costs with each.

    dagster.yaml's own `{env: …}` fails where the variable is not set, and with it every command
    that merely looks at the definitions. Without DAGSTER_HOME Dagster's instance is a temporary
    one, which such commands get: it is kept in a temporary folder. A process with a DAGSTER_HOME
    means its runs to stay, so for it a missing URL is a SettingsError.
    """

    def __init__(self, postgres_url: str, inst_data: ConfigurableClassData | None = None):
        super().__init__(postgres_url, inst_data=inst_data)
        engine = sqlalchemy.create_engine(
            postgres_url,
            isolation_level="AUTOCOMMIT",
            pool_size=_KEPT_CONNECTIONS,
            max_overflow=_MORE_CONNECTIONS,
            # A server that was restarted meanwhile must not cost anybody an event.
            pool_pre_ping=True,
            pool_recycle=_RECYCLE_SECONDS,
        )
        for storage in (self._run_storage, self._event_log_storage, self._schedule_storage):
            # Dagster offers no other way to have an engine of one's own.
            storage._engine = engine  # pyright: ignore[reportPrivateUsage]

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
            # Variables, for which dagster.yaml has no names; every process opens a storage.
            os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", str(_EVENTS_AT_ONCE))
            os.environ.setdefault("ASSET_BACKFILL_CURSOR_OFFSET", str(_EVENTS_LOOKED_BACK))
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
