"""The table of our locks in schema `connector`."""

from typing import Final

from sqlalchemy import BigInteger, Column, Integer, Table, Text

from connector_pipeline.postgres.schema import Id, metadata
from connector_pipeline.postgres.schema_names import CONNECTOR

locks: Final = Table(
    "locks",
    metadata,
    Column("name", Id, primary_key=True, comment="What is locked, e.g. publish PARTITION_KEY."),
    Column("holder", Text, comment="A held lease: the words for who holds it."),
    Column("pid", Integer, comment="A held lease: the server's process of the holder's session."),
    Column(
        "session_key",
        BigInteger,
        comment="A held lease: the advisory lock that the session holds for as long as it lives.",
    ),
    schema=CONNECTOR,
    comment="Locks by name: of a transaction (its row is locked) or of a session (a lease).",
)
