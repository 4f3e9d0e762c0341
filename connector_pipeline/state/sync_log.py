"""`connector.syncs`: one row per sync, from its start to how far it is.

`sync_failure` and `sync_success` record how a sync ended. Each function is part of the caller's
transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import psycopg
from psycopg.rows import class_row

from connector_pipeline.model.errors import ConnectorError, SyncInterrupted
from connector_pipeline.model.shop import Shop
from connector_pipeline.model.sync import Sync
from connector_pipeline.state import refusals

_PROGRESS: Final = """
    UPDATE connector.syncs
    SET pages = %(pages)s, requests = %(requests)s, waited_seconds = %(waited_seconds)s,
        fetched_at = coalesce(%(fetched_at)s, fetched_at), progressed_at = clock_timestamp()
    WHERE sync_id = %(sync_id)s
"""


@dataclass(frozen=True, slots=True)
class SyncProgress:
    """How far a sync is. `published_by` is the root of the Dagster runs that published it."""

    status: str
    pages: int
    requests: int
    published_by: str | None = None


@dataclass(frozen=True, slots=True)
class PublishCounts:
    """How many of the catalog's rows of one shop a publish changed, and how.

    `items` counts the variants of the snapshot, `duplicates` the earlier copies of a variant in it,
    which a publish skips. A `revived` row was a tombstone, a `deleted` row became one.
    """

    items: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    revived: int = 0
    deleted: int = 0
    rejected: int = 0
    duplicates: int = 0


def start(connection: psycopg.Connection, sync: Sync, shop: Shop, run_id: str | None) -> None:
    """Record that a sync runs. A sync that a retried run starts again begins anew.

    Raises ConnectorError if a sync of another shop has the same id.
    """
    started = connection.execute(
        """
        INSERT INTO connector.syncs (
            sync_id, platform_name, domain, merchant_id, sync_type, status, correlation_id,
            run_id, started_at, hinted
        ) VALUES (
            %(sync_id)s, %(platform_name)s, %(domain)s, %(merchant_id)s, %(sync_type)s, 'running',
            %(correlation_id)s, %(run_id)s, %(started_at)s, %(hinted)s
        )
        ON CONFLICT (sync_id) DO UPDATE SET
            merchant_id = excluded.merchant_id, sync_type = excluded.sync_type,
            status = excluded.status, correlation_id = excluded.correlation_id,
            run_id = coalesce(excluded.run_id, syncs.run_id), started_at = excluded.started_at,
            hinted = excluded.hinted, complete = NULL, pages = NULL, requests = NULL,
            waited_seconds = NULL, seconds = NULL, error_code = NULL, error_message = NULL,
            progressed_at = NULL,
            fetched_at = NULL, finished_at = NULL,
            published_by = NULL, freshness_seconds = NULL, freshness_worst_seconds = NULL
        WHERE syncs.platform_name = excluded.platform_name AND syncs.domain = excluded.domain
        """,
        identity(sync, shop) | {"run_id": run_id, "hinted": sync.hinted},
    )
    refuse_foreign(started, sync, shop)


def record_progress(
    connection: psycopg.Connection,
    sync_id: str,
    *,
    pages: int,
    requests: int,
    waited_seconds: float = 0.0,
    fetched_at: datetime | None = None,
) -> None:
    """Record how far a running sync is; `fetched_at` is when its last page was archived.

    `waited_seconds`: of the whole sync so far, as the platform asked or between retries.
    """
    values = {
        "pages": pages,
        "requests": requests,
        "waited_seconds": waited_seconds,
        "fetched_at": fetched_at,
        "sync_id": sync_id,
    }
    if fetched_at is None:
        connection.execute(_PROGRESS, values)
    else:
        refusals.shop_answers(connection, _PROGRESS, values)


def progress(connection: psycopg.Connection, sync_id: str) -> SyncProgress | None:
    """How far a sync is, or None if there is no record of it."""
    row = connection.execute(
        """
        SELECT status, coalesce(pages, 0), coalesce(requests, 0), published_by
        FROM connector.syncs WHERE sync_id = %s
        """,
        (sync_id,),
    ).fetchone()
    return None if row is None else SyncProgress(*row)


def failure_texts(connection: psycopg.Connection, sync_ids: Sequence[str]) -> dict[str, str]:
    """The errors of those of these syncs that have failed for good, in words, by sync_id.

    An interrupted sync has not: a retry of its run goes on with it, and the relay holds its event
    back until then.
    """
    rows = connection.execute(
        "SELECT sync_id, error_code || ': ' || error_message FROM connector.syncs"
        " WHERE sync_id = ANY(%s) AND status = 'failed' AND error_code <> %s",
        (list(sync_ids), SyncInterrupted.__name__),
    )
    return dict(rows.fetchall())


def publish_counts(
    connection: psycopg.Connection, sync_id: str, published_by: str
) -> PublishCounts | None:
    """The counts of a sync's publish, if it succeeded and this run did it."""
    with connection.cursor(row_factory=class_row(PublishCounts)) as cursor:
        return cursor.execute(
            """
            SELECT items, inserted, updated, unchanged, revived, deleted, rejected, duplicates
            FROM connector.syncs
            WHERE sync_id = %s AND published_by = %s AND status = 'succeeded'
            """,
            (sync_id, published_by),
        ).fetchone()


def identity(sync: Sync, shop: Shop) -> dict[str, object]:
    """The columns by which a sync's row is known, as parameters of a statement."""
    return {
        "sync_id": sync.sync_id,
        "platform_name": shop.platform_name,
        "domain": shop.domain,
        "merchant_id": shop.merchant_id,
        "sync_type": sync.sync_type,
        "correlation_id": sync.correlation_id,
        "started_at": sync.started_at,
    }


def refuse_foreign(written: psycopg.Cursor, sync: Sync, shop: Shop) -> None:
    """Raise ConnectorError if no row was written, as the `sync_id` is another shop's."""
    if written.rowcount == 0:
        raise ConnectorError(
            f"the sync_id {sync.sync_id} is already another shop's.",
            partition_key=shop.partition_key,
            remedy="Ask for the sync again under another sync_id.",
        )
