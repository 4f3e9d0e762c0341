"""How each request's sync ended, for the requester that asked for it."""

import sqlalchemy as sa
from alembic import op

revision = "0007_requesters"
down_revision = "0006_hints"
# Older code inserts requests without the column, which has a default.
compatible_from = "0006_hints"
lost_by_downgrade = "which user left each sync request"

_ID = sa.Text(collation="C")


def upgrade() -> None:
    # Without a default at first: that would name the migrating user on the rows that are there.
    op.add_column(
        "sync_requests",
        sa.Column(
            "requested_by",
            _ID,
            comment="The database user that left the request. Null: it is older than the column.",
        ),
        schema="connector",
    )
    op.alter_column(
        "sync_requests",
        "requested_by",
        server_default=sa.text("CURRENT_USER"),
        schema="connector",
    )
    # The barrier keeps the planner from showing a row to a caller's function before its user is
    # compared.
    op.execute(
        f"CREATE VIEW connector.sync_request_outcomes WITH (security_barrier) AS {_OUTCOMES}"
    )
    op.execute(
        "COMMENT ON VIEW connector.sync_request_outcomes IS "
        "'The requests of the user that reads it, and how the sync of each ended.'"
    )
    for column, comment in _COMMENTS.items():
        op.execute(f"COMMENT ON COLUMN connector.sync_request_outcomes.{column} IS '{comment}'")


def downgrade() -> None:
    op.execute("DROP VIEW connector.sync_request_outcomes")
    op.drop_column("sync_requests", "requested_by", schema="connector")


# A refused request shows nothing of the sync under its sync_id, which may be another requester's.
# An interrupted sync is not over: a retry of its run goes on with it.
_OUTCOMES = """
    SELECT request.sync_id, request.correlation_id, request.merchant_id, request.platform_name,
        request.platform_shop_id, request.domain,
        request.sync_type AS requested_sync_type, sync.sync_type,
        CASE
            WHEN request.refused_at IS NOT NULL THEN 'refused'
            WHEN request.accepted_at IS NULL OR sync.status = 'pending' THEN 'waiting'
            WHEN sync.error_code = 'SyncInterrupted' THEN 'running'
            ELSE coalesce(sync.status, 'forgotten')
        END AS state,
        CASE
            WHEN request.refused_at IS NOT NULL THEN 'InvalidSyncRequest'
            ELSE nullif(sync.error_code, 'SyncInterrupted')
        END AS error_code,
        CASE
            WHEN request.refused_at IS NOT NULL THEN request.refusal
            WHEN sync.error_code IS DISTINCT FROM 'SyncInterrupted' THEN sync.error_message
        END AS error_message,
        request.requested_at, request.accepted_at, sync.started_at,
        CASE
            WHEN request.refused_at IS NOT NULL THEN request.refused_at
            WHEN sync.error_code IS DISTINCT FROM 'SyncInterrupted' THEN sync.finished_at
        END AS finished_at,
        sync.complete, sync.items, sync.inserted, sync.updated, sync.unchanged, sync.revived,
        sync.deleted, sync.rejected
    FROM connector.sync_requests AS request
        LEFT JOIN connector.syncs AS sync
            ON sync.sync_id = request.sync_id AND request.accepted_at IS NOT NULL
    WHERE request.requested_by IN (
        SELECT rolname FROM pg_catalog.pg_roles WHERE pg_catalog.pg_has_role(oid, 'USAGE')
    )
"""

_COMMENTS = {
    "sync_id": "The requester''s id.",
    "correlation_id": "The requester''s. Null: it gave none.",
    "merchant_id": "The merchant, as requested.",
    "platform_name": "The platform, as requested.",
    "platform_shop_id": "The platform''s id of the shop, as requested.",
    "domain": "The shop''s domain, as requested.",
    "requested_sync_type": "full, incremental or auto, as requested.",
    "sync_type": "How much the sync read. Null: not decided yet.",
    "state": "waiting, running, succeeded, failed, refused, or forgotten: it ended, and its record "
    "is deleted.",
    "error_code": "The name of the error. Null: none.",
    "error_message": "The error in words, and what to do.",
    "requested_at": "When the request arrived.",
    "accepted_at": "When the connector took it up. Null: not yet, or it was refused.",
    "started_at": "When the sync started. Null: not yet.",
    "finished_at": "When it succeeded, failed or was refused. Null: not yet.",
    "complete": "Whether the snapshot agrees with the platform''s counts. Null: not published.",
    "items": "Items in the snapshot. Null: not published.",
    "inserted": "Items new to the catalog.",
    "updated": "Items whose content differed.",
    "unchanged": "Items that the catalog held already, and the same.",
    "revived": "Tombstones whose variant returned.",
    "deleted": "Items that became tombstones.",
    "rejected": "Variants that could not be normalized.",
}
