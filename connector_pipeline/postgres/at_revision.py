"""Connections to a database at the revision that this version of the code needs."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import psycopg

from connector_pipeline.postgres.pool import pooled_connection
from connector_pipeline.postgres.revision import refuse_other_than_needed

_found_right: Final[set[str]] = set()
"""URLs of databases that this process has seen at the needed revision."""


@contextmanager
def connect_at_needed_revision(url: str) -> Generator[psycopg.Connection]:
    """As `pooled_connection`, and compares the database's revision with the needed one.

    A process does that once for a database, and again when a statement misses a table or a column:
    somebody may have migrated the database meanwhile. Raises DatabaseUnavailable;
    DatabaseNotMigrated for an older revision or none; SchemaNotOurs for a newer one.
    """
    try:
        with pooled_connection(url) as connection:
            if url not in _found_right:
                refuse_other_than_needed(connection)
                _found_right.add(url)
            yield connection
    except (
        psycopg.errors.UndefinedTable,
        psycopg.errors.UndefinedColumn,
        psycopg.errors.InvalidSchemaName,
    ):
        _found_right.discard(url)
        with pooled_connection(url) as connection:
            refuse_other_than_needed(connection)
        # The revision is right, so the statement is wrong.
        raise
