"""What an operator watches: the view connector.metrics, and what its numbers need."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0005_operations"
down_revision = "0004_installation"
# Older code writes no seconds of waiting, and prunes syncs that were not counted yet.
compatible_from = "0004_installation"
lost_by_downgrade = "the sums in connector.sync_totals, and how long each sync waited"

_ID = sa.Text(collation="C")
_TIME = sa.DateTime(timezone=True)

_CHANGES: Final = ("inserted", "updated", "unchanged", "revived", "deleted", "rejected")


def upgrade() -> None:
    op.add_column(
        "syncs",
        sa.Column(
            "waited_seconds",
            sa.Double[float](),
            comment="Seconds spent waiting so far as the platform asked, or between retries.",
        ),
        schema="connector",
    )
    op.create_index(
        "syncs_finished_at_idx",
        "syncs",
        ["finished_at"],
        schema="connector",
        postgresql_where=sa.text("finished_at IS NOT NULL"),
    )
    _create_totals()
    op.execute(f"CREATE VIEW connector.metrics AS {_metrics()}")
    op.execute(
        "COMMENT ON VIEW connector.metrics IS "
        "'What an operator watches, by the names and labels of docs/operating.md.'"
    )
    for column, comment in (
        ("name", "The name of the metric, which ends with its unit."),
        ("labels", "What the value is of: names and texts."),
        ("value", "The value now. Names in _total count since the first count; others do not."),
    ):
        op.execute(f"COMMENT ON COLUMN connector.metrics.{column} IS '{comment}'")


def downgrade() -> None:
    op.execute("DROP VIEW connector.metrics")
    op.drop_table("sync_totals", schema="connector")
    op.drop_index("syncs_finished_at_idx", table_name="syncs", schema="connector")
    op.drop_column("syncs", "waited_seconds", schema="connector")


def _create_totals() -> None:
    def count(name: str, comment: str) -> sa.Column[int]:
        return sa.Column(name, sa.BigInteger, server_default="0", nullable=False, comment=comment)

    def seconds(name: str, comment: str) -> sa.Column[float]:
        return sa.Column(
            name, sa.Double[float](), server_default="0", nullable=False, comment=comment
        )

    op.create_table(
        "sync_totals",
        sa.Column("platform_name", _ID, nullable=False, comment="The platform of the syncs."),
        sa.Column("status", sa.Text, nullable=False, comment="How the syncs ended."),
        sa.Column(
            "error_code",
            _ID,
            nullable=False,
            comment="The name of the error they failed with. Empty: they did not fail.",
        ),
        count("syncs", "How many syncs ended so."),
        count("inserted", "Items new to the catalog."),
        count("updated", "Items whose content differed."),
        count("unchanged", "Items that the catalog held already, and the same."),
        count("revived", "Tombstones whose variant returned."),
        count("deleted", "Items that became tombstones."),
        count("rejected", "Variants that could not be normalized."),
        count("requests", "Requests made."),
        seconds("waited_seconds", "Seconds spent waiting as the platform asked, or for a retry."),
        sa.Column(
            "counted_until",
            _TIME,
            nullable=False,
            comment="The newest of these times in the table: syncs that finished by then are "
            "counted.",
        ),
        sa.CheckConstraint(
            "status IN ('succeeded', 'failed')", name=op.f("sync_totals_status_known")
        ),
        sa.PrimaryKeyConstraint(
            "platform_name", "status", "error_code", name=op.f("sync_totals_pkey")
        ),
        schema="connector",
        comment="Syncs that ended, counted before their rows are deleted: these sums only grow.",
    )


def _metrics() -> str:
    # Every group of shops, queue and recent syncs has a row, so that a value of 0 is seen as one.
    summed = ", ".join(f"coalesce(sum(recent.{name}), 0) AS {name}" for name in _CHANGES)
    recent_changes = ", ".join(f"('{name}', sums.{name})" for name in _CHANGES)
    return f"""
    WITH shop AS MATERIALIZED (
        SELECT platform_name, state, consecutive_failures, last_error_code, last_successful_sync_at,
            extract(epoch FROM now() - coalesce(last_successful_sync_at, registered_at)) AS age
        FROM connector.shops
    ), platform AS MATERIALIZED (
        SELECT DISTINCT platform_name FROM shop
    ), percentile (percent, age) AS (
        SELECT percent, coalesce(age, 0)
        FROM (
            SELECT percentile_disc(ARRAY[0.5, 0.9, 0.99, 1.0]) WITHIN GROUP (ORDER BY age) AS ages
            FROM shop WHERE state = 'active'
        ) AS active
        CROSS JOIN LATERAL (VALUES ('50', ages[1]), ('90', ages[2]), ('99', ages[3]),
            ('100', ages[4])) AS of_active (percent, age)
    ), queued AS MATERIALIZED (
        SELECT reason, state, count(row.id) AS rows,
            coalesce(max(extract(epoch FROM now() - row.put_at)), 0) AS oldest
        FROM unnest(ARRAY['request', 'change', 'retry', 'backfill', 'sweep']) AS reason
            CROSS JOIN unnest(ARRAY['waiting', 'taken']) AS state
            LEFT JOIN (
                SELECT id, reason, state, put_at FROM connector.sync_queue WHERE state <> 'ended'
            ) AS row USING (reason, state)
        GROUP BY reason, state
    ), unfinished AS MATERIALIZED (
        SELECT status, run_id, started_at
        FROM connector.syncs WHERE status IN ('pending', 'running')
    ), beating AS MATERIALIZED (
        SELECT run_id FROM connector.run_workers WHERE beat_at > now() - interval '40 seconds'
    ), finished AS MATERIALIZED (
        SELECT platform_name, status, error_code, finished_at, {", ".join(_CHANGES)}, requests,
            waited_seconds
        FROM connector.syncs
        WHERE finished_at > now() - interval '1 hour' AND status IN ('succeeded', 'failed')
    ), span (name, since) AS (
        VALUES ('5m', now() - interval '5 minutes'), ('1h', now() - interval '1 hour')
    ), sums AS MATERIALIZED (
        SELECT span.name AS span, platform.platform_name,
            count(*) FILTER (WHERE recent.status = 'succeeded') AS succeeded,
            count(*) FILTER (WHERE recent.status = 'failed') AS failed,
            {summed},
            coalesce(sum(recent.requests), 0) AS requests,
            coalesce(sum(recent.waited_seconds), 0) AS waited_seconds
        FROM span CROSS JOIN platform LEFT JOIN finished AS recent
            ON recent.platform_name = platform.platform_name AND recent.finished_at > span.since
        GROUP BY span.name, platform.platform_name
    ), totals AS MATERIALIZED (
        SELECT * FROM connector.sync_totals
    ), metric (name, labels, value) AS (
        SELECT 'connector_shops', jsonb_build_object('platform', platform_name, 'state', state),
            count(shop.state)
        FROM platform CROSS JOIN unnest(ARRAY['active', 'paused', 'disconnected']) AS state
            LEFT JOIN shop USING (platform_name, state)
        GROUP BY platform_name, state
        UNION ALL
        SELECT 'connector_shop_last_good_sync_age_seconds',
            jsonb_build_object('percentile', percent), age
        FROM percentile
        UNION ALL
        SELECT 'connector_shops_never_synced', '{{}}',
            count(*) FILTER (WHERE state = 'active' AND last_successful_sync_at IS NULL)
        FROM shop
        UNION ALL
        SELECT 'connector_shops_failing',
            jsonb_build_object('platform', platform_name, 'error', coalesce(last_error_code, '')),
            count(*)
        FROM shop WHERE state = 'active' AND consecutive_failures > 0
        GROUP BY platform_name, coalesce(last_error_code, '')
        UNION ALL
        SELECT 'connector_queue_shops', jsonb_build_object('reason', reason, 'state', state), rows
        FROM queued
        UNION ALL
        SELECT 'connector_queue_oldest_age_seconds',
            jsonb_build_object('reason', reason, 'state', state), oldest
        FROM queued
        UNION ALL
        SELECT 'connector_syncs_unfinished', jsonb_build_object('status', status),
            count(unfinished.status)
        FROM unnest(ARRAY['pending', 'running']) AS status LEFT JOIN unfinished USING (status)
        GROUP BY status
        UNION ALL
        SELECT 'connector_sync_running_oldest_age_seconds', '{{}}',
            coalesce(max(extract(epoch FROM now() - started_at)), 0)
        FROM unfinished WHERE status = 'running'
        UNION ALL
        SELECT 'connector_run_workers', '{{"state": "beating"}}', count(*) FROM beating
        UNION ALL
        -- Rows of workers whose runs have ended stay for a day, so only runs at work are looked at.
        SELECT 'connector_run_workers', '{{"state": "silent"}}', count(DISTINCT run_id)
        FROM unfinished
        WHERE status = 'running' AND started_at < now() - interval '40 seconds'
            AND run_id NOT IN (SELECT run_id FROM beating)
        UNION ALL
        SELECT 'connector_recent_syncs',
            jsonb_build_object('window', span, 'platform', platform_name, 'status', status), count
        FROM sums CROSS JOIN LATERAL (VALUES ('succeeded', succeeded), ('failed', failed))
            AS of_status (status, count)
        UNION ALL
        SELECT 'connector_recent_rows',
            jsonb_build_object('window', span, 'platform', platform_name, 'change', change), count
        FROM sums CROSS JOIN LATERAL (VALUES {recent_changes}) AS of_change (change, count)
        UNION ALL
        SELECT 'connector_recent_requests',
            jsonb_build_object('window', span, 'platform', platform_name), requests
        FROM sums
        UNION ALL
        SELECT 'connector_recent_waited_seconds',
            jsonb_build_object('window', span, 'platform', platform_name), waited_seconds
        FROM sums
        UNION ALL
        SELECT 'connector_recent_errors',
            jsonb_build_object('window', span.name, 'platform', platform_name,
                'error', coalesce(error_code, '')),
            count(*)
        FROM finished JOIN span ON finished.finished_at > span.since
        WHERE status = 'failed'
        GROUP BY span.name, platform_name, coalesce(error_code, '')
        UNION ALL
        SELECT 'connector_syncs_total',
            jsonb_build_object('platform', platform_name, 'status', status, 'error', error_code),
            syncs
        FROM totals
        UNION ALL
        SELECT 'connector_rows_total',
            jsonb_build_object('platform', platform_name, 'change', change), sum
        FROM (SELECT platform_name, {", ".join(f"sum({name}) AS {name}" for name in _CHANGES)}
            FROM totals GROUP BY platform_name) AS sums
            CROSS JOIN LATERAL (VALUES {recent_changes}) AS of_change (change, sum)
        UNION ALL
        SELECT 'connector_requests_total', jsonb_build_object('platform', platform_name),
            sum(requests)
        FROM totals GROUP BY platform_name
        UNION ALL
        SELECT 'connector_waited_seconds_total', jsonb_build_object('platform', platform_name),
            sum(waited_seconds)
        FROM totals GROUP BY platform_name
        UNION ALL
        SELECT 'connector_totals_age_seconds', '{{}}',
            extract(epoch FROM now() - max(counted_until))
        FROM totals HAVING count(*) > 0
        UNION ALL
        SELECT 'connector_outbox_unsent', '{{}}', count(*)
        FROM connector.outbox WHERE sent_at IS NULL
        UNION ALL
        SELECT 'connector_outbox_oldest_age_seconds', '{{}}',
            coalesce(extract(epoch FROM now() - (
                SELECT created_at FROM connector.outbox WHERE sent_at IS NULL ORDER BY id LIMIT 1
            )), 0)
        UNION ALL
        SELECT 'connector_sync_requests_waiting', '{{}}', count(*)
        FROM connector.sync_requests WHERE accepted_at IS NULL AND refused_at IS NULL
        UNION ALL
        SELECT 'connector_sync_requests_oldest_age_seconds', '{{}}',
            coalesce(extract(epoch FROM now() - min(requested_at)), 0)
        FROM connector.sync_requests WHERE accepted_at IS NULL AND refused_at IS NULL
        UNION ALL
        -- By its name, on which the view does not depend: an operator may split the table. And
        -- without a cast, which would need rights in its schema.
        SELECT 'connector_catalog_rows_estimate', '{{}}', coalesce(sum(greatest(reltuples, 0)), 0)
        FROM pg_class LEFT JOIN pg_inherits ON inhrelid = oid
        WHERE relkind = 'r' AND coalesce(inhparent, oid) IN (
            SELECT pg_class.oid FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
            WHERE nspname = 'catalog' AND relname = 'catalog_items'
        )
    )
    SELECT name, labels::jsonb AS labels, greatest(value, 0)::double precision AS value FROM metric
    """  # noqa: S608  our own words
