"""What a database is for, and the space of the advisory locks that its syncs take."""

import sqlalchemy as sa
from alembic import op

revision = "0004_installation"
down_revision = "0003_bad_days"


def upgrade() -> None:
    op.create_table(
        "installation",
        sa.Column(
            "only_one",
            sa.Boolean,
            server_default=sa.text("true"),
            nullable=False,
            comment="Always true: the table has one row.",
        ),
        sa.Column(
            "serves",
            sa.Text,
            comment="sandbox: invented shops alone. real: merchants' shops. Null: not said yet.",
        ),
        sa.Column(
            "lock_space",
            sa.BigInteger,
            nullable=False,
            comment="A random number, from which the keys of our advisory locks are made.",
        ),
        sa.Column(
            "made_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When this row was written.",
        ),
        sa.PrimaryKeyConstraint("only_one", name=op.f("installation_pkey")),
        sa.CheckConstraint("only_one", name=op.f("installation_only_one")),
        sa.CheckConstraint("serves IN ('sandbox', 'real')", name=op.f("installation_serves_known")),
        schema="connector",
        comment="What this database is for.",
    )
    op.execute(
        "INSERT INTO connector.installation (lock_space) "
        "SELECT hashtextextended(gen_random_uuid()::text, 0)"
    )


def downgrade() -> None:
    raise NotImplementedError("a database would no longer know whether it serves real shops")
