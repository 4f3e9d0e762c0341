"""What a disconnected shop refused, and which run published a sync."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column(
        "shops",
        sa.Column(
            "refused_credential",
            sa.Text(),
            nullable=True,
            comment="Of a disconnected shop: salted digest of the credential it refused. "
            "Null: there was none.",
        ),
        schema="connector",
    )
    op.add_column(
        "syncs",
        sa.Column(
            "published_by",
            sa.Text(),
            nullable=True,
            comment="The Dagster run that published it, by the first of its retries.",
        ),
        schema="connector",
    )


def downgrade() -> None:
    op.drop_column("syncs", "published_by", schema="connector")
    op.drop_column("shops", "refused_credential", schema="connector")
