"""The tables of the schema `connector` for sweeps, backfills and sync requests.

The migrations make exactly these; a test compares the two. A change here needs a migration.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from connector_pipeline.model.sync import BackfillStatus
from connector_pipeline.postgres.schema import Id, Time, metadata, one_of
from connector_pipeline.postgres.schema_names import CONNECTOR

sweeps: Final = Table(
    "sweeps",
    metadata,
    Column(
        "sweep_id",
        Id,
        primary_key=True,
        comment="The time of SYNC_CRON at which it was due, in ISO 8601.",
    ),
    Column(
        "started_at",
        Time,
        nullable=False,
        server_default=text("now()"),
        comment="When it launched the first run.",
    ),
    Column("shops", Integer, nullable=False, comment="Active shops when it started."),
    Column("taken", Integer, nullable=False, comment="Shops for which a run was launched."),
    Column(
        "succeeded",
        Integer,
        nullable=False,
        server_default="0",
        comment="Shops of these that were published.",
    ),
    Column(
        "failed", Integer, nullable=False, server_default="0", comment="Shops of these that failed."
    ),
    Index(None, "started_at"),
    schema=CONNECTOR,
    comment="One row per sweep over the active shops.",
)

backfill_shops: Final = Table(
    "backfill_shops",
    metadata,
    Column(
        "backfill_id",
        Id,
        primary_key=True,
        comment="The connector's id, and a tag of the backfill's runs.",
    ),
    Column("platform_name", Id, primary_key=True, comment="The shop's platform."),
    Column("domain", Id, primary_key=True, comment="The shop's domain."),
    Column(
        "status",
        Text,
        nullable=False,
        server_default=BackfillStatus.WAITING.value,
        comment="Whether a run was launched for the shop, and how that ended.",
    ),
    Column("error_code", Text, comment="The name of the error it failed with."),
    Column(
        "requested_at",
        Time,
        nullable=False,
        server_default=text("now()"),
        comment="When the backfill was requested.",
    ),
    Column(
        "changed_at",
        Time,
        nullable=False,
        server_default=text("now()"),
        comment="When its status last changed.",
    ),
    one_of("status", BackfillStatus),
    Index(
        "backfill_shops_unfinished_idx",
        "status",
        postgresql_where=text("status IN ('waiting', 'launched')"),
    ),
    schema=CONNECTOR,
    comment="Shops that `connector-pipeline backfill` requested.",
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
    Column("accepted_at", Time, comment="When its row in connector.syncs was made."),
    Column("offered_at", Time, comment="When Dagster was last asked for a run."),
    Column("launched_at", Time, comment="When its run was seen in Dagster."),
    Column("run_id", Text, comment="The Dagster run."),
    Column(
        "relaunches",
        Integer,
        nullable=False,
        server_default="0",
        comment="Runs launched in place of one that died and that Dagster did not retry.",
    ),
    Column("refused_at", Time, comment="When the connector refused it for good."),
    Column("refusal", Text, comment="The reason of the refusal."),
    UniqueConstraint("sync_id"),
    CheckConstraint("sync_id ~ '^[!-~]{1,200}$'", name="sync_id_usable"),
    CheckConstraint("merchant_id <> ''", name="merchant_id_given"),
    Index(
        "sync_requests_waiting_id_idx",
        "id",
        postgresql_where=text("launched_at IS NULL AND refused_at IS NULL"),
    ),
    Index(None, "requested_at"),
    schema=CONNECTOR,
    comment="Requests to sync a shop. Requesters insert as the role sync_requester.",
)
