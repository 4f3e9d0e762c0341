"""The table of our locks in schema `connector`."""

from typing import Final

from sqlalchemy import BigInteger, Column, Integer, Table, Text

from connector_pipeline.postgres.schema import Id, metadata
from connector_pipeline.postgres.schema_names import CONNECTOR

locks: Final = Table(
    "locks",
    metadata,
    Column("name", Id, primary_key=True, comment="What is locked, e.g. publish PARTITION_KEY."),
    Column("holder", Text, comment="Of a session: the words for who holds it."),
    Column("pid", Integer, comment="Of a session: the server's process of it."),
    Column(
        "session_key",
        BigInteger,
        comment="Of a session: the advisory lock that it holds for as long as it lives.",
    ),
    schema=CONNECTOR,
    comment="Locks by name: of a transaction (its row is locked) or of a session.",
)
