"""The table that says for which shops a database is: invented ones or merchants' own."""

from typing import Final

from sqlalchemy import Boolean, CheckConstraint, Column, Table, Text, text

from connector_pipeline.postgres.schema import Time, metadata, one_of
from connector_pipeline.postgres.schema_names import CONNECTOR
from connector_pipeline.postgres.serves import Serves

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
