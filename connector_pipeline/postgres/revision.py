"""The database's revision, and the one that this version of the code needs. Writes nothing."""

from functools import cache
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.postgres.compatibility import VERSION_TABLE, oldest_code
from connector_pipeline.postgres.schema_names import CONNECTOR

VERSIONS: Final = Path(__file__).parent / "migrations" / "versions"
_UNRELEASED: Final = frozenset({"0001", "0002", "0003", "0004", "0005", "0006", "0007"})
"""The revisions from before the first release. No migration leads on from them."""


class DatabaseNotMigrated(ConnectorError):
    """The database has no schemas of ours yet, or those of an older version of the code."""

    default_remedy = "Run `connector-pipeline migrate`."


class SchemaNotOurs(ConnectorError):
    """The database cannot hold the catalog, or no migration leads to the revision that we need."""

    default_remedy = "Set CONNECTOR_DATABASE_URL to another database."


@cache
def known_revisions() -> tuple[str, ...]:
    """The revisions that the migrations lead to, oldest first. A revision is its file's name."""
    return tuple(sorted(file.stem for file in VERSIONS.glob("[0-9]*.py")))


def needed_revision() -> str:
    """The revision that this version of the code reads and writes."""
    return known_revisions()[-1]


def database_revision(connection: psycopg.Connection) -> str | None:
    """The database's revision, None if it was never migrated.

    Raises SchemaNotOurs if the user may not read it.
    """
    try:
        return _stored_revision(connection)
    except psycopg.errors.InsufficientPrivilege:
        raise _may_not_read(connection) from None


def _stored_revision(connection: psycopg.Connection) -> str | None:
    with connection.transaction():
        # Not by to_regclass, which fails if the user has no rights in the schema.
        found = connection.execute(
            "SELECT 1 FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace"
            " WHERE nspname = %s AND relname = %s",
            (CONNECTOR, VERSION_TABLE),
        ).fetchone()
        if found is None:
            return None
        query = sql.SQL("SELECT version_num FROM {}").format(
            sql.Identifier(CONNECTOR, VERSION_TABLE)
        )
        row = connection.execute(query).fetchone()
    return str(row[0]) if row else None


def _may_not_read(connection: psycopg.Connection) -> SchemaNotOurs:
    row = connection.execute(
        "SELECT has_schema_privilege(pg_namespace.oid, 'USAGE'), pg_get_userbyid(relowner)"
        " FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace"
        " WHERE nspname = %s AND relname = %s",
        (CONNECTOR, VERSION_TABLE),
    ).fetchone()
    may_enter, owner = row or (False, "the user that migrated it")
    user = connection.info.user
    quoted = sql.Identifier(user).as_string(connection)
    what = f"the schema {CONNECTOR}"
    grant = f"GRANT USAGE ON SCHEMA {CONNECTOR} TO {quoted}"
    if may_enter:
        what = f"{CONNECTOR}.{VERSION_TABLE}"
        grant = f"GRANT SELECT ON {CONNECTOR}.{VERSION_TABLE} TO {quoted}"
    return SchemaNotOurs(
        f"user {user} may not read {what}: it lacks `{grant}`.",
        remedy=f"Connect as {owner}, who owns it. Or an administrator can give {user} the role of "
        "the pipeline, all of whose rights `connector-pipeline migrate --roles` prints, or "
        f"`GRANT {sql.Identifier(owner).as_string(connection)} TO {quoted}`.",
    )


def refuse_unknown(revision: str | None) -> None:
    """Raise SchemaNotOurs for a revision from which no migration leads to the needed one."""
    if revision is None or revision in known_revisions():
        return
    if revision in _UNRELEASED:
        raise SchemaNotOurs(
            f"the database was made by an unreleased version of connector-pipeline (its revision "
            f"{revision}), and nothing migrates it.",
            remedy="Make a new database, name it in CONNECTOR_DATABASE_URL and run "
            "`connector-pipeline migrate`; for a new embedded one, stop `connector-pipeline dev` "
            "and delete the folder `postgres` in CONNECTOR_HOME first.",
        )
    raise SchemaNotOurs(
        f"the database is at revision {revision}, which this version of connector-pipeline does "
        f"not know (it needs {needed_revision()}).",
        remedy="Upgrade connector-pipeline to the version that migrated the database, or a later "
        "one.",
    )


def is_newer_and_suits(connection: psycopg.Connection, revision: str) -> bool:
    """Whether a newer version migrated the database to `revision`, and this one works with it."""
    known = known_revisions()
    return revision not in known and oldest_code(connection, revision) in known


def refuse_unsuitable(connection: psycopg.Connection) -> str:
    """The database's revision, with which this version works: the needed one, or a newer one.

    Raises DatabaseNotMigrated or SchemaNotOurs for any other.
    """
    revision = database_revision(connection)
    if revision is not None and (
        revision == needed_revision() or is_newer_and_suits(connection, revision)
    ):
        return revision
    refuse_unknown(revision)
    where = "was never migrated" if revision is None else f"is at revision {revision}"
    raise DatabaseNotMigrated(f"the database {where}, and this version needs {needed_revision()}.")
