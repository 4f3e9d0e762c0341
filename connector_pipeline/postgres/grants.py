"""The roles of the pipeline, of readers, requesters and monitors, and the rights of each."""

import logging
from collections.abc import Iterable
from typing import Final, LiteralString

import psycopg
from psycopg import sql

from connector_pipeline.postgres.schema_names import CATALOG, CONNECTOR

READER_ROLE: Final = "catalog_reader"
REQUESTER_ROLE: Final = "sync_requester"
MONITOR_ROLE: Final = "connector_monitor"

OWNER_ROLE: Final = "connector_owner"
PIPELINE_ROLE: Final = "connector_pipeline"

_ROWS: Final = "SELECT, INSERT, UPDATE, DELETE"
PIPELINE_RIGHTS: Final[dict[tuple[str, str], LiteralString]] = {
    (CATALOG, "catalog_items"): "SELECT, INSERT, UPDATE",
    (CATALOG, "available_items"): "SELECT",
    (CONNECTOR, "alembic_version"): "SELECT",
    (CONNECTOR, "change_looks"): _ROWS,
    (CONNECTOR, "erase_demands"): _ROWS,
    (CONNECTOR, "hints"): _ROWS,
    # The first real credentials mark an unmarked database.
    (CONNECTOR, "installation"): "SELECT, UPDATE (serves)",
    # To lock a row takes the right to update it.
    (CONNECTOR, "locks"): _ROWS,
    (CONNECTOR, "metrics"): "SELECT",
    (CONNECTOR, "outbox"): _ROWS,
    (CONNECTOR, "rejected_variants"): "SELECT, INSERT, DELETE",
    (CONNECTOR, "run_workers"): _ROWS,
    (CONNECTOR, "shops"): _ROWS,
    (CONNECTOR, "sync_queue"): _ROWS,
    (CONNECTOR, "sync_requests"): _ROWS,
    (CONNECTOR, "sync_totals"): "SELECT, INSERT, UPDATE",
    (CONNECTOR, "syncs"): _ROWS,
}
"""The rights that the code needs on each table, and no more."""

_GRANTS: Final[dict[str, tuple[LiteralString, ...]]] = {
    READER_ROLE: (
        "GRANT USAGE ON SCHEMA {catalog} TO {role}",
        "GRANT SELECT ON ALL TABLES IN SCHEMA {catalog} TO {role}",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA {catalog} GRANT SELECT ON TABLES TO {role}",
    ),
    REQUESTER_ROLE: (
        "GRANT USAGE ON SCHEMA {connector} TO {role}",
        # The connector alone writes the other columns, which say how far a request is.
        "GRANT INSERT (merchant_id, platform_name, platform_shop_id, domain, sync_id, "
        "sync_type, correlation_id) ON {connector}.sync_requests TO {role}",
        # The view shows each requester its own requests.
        "GRANT SELECT ON {connector}.sync_request_outcomes TO {role}",
    ),
    MONITOR_ROLE: (
        "GRANT USAGE ON SCHEMA {connector} TO {role}",
        # The view reads its tables by the rights of their owner.
        "GRANT SELECT ON {connector}.metrics TO {role}",
    ),
}

_logger = logging.getLogger(__name__)


def grant_all(connection: psycopg.Connection) -> bool:
    """Make the roles and give them their grants, as far as the user may. Returns if all is done.

    Every migration does this, so that a role that an administrator makes later gets its grants too.
    The role of the pipeline is made by an administrator alone (`roles.py`).
    """
    done = [
        _role_exists(connection, role) and _granted(connection, role, _grants(role))
        for role in _GRANTS
    ]
    if pipeline := pipeline_grants(connection):
        done.append(_granted(connection, PIPELINE_ROLE, pipeline))
    return all(done)


def pipeline_grants(connection: psycopg.Connection) -> list[sql.Composed]:
    """The statements that give the role of the pipeline its grants; none if there is no such role.

    For the tables of the needed revision.
    """
    found = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (PIPELINE_ROLE,))
    if found.fetchone() is None:
        return []
    usage = sql.SQL("GRANT USAGE ON SCHEMA {}, {} TO {}").format(
        sql.Identifier(CATALOG), sql.Identifier(CONNECTOR), sql.Identifier(PIPELINE_ROLE)
    )
    return [usage, *(grant for _, grant in pipeline_table_grants())]


def pipeline_table_grants() -> list[tuple[str, sql.Composed]]:
    """The statements that give the role of the pipeline its rights, each with the table's name."""
    return [
        (
            ".".join(table),
            sql.SQL("GRANT {} ON {} TO {}").format(
                sql.SQL(rights), sql.Identifier(*table), sql.Identifier(PIPELINE_ROLE)
            ),
        )
        for table, rights in PIPELINE_RIGHTS.items()
    ]


def missing_roles(connection: psycopg.Connection) -> list[sql.Composed]:
    """The statements that make the roles that the server lacks."""
    rows = connection.execute("SELECT rolname FROM pg_roles").fetchall()
    existing = {row[0] for row in rows}
    return [_create_role(role) for role in _GRANTS if role not in existing]


def all_grants() -> list[sql.Composed]:
    """The statements that give the roles their grants."""
    return [statement for role in _GRANTS for statement in _grants(role)]


def _grants(role: str) -> list[sql.Composed]:
    return [
        sql.SQL(grant).format(
            catalog=sql.Identifier(CATALOG),
            connector=sql.Identifier(CONNECTOR),
            role=sql.Identifier(role),
        )
        for grant in _GRANTS[role]
    ]


def _create_role(role: str) -> sql.Composed:
    return sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role))


def _role_exists(connection: psycopg.Connection, role: str) -> bool:
    """Make the role if it is missing. Returns whether it exists now."""
    try:
        with connection.transaction():
            found = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,))
            if found.fetchone() is None:
                connection.execute(_create_role(role))
    except (psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
        # A migration of another database of the server made the role at the same time. Roles belong
        # to the server, and the migrations' lock to one database.
        pass
    except psycopg.errors.InsufficientPrivilege:
        _logger.warning(
            "Role %s does not exist and may not be created; it has no grants. An "
            "administrator can `CREATE ROLE %s NOLOGIN`, then migrate again.",
            role,
            role,
        )
        return False
    return True


def _granted(connection: psycopg.Connection, role: str, grants: Iterable[sql.Composed]) -> bool:
    try:
        with connection.transaction():
            for statement in grants:
                connection.execute(statement)
    except psycopg.errors.InsufficientPrivilege:
        _logger.warning(
            "User %s may not grant rights to role %s: the schemas belong to another user. Migrate "
            "as that user.",
            connection.info.user,
            role,
        )
        return False
    return True
