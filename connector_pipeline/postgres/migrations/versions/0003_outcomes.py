"""How syncs end: the outbox of events that tell it, and whether a snapshot was complete.

Until now a full sync that did not move `last_full_sync_at` was known for an incomplete one; now one
moves it that leaves no deletion open.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"


_BEFORE = "When the last complete full sync that was published started."
_NOW = "When the last full sync started that was published and left no deletion open."


def upgrade() -> None:
    op.add_column(
        "syncs",
        sa.Column(
            "complete",
            sa.Boolean(),
            nullable=True,
            comment="Whether the platform's counts vouch for the snapshot. Null: not published.",
        ),
        schema="connector",
    )
    op.alter_column(
        "shops",
        "last_full_sync_at",
        existing_type=sa.DateTime(timezone=True),
        comment=_NOW,
        existing_comment=_BEFORE,
        schema="connector",
    )
    op.create_table(
        "outbox",
        sa.Column(
            "id",
            sa.BigInteger(),
            sa.Identity(always=True),
            nullable=False,
            comment="Grows; within a shop in the order of commits. Send by it.",
        ),
        sa.Column(
            "partition_key",
            sa.Text(collation="C"),
            nullable=False,
            comment="The shop, {platform_name}/{domain}: its events are sent in order.",
        ),
        sa.Column("subject", sa.Text(), nullable=False, comment="Where to send it."),
        sa.Column(
            "event_id",
            sa.Uuid(),
            nullable=False,
            comment="The same for a repeat: the message id by which receivers drop one.",
        ),
        sa.Column(
            "payload",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="The event in its envelope.",
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="When it was written; old ones are deleted, sent or not.",
        ),
        sa.Column(
            "sent_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When its receipt was acknowledged. Null: to be sent.",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("outbox_pkey")),
        sa.UniqueConstraint("event_id", name=op.f("outbox_event_id_key")),
        schema="connector",
        comment="Events to be sent, written in the transaction of what they tell.",
    )
    op.create_index(
        "outbox_partition_key_created_at_idx",
        "outbox",
        ["partition_key", "created_at"],
        unique=False,
        schema="connector",
    )
    op.create_index(
        "outbox_unsent_id_idx",
        "outbox",
        ["id"],
        unique=False,
        schema="connector",
        postgresql_where=sa.text("sent_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_index("outbox_unsent_id_idx", table_name="outbox", schema="connector")
    op.drop_index("outbox_partition_key_created_at_idx", table_name="outbox", schema="connector")
    op.drop_table("outbox", schema="connector")
    op.alter_column(
        "shops",
        "last_full_sync_at",
        existing_type=sa.DateTime(timezone=True),
        comment=_BEFORE,
        existing_comment=_NOW,
        schema="connector",
    )
    op.drop_column("syncs", "complete", schema="connector")
