"""A database's mark of the oldest code that works on with it, so that two versions may overlap.

A migration that only adds leaves the older version's statements as good as before. `migrate` notes
that beside the revision, and a process of the older version that meets a revision which it does not
know goes on if the mark names one that it does. Without a mark only code of the very revision goes
on.

The mark is the comment of Alembic's table: every role that may connect can read it, a dump keeps
it, and no version needs a table for it that another version lacks.
"""

import re
from typing import Final

import psycopg
from psycopg import sql

from connector_pipeline.postgres.schema_names import CONNECTOR

VERSION_TABLE: Final = "alembic_version"

_MARK: Final = re.compile(r"At (\S+), code since (\S+) works with this database")


def oldest_code(connection: psycopg.Connection, revision: str) -> str | None:
    """The oldest revision whose code works with the database, which is at `revision`.

    None if it has no mark for this very revision.
    """
    row = connection.execute(
        "SELECT obj_description(pg_class.oid, 'pg_class') FROM pg_class"
        " JOIN pg_namespace ON pg_namespace.oid = relnamespace"
        " WHERE nspname = %s AND relname = %s",
        (CONNECTOR, VERSION_TABLE),
    ).fetchone()
    found = _MARK.search(row[0] or "") if row is not None else None
    return found[2] if found is not None and found[1] == revision else None


def mark(revision: str, *, oldest: str) -> sql.Composed:
    """The statement that marks a database at `revision` as one for code since `oldest`."""
    return sql.SQL("COMMENT ON TABLE {} IS {}").format(
        sql.Identifier(CONNECTOR, VERSION_TABLE),
        sql.Literal(f"At {revision}, code since {oldest} works with this database."),
    )
