"""The inbox of sync requests, and syncs that are known of before they start."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.alter_column(
        "syncs",
        "sync_type",
        existing_type=sa.Text(),
        nullable=True,
        comment="full or incremental. Null: not decided before it starts.",
        existing_comment="full or incremental.",
        schema="connector",
    )
    op.alter_column(
        "syncs",
        "started_at",
        existing_type=_TIME,
        nullable=True,
        comment="When it started. Null: it did not.",
        existing_comment="When it started.",
        schema="connector",
    )
    op.create_index(
        "syncs_unfinished_sync_id_idx",
        "syncs",
        ["sync_id"],
        unique=False,
        schema="connector",
        postgresql_where=sa.text("status IN ('pending', 'running')"),
    )
    for name, comment in (
        ("batches_sent", "Product batches sent ahead of it, where they are published."),
        ("products_sent", "Products in those batches."),
    ):
        op.add_column(
            "outbox",
            sa.Column(name, sa.Integer(), server_default="0", nullable=False, comment=comment),
            schema="connector",
        )
    op.create_table(
        "sync_requests",
        sa.Column(
            "id",
            sa.BigInteger(),
            sa.Identity(always=True),
            nullable=False,
            comment="Order of arrival.",
        ),
        sa.Column("merchant_id", sa.Text(), nullable=False, comment="Whose shop it is."),
        sa.Column(
            "platform_name",
            sa.Text(collation="C"),
            nullable=False,
            comment="shopify or woocommerce.",
        ),
        sa.Column(
            "platform_shop_id",
            sa.Text(),
            nullable=False,
            comment="The platform's id of the shop.",
        ),
        sa.Column(
            "domain",
            sa.Text(collation="C"),
            nullable=False,
            comment="The shop's host name, in lower case.",
        ),
        sa.Column(
            "sync_id",
            sa.Text(collation="C"),
            nullable=False,
            comment="The requester's: one sync, however often.",
        ),
        sa.Column(
            "sync_type",
            sa.Text(),
            server_default="full",
            nullable=False,
            comment="full, incremental or auto.",
        ),
        sa.Column(
            "correlation_id",
            sa.Text(),
            nullable=True,
            comment="Ties logs and events together. Null: the sync_id.",
        ),
        sa.Column(
            "requested_at",
            _TIME,
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="When it arrived.",
        ),
        sa.Column(
            "accepted_at",
            _TIME,
            nullable=True,
            comment="When its row in connector.syncs was made.",
        ),
        sa.Column(
            "offered_at", _TIME, nullable=True, comment="When a run was last asked of Dagster."
        ),
        sa.Column("launched_at", _TIME, nullable=True, comment="When its run was seen to exist."),
        sa.Column("run_id", sa.Text(), nullable=True, comment="That run."),
        sa.Column(
            "relaunches",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="Runs in the place of one that died and was not retried.",
        ),
        sa.Column("refused_at", _TIME, nullable=True, comment="When it was refused, for good."),
        sa.Column("refusal", sa.Text(), nullable=True, comment="Why it was refused."),
        sa.CheckConstraint("sync_id ~ '^[!-~]{1,200}$'", name=op.f("sync_requests_sync_id_usable")),
        sa.CheckConstraint("merchant_id <> ''", name=op.f("sync_requests_merchant_id_given")),
        sa.PrimaryKeyConstraint("id", name=op.f("sync_requests_pkey")),
        sa.UniqueConstraint("sync_id", name=op.f("sync_requests_sync_id_key")),
        schema="connector",
        comment="The inbox of sync requests. Insert as the role sync_requester.",
    )
    op.create_index(
        "sync_requests_waiting_id_idx",
        "sync_requests",
        ["id"],
        unique=False,
        schema="connector",
        postgresql_where=sa.text("launched_at IS NULL AND refused_at IS NULL"),
    )
    op.create_index(
        "sync_requests_requested_at_idx",
        "sync_requests",
        ["requested_at"],
        unique=False,
        schema="connector",
    )
    op.create_table(
        "run_workers",
        sa.Column("run_id", sa.Text(), nullable=False, comment="The Dagster run."),
        sa.Column(
            "host", sa.Text(), nullable=False, comment="Where its worker is: what the pid is of."
        ),
        sa.Column("pid", sa.Integer(), nullable=False, comment="The worker's process."),
        sa.Column(
            "process_started",
            sa.Double[float](),
            nullable=False,
            comment="When it started, Unix time.",
        ),
        sa.Column(
            "beat_at",
            _TIME,
            nullable=False,
            comment="When its worker last said that it lives.",
        ),
        sa.PrimaryKeyConstraint("run_id", name=op.f("run_workers_pkey")),
        schema="connector",
        comment="Signs of life of the runs that sync shops.",
    )


def downgrade() -> None:
    op.drop_table("run_workers", schema="connector")
    op.drop_table("sync_requests", schema="connector")
    op.drop_column("outbox", "products_sent", schema="connector")
    op.drop_column("outbox", "batches_sent", schema="connector")
    op.drop_index("syncs_unfinished_sync_id_idx", table_name="syncs", schema="connector")
    # The table before knew no syncs that did not start.
    op.execute("DELETE FROM connector.syncs WHERE started_at IS NULL")
    op.alter_column(
        "syncs",
        "started_at",
        existing_type=_TIME,
        nullable=False,
        comment="When it started.",
        existing_comment="When it started. Null: it did not.",
        schema="connector",
    )
    op.alter_column(
        "syncs",
        "sync_type",
        existing_type=sa.Text(),
        nullable=False,
        comment="full or incremental.",
        existing_comment="full or incremental. Null: not decided before it starts.",
        schema="connector",
    )
