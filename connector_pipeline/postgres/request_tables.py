"""The tables of the schema `connector` for sync requests and the queue of syncs.

The migrations make exactly these; a test compares the two. A change here needs a migration.
"""

from typing import Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Identity,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from connector_pipeline.model.queue import Lane, QueueOutcome, QueueReason, QueueState
from connector_pipeline.model.sync_type import RequestedSyncType
from connector_pipeline.postgres.schema import Id, Time, metadata, one_of
from connector_pipeline.postgres.schema_names import CONNECTOR

sync_queue: Final = Table(
    "sync_queue",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True, comment="Order of arrival."),
    Column("platform_name", Id, nullable=False, comment="The shop's platform."),
    Column("domain", Id, nullable=False, comment="The shop's domain."),
    Column("merchant_id", Id, nullable=False, comment="The merchant; merchants take turns."),
    Column("reason", Text, nullable=False, comment="Why the shop waits for a sync."),
    Column(
        "priority",
        SmallInteger,
        nullable=False,
        comment="The lowest goes first; a row that waits long is taken as if its were lower.",
    ),
    Column("sync_type", Text, nullable=False, server_default="auto", comment="What was asked for."),
    Column(
        "sync_id",
        Id,
        nullable=False,
        server_default=text("(gen_random_uuid())::text"),
        comment="The sync that this row leads to: the requester's id, or one of the connector.",
    ),
    Column(
        "awaited",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="Whether a requester waits for the outcome of this very sync_id.",
    ),
    Column("correlation_id", Text, comment="The requester's. Null: the sync_id takes its place."),
    Column(
        "backfills",
        ARRAY(Text),
        nullable=False,
        server_default=text("'{}'"),
        comment="The backfills that the shop is synced for.",
    ),
    Column("sweep_id", Text, comment="The last sweep that the shop is synced for."),
    Column(
        "state",
        Text,
        nullable=False,
        server_default=QueueState.WAITING.value,
        comment="waiting, taken for a run, or ended.",
    ),
    Column(
        "put_at",
        Time,
        nullable=False,
        server_default=text("clock_timestamp()"),
        comment="When the shop was put into the queue.",
    ),
    Column("taken_at", Time, comment="When it was last taken for a run."),
    Column("ended_at", Time, comment="When its sync ended, or it was refused."),
    Column(
        "launch_id",
        Id,
        comment="The run that was asked for: its run key, and a tag of it. Shops share runs.",
    ),
    Column("position", Integer, comment="Its position among the shops of that run."),
    Column("lane", Text, comment="The lane of that run."),
    Column("run_id", Id, comment="The Dagster run. Null: it was not seen yet."),
    Column(
        "relaunches",
        Integer,
        nullable=False,
        server_default="0",
        comment="How often it was put in again, because its run ended without a word about it.",
    ),
    Column(
        "hints",
        JSONB,
        comment="The tokens of the hints that the sync is for. Of each: changed_at, the time of "
        "its newest change or null, and asked, as in connector.hints. Null: a sync of the whole "
        "shop.",
    ),
    Column("not_before", Time, comment="It is not taken before: further hints may come."),
    Column("outcome", Text, comment="How it ended."),
    Column("error_code", Text, comment="The name of the error it failed with."),
    UniqueConstraint("sync_id"),
    one_of("reason", QueueReason),
    one_of("state", QueueState),
    one_of("sync_type", RequestedSyncType),
    one_of("lane", Lane),
    one_of("outcome", QueueOutcome),
    Index(
        "sync_queue_unended_idx",
        "platform_name",
        "domain",
        "state",
        postgresql_where=text("state <> 'ended'"),
    ),
    Index("sync_queue_taken_idx", "launch_id", postgresql_where=text("state = 'taken'")),
    Index(
        "sync_queue_backfills_idx",
        "backfills",
        postgresql_using="gin",
        postgresql_where=text("backfills <> '{}'"),
    ),
    Index("sync_queue_sweep_idx", "sweep_id", postgresql_where=text("sweep_id IS NOT NULL")),
    Index("sync_queue_ended_idx", "ended_at", postgresql_where=text("state = 'ended'")),
    schema=CONNECTOR,
    comment="Shops that wait for a sync, and those that had one, whoever asked.",
)

sync_requests: Final = Table(
    "sync_requests",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True, comment="Order of arrival."),
    Column("merchant_id", Text, nullable=False, comment="The merchant that owns the shop."),
    Column("platform_name", Id, nullable=False, comment="The platform's name."),
    Column("platform_shop_id", Text, nullable=False, comment="The platform's id of the shop."),
    Column("domain", Id, nullable=False, comment="The shop's host name, in lower case."),
    Column(
        "sync_id",
        Id,
        nullable=False,
        comment="The requester's id; a repeated id asks for the same sync.",
    ),
    Column(
        "sync_type",
        Text,
        nullable=False,
        server_default="full",
        comment="full, incremental or auto.",
    ),
    Column(
        "correlation_id", Text, comment="Ties logs and events together. Null: the sync_id does."
    ),
    Column(
        "requested_at",
        Time,
        nullable=False,
        server_default=text("clock_timestamp()"),
        comment="When the request arrived.",
    ),
    Column("accepted_at", Time, comment="When it was put into connector.sync_queue."),
    Column("refused_at", Time, comment="When the connector refused it for good."),
    Column("refusal", Text, comment="The reason of the refusal."),
    Column(
        "requested_by",
        Id,
        server_default=text("CURRENT_USER"),
        comment="The database user that left the request. Null: it is older than the column.",
    ),
    UniqueConstraint("sync_id"),
    CheckConstraint("sync_id ~ '^[!-~]{1,200}$'", name="sync_id_usable"),
    CheckConstraint("merchant_id <> ''", name="merchant_id_given"),
    Index(
        "sync_requests_waiting_id_idx",
        "id",
        postgresql_where=text("accepted_at IS NULL AND refused_at IS NULL"),
    ),
    Index(None, "requested_at"),
    schema=CONNECTOR,
    comment="Requests to sync a shop. Requesters insert as the role sync_requester.",
)
