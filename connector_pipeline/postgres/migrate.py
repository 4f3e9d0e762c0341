"""Bring the schemas `catalog` and `connector` to what this version of the code expects."""

import logging
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, LiteralString

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg import sql
from sqlalchemy import Connection, NullPool, create_engine
from sqlalchemy.exc import OperationalError

from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.postgres.connections import open_connection, unavailable
from connector_pipeline.postgres.tables import CATALOG, CONNECTOR

READER_ROLE: Final = "catalog_reader"
REQUESTER_ROLE: Final = "sync_requester"
OLDEST_POSTGRES: Final = 15
# Any number, as long as nobody else in the database takes an advisory lock on it.
_MIGRATION_LOCK: Final = 0x636F6E6E6563746F

_alembic: Final = threading.Lock()
_logger = logging.getLogger(__name__)


class SchemaNotOurs(ConnectorError):
    """The database cannot hold the catalog, or holds that of a newer version of this code."""

    default_remedy = "Set CONNECTOR_DATABASE_URL to another database."


@dataclass(frozen=True, slots=True)
class Migration:
    """Revisions before and after, and whether the reader role has its grants."""

    before: str | None
    after: str
    reader_granted: bool


def migrate(connection_url: str) -> Migration:
    """Apply the migrations that are missing, all in one transaction, and grant the readers.

    Safe from several places at once: each waits for the one before. Raises DatabaseUnavailable,
    or SchemaNotOurs for a database that is too old, not UTF-8, or newer than the code.
    """
    with _transaction(connection_url) as connection:
        driver_connection = _driver_connection(connection)
        _refuse_unsuitable(driver_connection)
        driver_connection.execute("SELECT pg_advisory_xact_lock(%s)", (_MIGRATION_LOCK,))
        _create_schemas(driver_connection)
        before, _ = current_and_head(driver_connection)
        _refuse_newer(before)
        config = _config()
        config.attributes["connection"] = connection
        # Alembic keeps what it works on in a module, so threads take turns.
        with _alembic:
            command.upgrade(config, "head")
        granted = _grant_readers(driver_connection)
        _grant_requesters(driver_connection)
    return Migration(before=before, after=_head(), reader_granted=granted)


def current_and_head(connection: psycopg.Connection) -> tuple[str | None, str]:
    """The database's revision (None: never migrated) and the newest one the code knows."""
    with connection.transaction():
        version_table = connection.execute(
            "SELECT to_regclass(%s)", (f"{CONNECTOR}.alembic_version",)
        ).fetchone()
        if version_table is None or version_table[0] is None:
            return None, _head()
        query = sql.SQL("SELECT version_num FROM {}.alembic_version")
        row = connection.execute(query.format(sql.Identifier(CONNECTOR))).fetchone()
    return (str(row[0]) if row else None), _head()


@contextmanager
def _transaction(connection_url: str) -> Generator[Connection]:
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: open_connection(connection_url),
        poolclass=NullPool,
    )
    try:
        with engine.begin() as connection:
            yield connection
    except OperationalError as error:
        raise unavailable(error.orig or error, connection_url) from None


def _driver_connection(connection: Connection) -> psycopg.Connection:
    driver_connection = connection.connection.driver_connection
    if not isinstance(driver_connection, psycopg.Connection):
        raise TypeError("migrations run on psycopg 3")
    return driver_connection  # pyright: ignore[reportUnknownVariableType]


def _create_schemas(connection: psycopg.Connection) -> None:
    # Looked up first: CREATE SCHEMA IF NOT EXISTS asks for the right to create even where an
    # administrator has made them.
    rows = connection.execute("SELECT nspname FROM pg_namespace").fetchall()
    for schema in {CATALOG, CONNECTOR} - {row[0] for row in rows}:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))


def _refuse_unsuitable(connection: psycopg.Connection) -> None:
    version = connection.info.server_version // 10_000
    if version < OLDEST_POSTGRES:
        raise SchemaNotOurs(
            f"the server is Postgres {version}, and {OLDEST_POSTGRES} is the oldest supported."
        )
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise SchemaNotOurs(
            f"the database's encoding is {encoding}, which cannot hold every title.",
            remedy="Create it with `CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0`.",
        )


def _refuse_newer(revision: str | None) -> None:
    known = {script.revision for script in _scripts().walk_revisions()}
    if revision is not None and revision not in known:
        raise SchemaNotOurs(
            f"the database is at revision {revision}, which this version of connector-pipeline "
            f"does not know (it ends at {_head()}).",
            remedy="Upgrade connector-pipeline to the version that migrated it, or a later one.",
        )


def _grant_readers(connection: psycopg.Connection) -> bool:
    """Give the catalog's readers their role and grants, if we may. Done at every migration,
    so a role that an administrator makes later gets its grants too."""
    if not _role_exists(connection, READER_ROLE):
        return False
    _grant(
        connection,
        READER_ROLE,
        "GRANT USAGE ON SCHEMA {catalog} TO {role}",
        "GRANT SELECT ON ALL TABLES IN SCHEMA {catalog} TO {role}",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA {catalog} GRANT SELECT ON TABLES TO {role}",
    )
    return True


def _grant_requesters(connection: psycopg.Connection) -> None:
    """Let those who request syncs insert requests and nothing else, if we may make their role."""
    if _role_exists(connection, REQUESTER_ROLE):
        _grant(
            connection,
            REQUESTER_ROLE,
            "GRANT USAGE ON SCHEMA {connector} TO {role}",
            # What becomes of a request is ours to write.
            "GRANT INSERT (merchant_id, platform_name, platform_shop_id, domain, sync_id, "
            "sync_type, correlation_id) ON {connector}.sync_requests TO {role}",
        )


def _grant(connection: psycopg.Connection, role: str, *grants: LiteralString) -> None:
    for grant in grants:
        connection.execute(
            sql.SQL(grant).format(
                catalog=sql.Identifier(CATALOG),
                connector=sql.Identifier(CONNECTOR),
                role=sql.Identifier(role),
            )
        )


def _role_exists(connection: psycopg.Connection, name: str) -> bool:
    """Whether the role is there, after an attempt to make it."""
    role = sql.Identifier(name)
    try:
        with connection.transaction():
            found = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,))
            if found.fetchone() is None:
                connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(role))
    except (psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
        # Roles are the server's, our lock the database's: a neighbour made it this very moment.
        pass
    except psycopg.errors.InsufficientPrivilege:
        _logger.warning(
            "Role %s does not exist and may not be created; it has no grants. An "
            "administrator can `CREATE ROLE %s NOLOGIN`, then migrate again.",
            name,
            name,
        )
        return False
    return True


def _head() -> str:
    head = _scripts().get_current_head()
    if head is None:
        raise RuntimeError("the package holds no migrations")
    return head


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "connector_pipeline.postgres:migrations")
    return config
