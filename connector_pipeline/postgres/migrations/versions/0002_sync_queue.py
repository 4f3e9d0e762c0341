"""One queue of syncs in place of three tables with a launcher each.

Requests and backfill shops that have not ended move into the queue. The record of earlier sweeps
goes: nothing but an alert within two days reads it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002_sync_queue"
down_revision = "0001_catalog_and_connector"

_ID = sa.Text(collation="C")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    _create_queue()
    _move_requests()
    _move_backfills()
    op.drop_table("sweeps", schema="connector")
    op.drop_table("backfill_shops", schema="connector")
    for name in ("launched_at", "offered_at", "run_id", "relaunches"):
        # The index on waiting requests goes with the column in its condition.
        op.drop_column("sync_requests", name, schema="connector")
    op.create_index(
        "sync_requests_waiting_id_idx",
        "sync_requests",
        ["id"],
        schema="connector",
        postgresql_where=sa.text("accepted_at IS NULL AND refused_at IS NULL"),
    )
    op.alter_column(
        "sync_requests",
        "accepted_at",
        comment="When it was put into connector.sync_queue.",
        schema="connector",
    )
    op.alter_column(
        "shops",
        "last_swept_at",
        comment="When a sweep last put the shop into the queue.",
        schema="connector",
    )


def downgrade() -> None:
    raise NotImplementedError("what waits in the queue has no place in the older tables")


def _move_requests() -> None:
    op.execute(
        """
        INSERT INTO connector.sync_queue (
            platform_name, domain, merchant_id, reason, priority, sync_type, sync_id, awaited,
            correlation_id, state, put_at, taken_at, launch_id, lane, run_id, relaunches
        )
        SELECT request.platform_name, request.domain, request.merchant_id, 'request', 0,
            request.sync_type, request.sync_id, true, sync.correlation_id,
            CASE WHEN request.run_id IS NULL THEN 'waiting' ELSE 'taken' END,
            request.requested_at, request.launched_at,
            CASE WHEN request.run_id IS NOT NULL THEN request.sync_id END,
            CASE WHEN request.run_id IS NOT NULL THEN 'foreground' END,
            request.run_id, request.relaunches
        FROM connector.sync_requests AS request JOIN connector.syncs AS sync USING (sync_id)
        WHERE request.accepted_at IS NOT NULL AND request.refused_at IS NULL
            AND sync.status IN ('pending', 'running')
        ORDER BY request.id
        """
    )


def _move_backfills() -> None:
    op.execute(
        """
        INSERT INTO connector.sync_queue (
            platform_name, domain, merchant_id, reason, priority, backfills, put_at
        )
        SELECT platform_name, domain, shop.merchant_id, 'backfill', 2,
            array_agg(backfill.backfill_id ORDER BY backfill.backfill_id),
            min(backfill.requested_at)
        FROM connector.backfill_shops AS backfill
            JOIN connector.shops AS shop USING (platform_name, domain)
        WHERE backfill.status IN ('waiting', 'launched')
        GROUP BY platform_name, domain, shop.merchant_id
        ORDER BY min(backfill.requested_at), platform_name, domain
        """
    )


def _create_queue() -> None:
    op.create_table(
        "sync_queue",
        sa.Column(
            "id",
            sa.BigInteger,
            sa.Identity(always=True),
            nullable=False,
            comment="Order of arrival.",
        ),
        sa.Column("platform_name", _ID, nullable=False, comment="The shop's platform."),
        sa.Column("domain", _ID, nullable=False, comment="The shop's domain."),
        sa.Column(
            "merchant_id", _ID, nullable=False, comment="The merchant; merchants take turns."
        ),
        sa.Column("reason", sa.Text, nullable=False, comment="Why the shop waits for a sync."),
        sa.Column(
            "priority",
            sa.SmallInteger,
            nullable=False,
            comment="The lowest goes first; a row that waits long is taken as if its were lower.",
        ),
        sa.Column(
            "sync_type",
            sa.Text,
            server_default="auto",
            nullable=False,
            comment="What was asked for.",
        ),
        sa.Column(
            "sync_id",
            _ID,
            server_default=sa.text("(gen_random_uuid())::text"),
            nullable=False,
            comment="The sync that this row leads to: the requester's id, or one of the connector.",
        ),
        sa.Column(
            "awaited",
            sa.Boolean,
            server_default=sa.text("false"),
            nullable=False,
            comment="Whether a requester waits for the outcome of this very sync_id.",
        ),
        sa.Column(
            "correlation_id", sa.Text, comment="The requester's. Null: the sync_id takes its place."
        ),
        sa.Column(
            "backfills",
            sa.ARRAY(sa.Text),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="The backfills that the shop is synced for.",
        ),
        sa.Column("sweep_id", sa.Text, comment="The last sweep that the shop is synced for."),
        sa.Column(
            "state",
            sa.Text,
            server_default="waiting",
            nullable=False,
            comment="waiting, taken for a run, or ended.",
        ),
        sa.Column(
            "put_at",
            _TIME,
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="When the shop was put into the queue.",
        ),
        sa.Column("taken_at", _TIME, comment="When it was last taken for a run."),
        sa.Column("ended_at", _TIME, comment="When its sync ended, or it was refused."),
        sa.Column(
            "launch_id",
            _ID,
            comment="The run that was asked for: its run key, and a tag of it. Shops share runs.",
        ),
        sa.Column("position", sa.Integer, comment="Its position among the shops of that run."),
        sa.Column("lane", sa.Text, comment="The lane of that run."),
        sa.Column("run_id", _ID, comment="The Dagster run. Null: it was not seen yet."),
        sa.Column(
            "relaunches",
            sa.Integer,
            server_default="0",
            nullable=False,
            comment="How often it was put in again, because its run ended without a word about it.",
        ),
        sa.Column("outcome", sa.Text, comment="How it ended."),
        sa.Column("error_code", sa.Text, comment="The name of the error it failed with."),
        sa.CheckConstraint(
            "lane IN ('foreground', 'background')", name=op.f("sync_queue_lane_known")
        ),
        sa.CheckConstraint(
            "outcome IN ('succeeded', 'failed')", name=op.f("sync_queue_outcome_known")
        ),
        sa.CheckConstraint(
            "reason IN ('request', 'change', 'retry', 'backfill', 'sweep')",
            name=op.f("sync_queue_reason_known"),
        ),
        sa.CheckConstraint(
            "state IN ('waiting', 'taken', 'ended')", name=op.f("sync_queue_state_known")
        ),
        sa.CheckConstraint(
            "sync_type IN ('auto', 'full', 'incremental')",
            name=op.f("sync_queue_sync_type_known"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("sync_queue_pkey")),
        sa.UniqueConstraint("sync_id", name=op.f("sync_queue_sync_id_key")),
        schema="connector",
        comment="Shops that wait for a sync, and those that had one, whoever asked.",
    )
    op.create_index(
        "sync_queue_backfills_idx",
        "sync_queue",
        ["backfills"],
        schema="connector",
        postgresql_using="gin",
        postgresql_where=sa.text("backfills <> '{}'"),
    )
    op.create_index(
        "sync_queue_ended_idx",
        "sync_queue",
        ["ended_at"],
        schema="connector",
        postgresql_where=sa.text("state = 'ended'"),
    )
    op.create_index(
        "sync_queue_sweep_idx",
        "sync_queue",
        ["sweep_id"],
        schema="connector",
        postgresql_where=sa.text("sweep_id IS NOT NULL"),
    )
    op.create_index(
        "sync_queue_taken_idx",
        "sync_queue",
        ["launch_id"],
        schema="connector",
        postgresql_where=sa.text("state = 'taken'"),
    )
    op.create_index(
        "sync_queue_unended_idx",
        "sync_queue",
        ["platform_name", "domain", "state"],
        schema="connector",
        postgresql_where=sa.text("state <> 'ended'"),
    )
