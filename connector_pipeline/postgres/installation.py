"""What a database is for: invented shops or merchants' shops, and its space of advisory locks."""

from enum import Enum
from typing import Final

import psycopg
from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Table, Text, text

from connector_pipeline.postgres.schema import Time, metadata, one_of
from connector_pipeline.postgres.schema_names import CONNECTOR


class Serves(Enum):
    """The shops that a database is for."""

    SANDBOX = "sandbox"
    REAL = "real"


installation: Final = Table(
    "installation",
    metadata,
    Column(
        "only_one",
        Boolean,
        primary_key=True,
        server_default=text("true"),
        comment="Always true: the table has one row.",
    ),
    Column(
        "serves",
        Text,
        comment="sandbox: invented shops alone. real: merchants' shops. Null: not said yet.",
    ),
    Column(
        "lock_space",
        BigInteger,
        nullable=False,
        comment="A random number, from which the keys of our advisory locks are made.",
    ),
    Column(
        "made_at",
        Time,
        nullable=False,
        server_default=text("now()"),
        comment="When this row was written.",
    ),
    CheckConstraint("only_one", name="only_one"),
    one_of("serves", Serves),
    schema=CONNECTOR,
    comment="What this database is for.",
)


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
