"""Hints by webhooks and change feeds, hinted syncs, and how fresh each sync's rows are."""

from importlib import import_module
from typing import Final

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0006_hints"
down_revision = "0005_operations"
# Older code takes a row with hints as one of the whole shop.
compatible_from = "0005_operations"
lost_by_downgrade = "hints that wait, and how fresh each sync's rows were"

_ID = sa.Text(collation="C")
_TIME = sa.DateTime(timezone=True)

_SHOP_COLUMNS: Final = (
    ("last_hinted_sync_at", _TIME, "When the last hinted sync that was published started."),
    ("last_hint_at", _TIME, "When the last hint about the shop arrived by webhook."),
    (
        "subscriptions_checked_at",
        _TIME,
        "When the platform was last asked for the shop's webhooks.",
    ),
    (
        "subscribed",
        sa.Boolean(),
        "Whether all webhooks were active then. Null: nobody subscribed to any.",
    ),
    ("subscriptions_trouble", sa.Text(), "What was wrong with them, in words."),
)
_SYNC_COLUMNS: Final = (
    ("hinted", sa.Integer(), "Of a hinted sync: how many tokens it asked for."),
    (
        "freshness_seconds",
        sa.Double[float](),
        "From the platform's change of a row to the commit: the median of the rows that the sync "
        "wrote because the platform changed them after the shop's high-water mark, less an hour, "
        "and after its registration or state last changed. 0: by its clock it changed later. Null: "
        "there is no such row.",
    ),
    (
        "freshness_worst_seconds",
        sa.Double[float](),
        "The same, the longest of those rows.",
    ),
)
_QUEUE_COLUMNS: Final = (
    (
        "hints",
        JSONB(),
        "The tokens of the hints that the sync is for. Of each: changed_at, the time of its newest "
        "change or null, and asked, as in connector.hints. Null: a sync of the whole shop.",
    ),
    ("not_before", _TIME, "It is not taken before: further hints may come."),
)
_ADDED: Final = (
    ("shops", _SHOP_COLUMNS),
    ("syncs", _SYNC_COLUMNS),
    ("sync_queue", _QUEUE_COLUMNS),
)


def upgrade() -> None:
    for table, columns in _ADDED:
        for name, kind, comment in columns:
            op.add_column(table, sa.Column(name, kind, comment=comment), schema="connector")
    _know_sync_types("'full', 'incremental', 'hinted'")
    op.alter_column("syncs", "sync_type", comment=_READS, schema="connector")
    _create_hints()
    _create_looks()
    _create_demands()
    # The columns stay as they are, and with them the grants and the comments.
    op.execute(f"CREATE OR REPLACE VIEW connector.metrics AS {_metrics_before()} {_METRICS}")


def downgrade() -> None:
    op.execute(f"CREATE OR REPLACE VIEW connector.metrics AS {_metrics_before()}")
    op.drop_table("erase_demands", schema="connector")
    op.drop_table("change_looks", schema="connector")
    op.drop_table("hints", schema="connector")
    op.execute("UPDATE connector.syncs SET sync_type = 'incremental' WHERE sync_type = 'hinted'")
    op.alter_column("syncs", "sync_type", comment=_READ_BEFORE, schema="connector")
    _know_sync_types("'full', 'incremental'")
    for table, columns in reversed(_ADDED):
        for name, _, _ in reversed(columns):
            op.drop_column(table, name, schema="connector")


_READS: Final = "How much it reads. Null: decided when it starts."
_READ_BEFORE: Final = "full or incremental. Null: decided when it starts."


def _know_sync_types(words: str) -> None:
    name = op.f("syncs_sync_type_known")
    op.drop_constraint(name, "syncs", schema="connector", type_="check")
    op.create_check_constraint(name, "syncs", f"sync_type IN ({words})", schema="connector")


def _create_hints() -> None:
    op.create_table(
        "hints",
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
            "source",
            sa.Text,
            nullable=False,
            comment="webhook, feed: a look at the change feed, again: a sync that asks again.",
        ),
        sa.Column(
            "delivery_id",
            _ID,
            comment="The delivery's id and the hint's number in it: a repeat has the same. Null: "
            "the platform has no such id.",
        ),
        sa.Column(
            "topic", sa.Text, nullable=False, comment="The platform's word for the occasion."
        ),
        sa.Column(
            "token", _ID, comment="What changed, as the adapter names it. Null: anything may have."
        ),
        sa.Column(
            "changed_at",
            _TIME,
            comment="When it changed, by the platform's clock. Null: unknown.",
        ),
        sa.Column(
            "received_at",
            _TIME,
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="When the hint arrived.",
        ),
        sa.Column(
            "asked",
            sa.SmallInteger,
            server_default="0",
            nullable=False,
            comment="How many syncs asked for the token without an answer as new as the hint.",
        ),
        sa.Column("not_before", _TIME, comment="It is not gathered before. Null: it may be."),
        sa.Column("gathered_at", _TIME, comment="When it was put into connector.sync_queue."),
        sa.CheckConstraint(
            "source IN ('webhook', 'feed', 'again')", name=op.f("hints_source_known")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("hints_pkey")),
        sa.UniqueConstraint(
            "platform_name",
            "domain",
            "delivery_id",
            name=op.f("hints_platform_name_domain_delivery_id_key"),
        ),
        schema="connector",
        comment="Hints that something changed in a shop, until they are gathered into the queue, "
        "and for a while after, so that repeats are known.",
    )
    op.create_index(
        "hints_waiting_id_idx",
        "hints",
        ["id"],
        schema="connector",
        postgresql_where=sa.text("gathered_at IS NULL"),
    )
    op.create_index(op.f("hints_received_at_idx"), "hints", ["received_at"], schema="connector")


def _create_looks() -> None:
    op.create_table(
        "change_looks",
        sa.Column("platform_name", _ID, nullable=False, comment="The shop's platform."),
        sa.Column("domain", _ID, nullable=False, comment="The shop's domain."),
        sa.Column("cursor", sa.Text, comment="Where the next look begins, as the adapter has it."),
        sa.Column("looked_at", _TIME, comment="When the last look was. Null: there was none."),
        sa.Column("changed_at", _TIME, comment="When a look last saw a change."),
        sa.Column("look_at", _TIME, nullable=False, comment="When the next look is due."),
        sa.Column(
            "changes_an_hour",
            sa.Double[float](),
            server_default="0",
            nullable=False,
            comment="How often an hour a look would have seen a change, of late.",
        ),
        sa.Column(
            "failures",
            sa.Integer,
            server_default="0",
            nullable=False,
            comment="Looks that failed since the last that did not.",
        ),
        sa.PrimaryKeyConstraint("platform_name", "domain", name=op.f("change_looks_pkey")),
        schema="connector",
        comment="When each shop's change feed is looked at, by how often the shop changes.",
    )
    op.create_index(
        op.f("change_looks_look_at_idx"), "change_looks", ["look_at"], schema="connector"
    )


def _create_demands() -> None:
    op.create_table(
        "erase_demands",
        sa.Column("platform_name", _ID, nullable=False, comment="The shop's platform."),
        sa.Column("domain", _ID, nullable=False, comment="The shop's domain."),
        sa.Column(
            "demanded_at",
            _TIME,
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="When the platform first demanded it.",
        ),
        sa.Column("tried_at", _TIME, comment="When the erasure was last tried. Null: never."),
        sa.Column("trouble", sa.Text, comment="Why the last try failed, in words."),
        sa.PrimaryKeyConstraint("platform_name", "domain", name=op.f("erase_demands_pkey")),
        schema="connector",
        comment="Shops of which the platform demands that everything is erased, until it is.",
    )


def _metrics_before() -> str:
    """The view's query as the migration before made it."""
    before = import_module("connector_pipeline.postgres.migrations.versions.0005_operations")
    return str(before._metrics())


# It goes on with the query of before, of which it uses `platform` and `span`. A time that is not
# known has no row: a 0 would say that all is fresh.
_METRICS: Final = """
    UNION ALL
    SELECT 'connector_recent_freshness_seconds',
        jsonb_build_object('platform', platform_name, 'sync_type', sync_type, 'window', span,
            'percentile', percent),
        seconds
    FROM (
        SELECT sync.platform_name, sync.sync_type, span.name AS span,
            percentile_disc(ARRAY[0.5, 0.9, 0.99, 1.0])
                WITHIN GROUP (ORDER BY sync.freshness_worst_seconds) AS worst
        FROM connector.syncs AS sync JOIN span ON sync.finished_at > span.since
        WHERE sync.finished_at > now() - interval '1 hour' AND sync.status = 'succeeded'
            AND sync.freshness_worst_seconds IS NOT NULL AND sync.sync_type IS NOT NULL
        GROUP BY sync.platform_name, sync.sync_type, span.name
    ) AS recent
    CROSS JOIN LATERAL (VALUES ('50', worst[1]), ('90', worst[2]), ('99', worst[3]),
        ('100', worst[4])) AS of_syncs (percent, seconds)
    UNION ALL
    SELECT 'connector_hints_waiting', '{}', count(*) FROM connector.hints
    WHERE gathered_at IS NULL AND (not_before IS NULL OR not_before <= now())
    UNION ALL
    -- One that is asked for again waits for its time.
    SELECT 'connector_hints_oldest_age_seconds', '{}',
        coalesce(greatest(extract(epoch FROM now() - min(coalesce(not_before, received_at))), 0), 0)
    FROM connector.hints WHERE gathered_at IS NULL
    UNION ALL
    SELECT 'connector_recent_hints',
        jsonb_build_object('platform', platform_name, 'source', source, 'window', span.name),
        count(*) FILTER (WHERE received_at > span.since)
    FROM span CROSS JOIN platform CROSS JOIN unnest(ARRAY['webhook', 'feed']) AS source
        LEFT JOIN (
            SELECT platform_name, source, received_at FROM connector.hints
            WHERE received_at > now() - interval '1 hour'
        ) AS hint USING (platform_name, source)
    GROUP BY platform_name, source, span.name
    UNION ALL
    SELECT 'connector_recent_looks',
        jsonb_build_object('platform', platform_name, 'window', span.name),
        count(*) FILTER (WHERE looked_at > span.since)
    FROM span CROSS JOIN platform LEFT JOIN connector.change_looks USING (platform_name)
    GROUP BY platform_name, span.name
    UNION ALL
    SELECT 'connector_looks_failing', jsonb_build_object('platform', platform_name),
        count(*) FILTER (WHERE failures > 0)
    FROM platform LEFT JOIN connector.change_looks USING (platform_name)
    GROUP BY platform_name
    UNION ALL
    SELECT 'connector_erase_demands', '{}', count(*) FROM connector.erase_demands
    UNION ALL
    SELECT 'connector_erase_demands_oldest_age_seconds', '{}',
        coalesce(greatest(extract(epoch FROM now() - min(demanded_at)), 0), 0)
    FROM connector.erase_demands
    UNION ALL
    SELECT 'connector_shops_subscribed',
        jsonb_build_object('platform', platform_name, 'state', state),
        count(subscribed) FILTER (WHERE (state = 'whole') = (subscriptions_trouble IS NULL))
    FROM platform CROSS JOIN unnest(ARRAY['whole', 'troubled']) AS state
        LEFT JOIN (
            SELECT platform_name, subscribed, subscriptions_trouble FROM connector.shops
            WHERE shops.state = 'active' AND subscribed IS NOT NULL
        ) AS shop_of_platform USING (platform_name)
    GROUP BY platform_name, state
"""
