"""What a database is for, and a table of locks, as anybody may take an advisory lock."""

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
    op.execute("INSERT INTO connector.installation DEFAULT VALUES")
    op.create_table(
        "locks",
        sa.Column(
            "name",
            sa.Text(collation="C"),
            nullable=False,
            comment="What is locked, e.g. publish PARTITION_KEY.",
        ),
        sa.Column("holder", sa.Text, comment="Of a session: the words for who holds it."),
        sa.Column(
            "pid",
            sa.Integer,
            comment="Of a session: the server's process of it.",
        ),
        sa.Column(
            "session_key",
            sa.BigInteger,
            comment="Of a session: the advisory lock that it holds for as long as it lives.",
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("locks_pkey")),
        schema="connector",
        comment="Locks by name: of a transaction (its row is locked) or of a session.",
    )


def downgrade() -> None:
    raise NotImplementedError("a database would no longer know whether it serves real shops")
