"""What sweeps and backfills launched, and how the shops they took up ended."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column(
        "shops",
        sa.Column(
            "last_swept_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When a sweep last had a run launched for it.",
        ),
        schema="connector",
    )
    op.create_table(
        "sweeps",
        sa.Column(
            "sweep_id",
            sa.Text(collation="C"),
            nullable=False,
            comment="The time of SYNC_CRON it is of, ISO 8601.",
        ),
        sa.Column(
            "started_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it took up its first shops.",
        ),
        sa.Column("shops", sa.Integer(), nullable=False, comment="Active shops when it started."),
        sa.Column(
            "taken", sa.Integer(), nullable=False, comment="Shops that a run was launched for."
        ),
        sa.Column(
            "succeeded",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="Of those, published.",
        ),
        sa.Column(
            "failed", sa.Integer(), server_default="0", nullable=False, comment="Of those, failed."
        ),
        sa.PrimaryKeyConstraint("sweep_id", name=op.f("sweeps_pkey")),
        schema="connector",
        comment="One row per sweep over the active shops.",
    )
    op.create_index(
        "sweeps_started_at_idx", "sweeps", ["started_at"], unique=False, schema="connector"
    )
    op.create_table(
        "backfill_shops",
        sa.Column(
            "backfill_id",
            sa.Text(collation="C"),
            nullable=False,
            comment="Ours; a tag of its runs.",
        ),
        sa.Column(
            "platform_name", sa.Text(collation="C"), nullable=False, comment="The shop's platform."
        ),
        sa.Column("domain", sa.Text(collation="C"), nullable=False, comment="The shop's domain."),
        sa.Column(
            "status",
            sa.Text(),
            server_default="waiting",
            nullable=False,
            comment="Whether a run was launched for it, and how it ended.",
        ),
        sa.Column(
            "error_code", sa.Text(), nullable=True, comment="Why it failed, by the error's name."
        ),
        sa.Column(
            "requested_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When the backfill was asked for.",
        ),
        sa.Column(
            "changed_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When its status last changed.",
        ),
        sa.CheckConstraint(
            "status IN ('waiting', 'launched', 'succeeded', 'failed')",
            name=op.f("backfill_shops_status_known"),
        ),
        sa.PrimaryKeyConstraint(
            "backfill_id", "platform_name", "domain", name=op.f("backfill_shops_pkey")
        ),
        schema="connector",
        comment="Shops that `connector-pipeline backfill` asked to have synced.",
    )
    op.create_index(
        "backfill_shops_unfinished_idx",
        "backfill_shops",
        ["status"],
        unique=False,
        schema="connector",
        postgresql_where=sa.text("status IN ('waiting', 'launched')"),
    )


def downgrade() -> None:
    op.drop_index("backfill_shops_unfinished_idx", table_name="backfill_shops", schema="connector")
    op.drop_table("backfill_shops", schema="connector")
    op.drop_index("sweeps_started_at_idx", table_name="sweeps", schema="connector")
    op.drop_table("sweeps", schema="connector")
    op.drop_column("shops", "last_swept_at", schema="connector")
