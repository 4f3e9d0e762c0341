"""Bring the schemas `catalog` and `connector` to the revision that this code needs."""

import io
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import psycopg
from alembic import command
from psycopg import sql
from sqlalchemy import Connection
from sqlalchemy.exc import ProgrammingError

from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.postgres.compatibility import VERSION_TABLE
from connector_pipeline.postgres.connections import connect
from connector_pipeline.postgres.grants import (
    all_grants,
    grant_all,
    missing_roles,
    pipeline_grants,
)
from connector_pipeline.postgres.revision import (
    SchemaNotOurs,
    database_revision,
    is_newer_and_suits,
    needed_revision,
    refuse_unknown,
)
from connector_pipeline.postgres.schema_names import CATALOG, CONNECTOR
from connector_pipeline.postgres.steps import (
    ALEMBIC,
    MIGRATION_LOCK,
    alembic_config,
    driver_connection,
    marked_at,
    transaction,
)

OLDEST_POSTGRES: Final = 15
_INHERITS_BY_GRANT: Final = 160_000
"""From this version on, a role inherits by its memberships, and not by an attribute of its own."""


class MayNotMigrate(ConnectorError):
    """The database's user lacks a right that the migrations need."""


@dataclass(frozen=True, slots=True)
class Migration:
    """The revisions before and after, and whether readers and requesters have their grants."""

    before: str | None
    after: str
    granted: bool


def migrate(connection_url: str) -> Migration:
    """Apply the missing migrations and grant the roles their rights, all in one transaction.

    Several processes may do this at once: each waits for the one before. A database that a newer
    version migrated, and that is marked as one for this version too, stays as it is. Raises
    DatabaseUnavailable; SchemaNotOurs for a database that is too old, not UTF-8, or at a revision
    that no migration leads on from; MayNotMigrate, which names the right that the user lacks.
    """
    with migrating(connection_url) as connection:
        driver = driver_connection(connection)
        before = database_revision(driver)
        if before is not None and is_newer_and_suits(driver, before):
            return Migration(before=before, after=before, granted=True)
        refuse_unknown(before)
        if before != needed_revision():
            _create_schemas(driver)
            refuse_without_rights(driver)
            config = alembic_config()
            config.attributes["connection"] = connection
            with ALEMBIC:
                command.upgrade(config, "head")
                driver.execute(marked_at(needed_revision()))
        granted = grant_all(driver)
    return Migration(before=before, after=needed_revision(), granted=granted)


def migration_sql(connection_url: str) -> str:
    """The SQL that `migrate` would run on this database, as one transaction for `psql -f`.

    It also makes the schemas and roles that the database's user may not make. Another user may run
    it, and the tables still belong to the database's user. This function changes nothing. It
    raises DatabaseUnavailable and SchemaNotOurs as `migrate` does.
    """
    with connect(connection_url) as connection:
        _refuse_unsuitable(connection)
        revision = database_revision(connection)
        if revision is not None and is_newer_and_suits(connection, revision):
            return f"-- The database is at revision {revision}, with which this version works.\n"
        refuse_unknown(revision)
        user, database = connection.info.user, connection.info.dbname
        name = sql.Identifier(user)
        statements = [
            sql.SQL("BEGIN"),
            sql.SQL("SET LOCAL search_path = pg_catalog, pg_temp"),
            sql.SQL("SET LOCAL lock_timeout = '30s'"),
            sql.SQL("SELECT pg_catalog.pg_advisory_xact_lock({})").format(
                sql.Literal(MIGRATION_LOCK)
            ),
            *(
                sql.SQL("CREATE SCHEMA {} AUTHORIZATION {}").format(sql.Identifier(schema), name)
                for schema in _missing_schemas(connection)
            ),
            *(
                sql.SQL("GRANT USAGE, CREATE ON SCHEMA {} TO {}").format(
                    sql.Identifier(schema), name
                )
                for schema in _closed_schemas(connection)
            ),
            *missing_roles(connection),
            sql.SQL("SET LOCAL ROLE {}").format(name),
        ]
        before, after = (
            "".join(f"{statement.as_string(connection)};\n" for statement in part)
            for part in (
                statements,
                [*all_grants(), *pipeline_grants(connection), sql.SQL("COMMIT")],
            )
        )
    return (
        f"-- Brings database {database} from revision {revision or '(none)'} to "
        f"{needed_revision()}.\n"
        f"-- Run it there with `psql -v ON_ERROR_STOP=1 -f`, as a user who may become {user}.\n"
        f"{before}\n{_upgrade_sql(revision)}\n{after}"
    )


def _upgrade_sql(revision: str | None) -> str:
    if revision == needed_revision():
        return ""
    printed = io.StringIO()
    config = alembic_config()
    config.output_buffer = printed
    with ALEMBIC:
        command.upgrade(config, f"{revision or 'base'}:head", sql=True)
        marked = marked_at(needed_revision()).as_string(None)
    return f"{printed.getvalue().strip()}\n\n{marked};\n"


@contextmanager
def migrating(connection_url: str) -> Generator[Connection]:
    """A transaction that waits for its turn and may change the schemas.

    Raises DatabaseUnavailable, SchemaNotOurs and MayNotMigrate as `migrate` does.
    """
    try:
        with transaction(connection_url) as connection:
            driver = driver_connection(connection)
            _refuse_unsuitable(driver)
            _refuse_without_lock(driver)
            driver.execute("SELECT pg_catalog.pg_advisory_xact_lock(%s)", (MIGRATION_LOCK,))
            yield connection
    except psycopg.errors.InsufficientPrivilege as error:
        raise _may_not(str(error.diag.message_primary)) from None
    except ProgrammingError as error:
        if isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
            raise _may_not(str(error.orig.diag.message_primary)) from None
        raise


def _missing_schemas(connection: psycopg.Connection) -> list[str]:
    # CREATE SCHEMA IF NOT EXISTS needs the right to create a schema even if an administrator has
    # already made it, so we look first.
    rows = connection.execute("SELECT nspname FROM pg_namespace").fetchall()
    return sorted({CATALOG, CONNECTOR} - {row[0] for row in rows})


def _closed_schemas(connection: psycopg.Connection) -> list[str]:
    """The schemas that exist and in which the user may not make tables."""
    rows = connection.execute(
        "SELECT nspname FROM pg_namespace WHERE nspname = ANY (%s)"
        " AND NOT (has_schema_privilege(oid, 'CREATE') AND has_schema_privilege(oid, 'USAGE'))"
        " ORDER BY nspname",
        ([CATALOG, CONNECTOR],),
    ).fetchall()
    return [row[0] for row in rows]


def _create_schemas(connection: psycopg.Connection) -> None:
    for schema in _missing_schemas(connection):
        try:
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
        except psycopg.errors.InsufficientPrivilege:
            database, user = (
                sql.Identifier(name).as_string(connection)
                for name in (connection.info.dbname, connection.info.user)
            )
            raise _may_not(
                f"user {connection.info.user} may not create the schema {schema}",
                f"GRANT CREATE ON DATABASE {database} TO {user}",
            ) from None


def _refuse_without_lock(connection: psycopg.Connection) -> None:
    """Raise MayNotMigrate if an administrator has closed advisory locks to this user."""
    row = connection.execute(
        "SELECT has_function_privilege('pg_catalog.pg_advisory_xact_lock(bigint)', 'EXECUTE')"
    ).fetchone()
    if row is not None and not row[0]:
        quoted_user = sql.Identifier(connection.info.user).as_string(connection)
        raise _may_not(
            f"user {connection.info.user} may not take advisory locks in this database",
            f"GRANT EXECUTE ON FUNCTION pg_advisory_xact_lock(bigint) TO {quoted_user}",
            owner=_sole_owner(connection, [CATALOG, CONNECTOR]),
        )


def refuse_without_rights(connection: psycopg.Connection) -> None:
    """Raise MayNotMigrate if the user may not change what exists, or may not make tables."""
    user = connection.info.user
    quoted_user = sql.Identifier(user).as_string(connection)
    row = connection.execute(
        "SELECT nspname || '.' || relname, pg_get_userbyid(relowner),"
        " pg_has_role(relowner, 'MEMBER')"
        " FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace"
        " WHERE nspname = ANY (%s) AND relkind IN ('r', 'v')"
        " AND NOT pg_has_role(relowner, 'USAGE') ORDER BY 1 LIMIT 1",
        ([CATALOG, CONNECTOR],),
    ).fetchone()
    if row is not None:
        table, owner, member = row
        quoted_owner = sql.Identifier(owner).as_string(connection)
        grant = f"GRANT {quoted_owner} TO {quoted_user}"
        but = ""
        if member:
            but = ", whose rights the user does not inherit"
            is_old = connection.info.server_version < _INHERITS_BY_GRANT
            grant = f"ALTER ROLE {quoted_user} INHERIT" if is_old else f"{grant} WITH INHERIT TRUE"
        raise MayNotMigrate(
            f"user {user} may not change {table}, which belongs to {owner}{but}.",
            remedy=f"Migrate as {owner}, or let an administrator `{grant}`.",
        )
    if closed := _closed_schemas(connection):
        schemas = ", ".join(closed)
        raise _may_not(
            f"user {user} may not create tables in the schema {schemas}",
            f"GRANT USAGE, CREATE ON SCHEMA {schemas} TO {quoted_user}",
            owner=_sole_owner(connection, closed),
        )
    lacking = connection.execute(
        "SELECT string_agg(needed, ', ')"
        " FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS needed,"
        " pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace"
        " WHERE nspname = %s AND relname = %s AND NOT has_table_privilege(pg_class.oid, needed)",
        (CONNECTOR, VERSION_TABLE),
    ).fetchone()
    if lacking is not None and lacking[0]:
        raise _may_not(
            f"user {user} lacks {lacking[0]} on {CONNECTOR}.{VERSION_TABLE}",
            f"GRANT {lacking[0]} ON {CONNECTOR}.{VERSION_TABLE} TO {quoted_user}",
        )


def _sole_owner(connection: psycopg.Connection, schemas: list[str]) -> str | None:
    """The owner of all these schemas, None if they have several or a superuser owns them."""
    rows = connection.execute(
        "SELECT DISTINCT rolname FROM pg_namespace JOIN pg_roles ON pg_roles.oid = nspowner"
        " WHERE nspname = ANY (%s) AND NOT rolsuper",
        (schemas,),
    ).fetchall()
    return str(rows[0][0]) if len(rows) == 1 else None


def _may_not(lacking: str, grant: str | None = None, *, owner: str | None = None) -> MayNotMigrate:
    granted = f"`{grant}`, or " if grant else ""
    first = f"Migrate as {owner}, the owner. Or an" if owner else "An"
    return MayNotMigrate(
        f"{lacking}.",
        remedy=f"{first} administrator can {granted}run the SQL that "
        "`connector-pipeline migrate --sql` prints.",
    )


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
