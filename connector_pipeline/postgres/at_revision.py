"""Connections to a database at a revision with which this version of the code works."""

import math
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import psycopg

from connector_pipeline.postgres.pool import pooled_connection
from connector_pipeline.postgres.revision import refuse_unsuitable

COMPARED_EVERY_SECONDS: Final = 60.0
"""A process that executes many runs must not write for weeks into a database that a newer version
of the code has migrated, whose tables may have kept their names."""

_found_right: Final[dict[str, float]] = {}
"""The databases that this process has seen at the needed revision: by URL, when it last did."""


@contextmanager
def connect_at_needed_revision(url: str) -> Generator[psycopg.Connection]:
    """As `pooled_connection`, and compares the database's revision with the needed one.

    A process does that every COMPARED_EVERY_SECONDS for a database, and when a statement misses a
    table or a column: somebody may have migrated the database meanwhile.
    Raises DatabaseUnavailable; DatabaseNotMigrated for an older revision or none; SchemaNotOurs
    for a newer one with which this version does not work.
    """
    try:
        with pooled_connection(url) as connection:
            now = time.monotonic()
            if now - _found_right.get(url, -math.inf) > COMPARED_EVERY_SECONDS:
                refuse_unsuitable(connection)
                _found_right[url] = now
            yield connection
    except (
        psycopg.errors.UndefinedTable,
        psycopg.errors.UndefinedColumn,
        psycopg.errors.InvalidSchemaName,
    ):
        _found_right.pop(url, None)
        with pooled_connection(url) as connection:
            refuse_unsuitable(connection)
        # The revision is right, so the statement is wrong.
        raise
