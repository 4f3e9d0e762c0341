"""Whether a database serves the sandbox's shops or real ones: `connector.installation.serves`."""

from enum import Enum

import psycopg


class Serves(Enum):
    """The shops that a database is for."""

    SANDBOX = "sandbox"
    REAL = "real"


def serves(connection: psycopg.Connection) -> Serves | None:
    """The shops that the database is for; None if nobody has said so yet."""
    row = connection.execute("SELECT serves FROM connector.installation").fetchone()
    return None if row is None or row[0] is None else Serves(row[0])


def mark(connection: psycopg.Connection, these: Serves) -> Serves:
    """Say which shops the database is for, unless that was said before. Returns what holds now."""
    connection.execute(
        "UPDATE connector.installation SET serves = %s WHERE serves IS NULL", (these.value,)
    )
    return serves(connection) or these
