"""Dagster's storage at the URL that the project's settings give; dagster.yaml names this class.

Needs: `DagsterStorage`, `DagsterSqliteStorage`, `ConfigurableClassData`, the attributes
`_run_storage`, `_event_log_storage`, `_schedule_storage` and, of the three storages, `_engine`; the
names of the tables without which they make theirs. Tried with Dagster 1.13.27. Options for the pool
of a Postgres storage (dagster pull request 33936), and a URL that may be missing, would replace
this module.
"""

import atexit
import os
import shutil
import tempfile
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import psycopg2
import sqlalchemy
from dagster import DagsterInstance
from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage, PostgresRunStorage
from dagster_postgres.utils import retry_pg_connection_fn
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.dialects.postgresql.psycopg2 import dialect
from sqlalchemy.event import listen

from connector_pipeline.engine.event_log import BatchingEventLog
from connector_pipeline.engine.fresh_connections import look_before_use
from connector_pipeline.engine.guarded_output import guard_dagsters_output
from connector_pipeline.engine.run_storage import MarkingRunStorage
from connector_pipeline.engine.schedule_storage import MergingScheduleStorage
from connector_pipeline.engine.silent_server import SilenceWatch, watched_cursor
from connector_pipeline.engine.storage_server import conninfo, wait_for_storage
from connector_pipeline.postgres.bounded_connection import Pooling
from connector_pipeline.postgres.connections import CONNECT_TIMEOUT_SECONDS
from connector_pipeline.postgres.embedded.postmaster import running_server
from connector_pipeline.postgres.limits import DAGSTER_STORAGE, Limits
from connector_pipeline.postgres.pooler import pooling
from connector_pipeline.settings import SettingsError, load_settings

_KEPT_CONNECTIONS: Final = 2
"""Connections that a process keeps open between its events: one works, one is in reserve."""
_MORE_CONNECTIONS: Final = 18
"""Connections that a process may open beyond them for a moment, enough for the daemon's threads."""
_RECYCLE_SECONDS: Final = 1_800
"""Load balancers and firewalls silently drop connections that are idle for longer."""

_UNLESS_GIVEN: Final[Mapping[str, int]] = {
    "connect_timeout": CONNECT_TIMEOUT_SECONDS,
    "keepalives_idle": 60,
    "keepalives_interval": 10,
    "keepalives_count": 6,
    "tcp_user_timeout": 30_000,
}
"""Options of libpq that the URL may give otherwise. By default it waits for minutes."""

_TABLES: Final = frozenset({"runs", "instance_info", "event_logs", "jobs"})
"""Dagster makes its tables where one of these is missing."""

_EVENTS_AT_ONCE: Final = 500
"""Events of a step that Dagster writes together, if it has them all at once."""

_EVENTS_LOOKED_BACK: Final = 10 * _EVENTS_AT_ONCE
"""How many events the daemon's backfills look back. A backfill remembers the newest event that it
saw and next looks for later ones. But a batch gets its ids before it is committed, and other runs
commit later ids meanwhile. By default Dagster does not look back: a backfill that looked at that
moment would never see the batch, take its shops for failed and not publish them."""


class ConnectorStorage(DagsterPostgresStorage):
    """Postgres at DAGSTER_POSTGRES_URL, or the embedded server if it runs; with pooled connections.

    Dagster's own storage opens two or three connections for every event that it writes, which takes
    longer than all its other work (docs/facts/dagster.md, Cost). With this class the runs, events
    and schedules of a process share one pool, and the materializations of a run over many shops are
    written together. bench/dagster_storage.py measures the cost per shop of both.

    dagster.yaml's own `{env: …}` fails if the variable is not set, and so would every command that
    merely looks at the definitions. Without DAGSTER_HOME, Dagster's instance is temporary: such
    commands get a storage in a temporary folder. A process with a DAGSTER_HOME means to keep its
    runs, so a missing URL is a SettingsError there.
    """

    def __init__(self, postgres_url: str, inst_data: ConfigurableClassData | None = None):
        given = sqlalchemy.make_url(postgres_url)
        unless_given = {
            name: value for name, value in _UNLESS_GIVEN.items() if name not in given.query
        }
        _, options = dialect().create_connect_args(given)
        options |= unless_given
        # libpq waits for ever where it is 0.
        patience = int(options["connect_timeout"]) or CONNECT_TIMEOUT_SECONDS
        options["connect_timeout"] = patience
        watch = SilenceWatch(partial(psycopg2.connect, **options), patience=patience)
        engine = sqlalchemy.create_engine(
            postgres_url,
            connect_args={**unless_given, "cursor_factory": watched_cursor(watch)},
            isolation_level="AUTOCOMMIT",
            pool_size=_KEPT_CONNECTIONS,
            max_overflow=_MORE_CONNECTIONS,
            pool_recycle=_RECYCLE_SECONDS,
        )
        listen(engine, "connect", partial(_set_limits, DAGSTER_STORAGE, postgres_url))
        look_before_use(engine)
        # Each of the three storages would look for its tables, over two connections that it closes.
        tables = retry_pg_connection_fn(lambda: sqlalchemy.inspect(engine).get_table_names())
        super().__init__(
            postgres_url,
            should_autocreate_tables=not _TABLES.issubset(tables),
            inst_data=inst_data,
        )
        self._run_storage = MarkingRunStorage(postgres_url)
        self._event_log_storage = BatchingEventLog(postgres_url)
        self._schedule_storage = MergingScheduleStorage(postgres_url)
        for storage in (self._run_storage, self._event_log_storage, self._schedule_storage):
            # Dagster offers no other way to set a storage's engine.
            storage._engine = engine  # pyright: ignore[reportPrivateUsage]

    @classmethod
    def config_type(cls) -> Any:
        """Allow no configuration in dagster.yaml, as the URL holds a password."""
        return {}

    @classmethod
    def from_config_value(  # pyright: ignore[reportIncompatibleMethodOverride]  # theirs too
        cls, inst_data: ConfigurableClassData | None, config_value: Any
    ) -> DagsterStorage:
        """Open the storage. Raises SettingsError and StorageUnavailable."""
        # Every process of Dagster's comes by here, also those that do not load our definitions.
        guard_dagsters_output()
        url = _postgres_url()
        if url is not None:
            # dagster.yaml cannot set these variables, and every process opens a storage.
            os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", str(_EVENTS_AT_ONCE))
            os.environ.setdefault("ASSET_BACKFILL_CURSOR_OFFSET", str(_EVENTS_LOOKED_BACK))
            wait_for_storage(url)
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


def bound_storage(instance: DagsterInstance, limits: Limits) -> None:
    """Give this process's connections to the storage other limits; for a storage of ours.

    Dagster's `optimize_for_webserver` would put a pool of its own in the place of each storage's,
    which hands out connections that the server has ended and waits for minutes to connect.
    """
    storage = instance.run_storage
    if isinstance(storage, PostgresRunStorage):
        engine: sqlalchemy.Engine = storage._engine  # pyright: ignore[reportPrivateUsage]
        url = engine.url.render_as_string(hide_password=False)
        listen(engine, "connect", partial(_set_limits, limits, url))
        engine.dispose()


def _set_limits(limits: Limits, url: str, connection: Any, _: object) -> None:
    # Not the search_path: Dagster's tables are wherever the user's own leads.
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_catalog.pg_backend_pid()")
        [(process,)] = cursor.fetchall()
        # Behind a pooler of transactions another process would get the limits of this one.
        parameters = conninfo_to_dict(conninfo(url))
        if pooling(connection.get_backend_pid(), process, parameters) is not Pooling.TRANSACTIONS:
            cursor.execute(limits.statements())
    connection.commit()


def _postgres_url() -> str | None:
    settings = load_settings()
    if settings.dagster_postgres_url is not None:
        return settings.dagster_postgres_url.get_secret_value()
    if settings.connector_database_url is not None:
        # The project cannot guess which database of somebody else's server is Dagster's.
        return None
    server = running_server(settings.home)
    return None if server is None else server.url("dagster", scheme="postgresql+psycopg2")
