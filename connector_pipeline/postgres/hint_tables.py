"""The tables of the schema `connector` for what platforms say: hints, looks, demands to erase.

The migrations make exactly these; a test compares the two. A change here needs a migration.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Identity,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from connector_pipeline.model.hint import HintSource
from connector_pipeline.postgres.schema import Id, Time, metadata, one_of
from connector_pipeline.postgres.schema_names import CONNECTOR

hints: Final = Table(
    "hints",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True, comment="Order of arrival."),
    Column("platform_name", Id, nullable=False, comment="The shop's platform."),
    Column("domain", Id, nullable=False, comment="The shop's domain."),
    Column(
        "source",
        Text,
        nullable=False,
        comment="webhook, feed: a look at the change feed, again: a sync that asks again.",
    ),
    Column(
        "delivery_id",
        Id,
        comment="The delivery's id and the hint's number in it: a repeat has the same. Null: the "
        "platform has no such id.",
    ),
    Column("topic", Text, nullable=False, comment="The platform's word for the occasion."),
    Column("token", Id, comment="What changed, as the adapter names it. Null: anything may have."),
    Column("changed_at", Time, comment="When it changed, by the platform's clock. Null: unknown."),
    Column(
        "received_at",
        Time,
        nullable=False,
        server_default=text("clock_timestamp()"),
        comment="When the hint arrived.",
    ),
    Column(
        "asked",
        SmallInteger,
        nullable=False,
        server_default="0",
        comment="How many syncs asked for the token without an answer as new as the hint.",
    ),
    Column("not_before", Time, comment="It is not gathered before. Null: it may be."),
    Column("gathered_at", Time, comment="When it was put into connector.sync_queue."),
    one_of("source", HintSource),
    UniqueConstraint("platform_name", "domain", "delivery_id"),
    Index("hints_waiting_id_idx", "id", postgresql_where=text("gathered_at IS NULL")),
    Index(None, "received_at"),
    schema=CONNECTOR,
    comment="Hints that something changed in a shop, until they are gathered into the queue, and "
    "for a while after, so that repeats are known.",
)

change_looks: Final = Table(
    "change_looks",
    metadata,
    Column("platform_name", Id, primary_key=True, comment="The shop's platform."),
    Column("domain", Id, primary_key=True, comment="The shop's domain."),
    Column("cursor", Text, comment="Where the next look begins, as the adapter has it."),
    Column("looked_at", Time, comment="When the last look was. Null: there was none."),
    Column("changed_at", Time, comment="When a look last saw a change."),
    Column("look_at", Time, nullable=False, comment="When the next look is due."),
    Column(
        "changes_an_hour",
        Double[float](),
        nullable=False,
        server_default="0",
        comment="How often an hour a look would have seen a change, of late.",
    ),
    Column(
        "failures",
        Integer,
        nullable=False,
        server_default="0",
        comment="Looks that failed since the last that did not.",
    ),
    Index(None, "look_at"),
    schema=CONNECTOR,
    comment="When each shop's change feed is looked at, by how often the shop changes.",
)

erase_demands: Final = Table(
    "erase_demands",
    metadata,
    Column("platform_name", Id, primary_key=True, comment="The shop's platform."),
    Column("domain", Id, primary_key=True, comment="The shop's domain."),
    Column(
        "demanded_at",
        Time,
        nullable=False,
        server_default=text("clock_timestamp()"),
        comment="When the platform first demanded it.",
    ),
    Column("tried_at", Time, comment="When the erasure was last tried. Null: never."),
    Column("trouble", Text, comment="Why the last try failed, in words."),
    schema=CONNECTOR,
    comment="Shops of which the platform demands that everything is erased, until it is.",
)
