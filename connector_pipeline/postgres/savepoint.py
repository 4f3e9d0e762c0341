"""A part of a transaction that may fail by what it writes, and leaves the rest as it was."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import psycopg

OF_THE_DATA: Final = (
    psycopg.DataError,
    psycopg.IntegrityError,
    # A text that is too long for an index. psycopg counts it among the OperationalErrors.
    psycopg.errors.ProgramLimitExceeded,
    # Half of a surrogate pair, which psycopg cannot encode.
    UnicodeError,
)
"""The errors that come of the values of a statement: the same statement fails with them again."""


@contextmanager
def savepoint(connection: psycopg.Connection) -> Generator[None]:
    """Undo what the block wrote, and no more, if it raises one of OF_THE_DATA.

    Not `connection.transaction()`, which commits at its end if it is the first of a transaction.
    """
    connection.execute("SAVEPOINT of_the_data")
    try:
        yield
    except OF_THE_DATA:
        connection.execute("ROLLBACK TO SAVEPOINT of_the_data")
        connection.execute("RELEASE SAVEPOINT of_the_data")
        raise
    connection.execute("RELEASE SAVEPOINT of_the_data")
