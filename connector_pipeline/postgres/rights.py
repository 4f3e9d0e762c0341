"""Whether the user of a connection may do all that a pipeline does, and the grants that lack."""

from typing import Any, Final

import psycopg
from psycopg import sql

from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.postgres.grants import PIPELINE_RIGHTS, PIPELINE_ROLE
from connector_pipeline.postgres.schema_names import CATALOG, CONNECTOR

_SCHEMAS: Final = """
    SELECT nspname FROM pg_catalog.pg_namespace
    WHERE nspname = ANY (%s) AND NOT has_schema_privilege(oid, 'USAGE')
    ORDER BY nspname
"""
_TEMPORARY: Final = """
    SELECT current_database() WHERE NOT has_database_privilege(current_database(), 'TEMPORARY')
"""
# By which a session shows that it lives (`named_locks.py`).
_FUNCTION: Final = "pg_try_advisory_lock(bigint)"
# By the catalogs alone: the name of a table cannot be looked up in a schema without USAGE.
_TABLE: Final = """
    SELECT has_table_privilege(pg_class.oid, %(right)s),
        %(column)s::text IS NOT NULL
            AND has_column_privilege(pg_class.oid, %(column)s::text, %(right)s)
    FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = %(schema)s AND relname = %(table)s
"""
_SHOWN: Final = 5


class RightsMissing(ConnectorError):
    """The user of CONNECTOR_DATABASE_URL may not do all that a pipeline does."""


def refuse_without_rights(connection: psycopg.Connection) -> None:
    """Raise RightsMissing, with the grants, if the user lacks a right to what is there."""
    missing = missing_grants(connection)
    if not missing:
        return
    user = sql.Identifier(connection.info.user).as_string(connection)
    shown = "; ".join(missing[:_SHOWN])
    more = f" (and {len(missing) - _SHOWN} more)" if len(missing) > _SHOWN else ""
    raise RightsMissing(
        f"user {user} may not do all that a pipeline does: it lacks {len(missing)} grants.",
        remedy=f"As the tables' owner or an administrator: `{shown}`{more}. All of them at once: "
        f"run the file of `connector-pipeline migrate --roles`, then "
        f"`GRANT {PIPELINE_ROLE} TO {user}`.",
    )


def missing_grants(connection: psycopg.Connection) -> list[str]:
    """The statements that give the user what a pipeline needs of the schemas and tables there."""
    user = sql.Identifier(connection.info.user)
    statements: list[sql.Composed] = []
    for (database,) in connection.execute(_TEMPORARY).fetchall():
        statement = sql.SQL("GRANT TEMPORARY ON DATABASE {} TO {}")
        statements.append(statement.format(sql.Identifier(database), user))
    for (schema,) in connection.execute(_SCHEMAS, ([CATALOG, CONNECTOR],)).fetchall():
        statement = sql.SQL("GRANT USAGE ON SCHEMA {} TO {}")
        statements.append(statement.format(sql.Identifier(schema), user))
    for table, rights in PIPELINE_RIGHTS.items():
        lacking = [
            sql.SQL(right) for right in rights.split(", ") if not _has(connection, table, right)
        ]
        if lacking:
            statement = sql.SQL("GRANT {} ON {} TO {}")
            statements.append(
                statement.format(sql.SQL(", ").join(lacking), sql.Identifier(*table), user)
            )
    row = connection.execute(
        "SELECT has_function_privilege(%s, 'EXECUTE')", (f"pg_catalog.{_FUNCTION}",)
    ).fetchone()
    if row is not None and not row[0]:
        statement = sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {}")
        statements.append(statement.format(sql.SQL(_FUNCTION), user))
    return [each.as_string(connection) for each in statements]


def _has(connection: psycopg.Connection, table: tuple[str, str], right: str) -> bool:
    """Whether the user has the right, `UPDATE` or `UPDATE (column)`; also where no table is yet."""
    name, _, column = right.partition(" ")
    asked: dict[str, Any] = {"right": name, "column": column.strip("()") or None}
    asked |= {"schema": table[0], "table": table[1]}
    row = connection.execute(_TABLE, asked).fetchone()
    return row is None or any(row)
