"""How far a shop's changes are in the catalog, apart from when it was last published."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column(
        "shops",
        sa.Column(
            "high_water_mark",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Every change on the platform up to then is in the catalog. "
            "Null: no such time.",
        ),
        schema="connector",
    )


def downgrade() -> None:
    op.drop_column("shops", "high_water_mark", schema="connector")
