"""`connector.syncs`: one row per sync, and how its outcome changes its shop's registration.

Each function is part of the caller's transaction. An outcome is recorded together with its event
and the end of its row in the queue, or not at all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb
from pydantic import JsonValue

from connector_pipeline.model.errors import (
    AccessRefused,
    ConnectorError,
    InvalidSyncRequest,
    NotActive,
    ShopBusy,
    ShopDisconnected,
    SnapshotIncomplete,
    SyncAbandoned,
    SyncInterrupted,
    UnknownShop,
)
from connector_pipeline.model.events import Envelope, FetchCompleted, FetchFailed
from connector_pipeline.model.queue import QueueOutcome
from connector_pipeline.model.shop import Shop
from connector_pipeline.model.sync import Sync, SyncType
from connector_pipeline.state import full_sync_failures, refusals, sync_queue
from connector_pipeline.state.asked_again import ask_again_all
from connector_pipeline.state.error_text import stored_text
from connector_pipeline.state.freshness import ChangeTimes
from connector_pipeline.state.outbox import put_outcome
from connector_pipeline.state.refusals import Refusal

_NOT_OF_FULL_SYNCS: Final = (ShopBusy, SyncInterrupted, AccessRefused, ShopDisconnected)
"""Errors that say nothing of full syncs in particular: an increment ends them just as well."""

_SHOP_AFTER: Final = """
    UPDATE connector.shops
    SET last_successful_sync_at = %(as_of)s,
        high_water_mark =
            CASE WHEN %(full)s OR %(increment)s AND high_water_mark IS NOT NULL
            THEN %(as_of)s ELSE high_water_mark END,
        last_full_sync_at = CASE WHEN %(full)s THEN %(as_of)s ELSE last_full_sync_at END,
        full_sync_failing_since = CASE WHEN NOT %(full)s THEN full_sync_failing_since END,
        full_sync_failed_at = CASE WHEN NOT %(full)s THEN full_sync_failed_at END,
        full_sync_failures = CASE WHEN NOT %(full)s THEN full_sync_failures ELSE 0 END,
        full_sync_error_code = CASE WHEN NOT %(full)s THEN full_sync_error_code END,
        full_sync_error_message = CASE WHEN NOT %(full)s THEN full_sync_error_message END,
        published_currency =
            CASE WHEN %(full)s THEN coalesce(%(currency)s, published_currency)
            ELSE published_currency END,
        learned = %(learned)s, consecutive_failures = 0,
        last_error_code = CASE WHEN NOT %(full)s THEN full_sync_error_code END,
        last_error_message = CASE WHEN NOT %(full)s THEN full_sync_error_message END
    WHERE platform_name = %(platform_name)s AND domain = %(domain)s
"""

_PROGRESS: Final = """
    UPDATE connector.syncs
    SET pages = %(pages)s, requests = %(requests)s, waited_seconds = %(waited_seconds)s,
        fetched_at = coalesce(%(fetched_at)s, fetched_at), progressed_at = clock_timestamp()
    WHERE sync_id = %(sync_id)s
"""

_SHOP_AFTER_HINTED: Final = """
    UPDATE connector.shops SET last_hinted_sync_at = %(as_of)s
    WHERE platform_name = %(platform_name)s AND domain = %(domain)s
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
        _identity(sync, shop) | {"run_id": run_id, "hinted": sync.hinted},
    )
    _refuse_foreign(started, sync, shop)


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


def failures(connection: psycopg.Connection, sync_ids: Sequence[str]) -> dict[str, str]:
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


def published(
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


def refuse(
    connection: psycopg.Connection,
    sync: Sync,
    shop: Shop,
    error: ConnectorError,
    run_id: str | None,
) -> None:
    """Record a sync that failed before it began. A sync on record stays as another run left it."""
    if progress(connection, sync.sync_id) is None:
        start(connection, sync, shop, run_id)
        fail(connection, sync.sync_id, error)


def fail(
    connection: psycopg.Connection,
    sync_id: str,
    error: ConnectorError,
    *,
    refusal: Refusal = refusals.UNKNOWN,
) -> ConnectorError:
    """Record that a sync failed, in the queue too, and count the failure on its shop.

    Returns the error as recorded: an AccessRefused takes the place of a ShopDisconnected that is
    not believed yet, by what the run knows of the `refusal`. A believed one marks an active shop
    disconnected. An InvalidSyncRequest or a NotActive leaves the shop as it is, so that its own
    error stays, and a ShopBusy is not counted. Nor
    is what fails for hints alone: their tokens are asked for again, and whether the shop is well
    is for the syncs of the whole shop to say.
    """
    if isinstance(error, ShopDisconnected):
        error = _judged(connection, sync_id, error, refusal)
    message = stored_text(error)
    failed = connection.execute(
        """
        UPDATE connector.syncs
        SET status = 'failed', error_code = %s, error_message = %s,
            finished_at = clock_timestamp(),
            seconds = extract(epoch FROM clock_timestamp() - started_at)
        WHERE sync_id = %s
        RETURNING platform_name, domain, merchant_id, correlation_id, finished_at,
            sync_type, (
                SELECT platform_shop_id FROM connector.shops
                WHERE (platform_name, domain) = (syncs.platform_name, syncs.domain)
            )
        """,
        (error.code, message, sync_id),
    ).fetchone()
    # A shop's row may wait for a sync that was not recorded yet.
    sync_queue.end(connection, sync_id, QueueOutcome.FAILED, error.code)
    if failed is None:
        ask_again_all(connection, sync_id)
        return error
    (
        platform_name,
        domain,
        merchant_id,
        correlation_id,
        finished_at,
        sync_type,
        platform_shop_id,
    ) = failed
    hinted = sync_type == SyncType.HINTED
    if hinted and not isinstance(error, SyncAbandoned):
        ask_again_all(connection, sync_id)
    says_nothing = isinstance(error, InvalidSyncRequest | NotActive)
    if not says_nothing and not (hinted and not _is_refusal(error)):
        _count_failure(connection, (platform_name, domain), error, message)
        if sync_type == SyncType.FULL and not isinstance(error, _NOT_OF_FULL_SYNCS):
            full_sync_failures.keep(connection, (platform_name, domain), error)
    data = FetchFailed(
        merchant_id=merchant_id,
        sync_id=sync_id,
        platform_name=platform_name,
        platform_shop_id=platform_shop_id,
        domain=domain,
        error_code=error.code,
        error=f"{error.code}: {message}",
    )
    event = Envelope[FetchFailed].of(data, correlation_id=correlation_id, timestamp=finished_at)
    put_outcome(connection, f"{platform_name}/{domain}", event)
    return error


def _is_refusal(error: ConnectorError) -> bool:
    return isinstance(error, AccessRefused | ShopDisconnected)


def _judged(
    connection: psycopg.Connection, sync_id: str, error: ShopDisconnected, refusal: Refusal
) -> ConnectorError:
    """The error as the registry believes it. The rows are locked in everybody's order."""
    shop = connection.execute(
        "SELECT platform_name, domain FROM connector.syncs WHERE sync_id = %s FOR UPDATE",
        (sync_id,),
    ).fetchone()
    if shop is None:
        return error
    connection.execute("SELECT FROM connector.sync_queue WHERE sync_id = %s FOR UPDATE", (sync_id,))
    return refusals.judged(connection, shop, error, refusal)


def _count_failure(
    connection: psycopg.Connection, shop: tuple[str, str], error: ConnectorError, message: str
) -> None:
    platform_name, domain = shop
    connection.execute(
        """
        UPDATE connector.shops
        SET consecutive_failures = consecutive_failures + %(counted)s,
            last_error_code = %(code)s, last_error_message = %(message)s
        WHERE platform_name = %(platform_name)s AND domain = %(domain)s
        """,
        {
            "code": error.code,
            "message": message,
            "counted": 0 if isinstance(error, ShopBusy) else 1,
            "platform_name": platform_name,
            "domain": domain,
        },
    )


def succeed(
    connection: psycopg.Connection,
    *,
    sync: Sync,
    shop: Shop,
    counts: PublishCounts,
    complete: bool,
    live: int = 0,
    changed: ChangeTimes | None = None,
    all_read: bool = False,
    absences_confirmed: bool = False,
    currency: str | None = None,
    learned: Mapping[str, JsonValue] = MappingProxyType({}),
    as_of: datetime | None = None,
    published_by: str | None = None,
) -> None:
    """Record that a sync was published, and on its shop when it was synced and its high-water mark.

    The publish left the shop `live` rows.

    All these times are the start of the sync, or `as_of` where its data are older: the snapshot may
    lack changes that the platform made after it. A snapshot that is published again from the
    archive sets them back to its own start.

    A full sync counts as the shop's last full one if nothing is missing in it and it leaves no
    deletion open: its snapshot is complete, or everything that the platform counts was read and the
    platform confirmed all absences. Such a sync moves the high-water mark, and ends the failures of
    full syncs. A complete increment moves the mark, too. While full syncs fail, their error stays
    the shop's error. A hinted sync says nothing of the whole shop, so it leaves all of that as it
    is, failures included; only when it was is recorded. Raises UnknownShop if the shop is no longer
    in the registry.
    """
    published = connection.execute(
        """
        INSERT INTO connector.syncs (
            sync_id, platform_name, domain, merchant_id, sync_type, hinted, status, correlation_id,
            started_at, complete, items, inserted, updated, unchanged, revived, deleted,
            rejected, duplicates, published_by, finished_at, seconds, freshness_seconds,
            freshness_worst_seconds
        ) VALUES (
            %(sync_id)s, %(platform_name)s, %(domain)s, %(merchant_id)s, %(sync_type)s, %(hinted)s,
            'succeeded', %(correlation_id)s, %(started_at)s, %(complete)s, %(items)s,
            %(inserted)s, %(updated)s, %(unchanged)s, %(revived)s, %(deleted)s, %(rejected)s,
            %(duplicates)s, %(published_by)s,
            clock_timestamp(), extract(epoch FROM clock_timestamp() - %(started_at)s),
            extract(epoch FROM greatest(clock_timestamp() - %(middle_change)s, %(no_change)s)),
            extract(epoch FROM greatest(clock_timestamp() - %(first_change)s, %(no_change)s))
        )
        ON CONFLICT (sync_id) DO UPDATE SET
            sync_type = excluded.sync_type, hinted = excluded.hinted, status = excluded.status,
            complete = excluded.complete, items = excluded.items,
            inserted = excluded.inserted, updated = excluded.updated,
            unchanged = excluded.unchanged,
            revived = excluded.revived, deleted = excluded.deleted, rejected = excluded.rejected,
            duplicates = excluded.duplicates, finished_at = excluded.finished_at,
            seconds = excluded.seconds, published_by = excluded.published_by,
            freshness_seconds = excluded.freshness_seconds,
            freshness_worst_seconds = excluded.freshness_worst_seconds,
            error_code = NULL, error_message = NULL
        WHERE syncs.platform_name = excluded.platform_name AND syncs.domain = excluded.domain
        RETURNING finished_at
        """,
        _identity(sync, shop)
        | {
            "hinted": sync.hinted,
            "complete": complete,
            "items": counts.items,
            "inserted": counts.inserted,
            "updated": counts.updated,
            "unchanged": counts.unchanged,
            "revived": counts.revived,
            "deleted": counts.deleted,
            "rejected": counts.rejected,
            "duplicates": counts.duplicates,
            "published_by": published_by,
            "middle_change": None if changed is None else changed.middle,
            "first_change": None if changed is None else changed.first,
            # A null among them would leave the other one, so that both are null.
            "no_change": None if changed is None else timedelta(0),
        },
    )
    _refuse_foreign(published, sync, shop)
    sync_queue.end(connection, sync.sync_id, QueueOutcome.SUCCEEDED, None)
    full = sync.sync_type is SyncType.FULL
    counts_as_full = full and (complete or (all_read and absences_confirmed))
    if full and not counts_as_full:
        full_sync_failures.keep(
            connection,
            (shop.platform_name, shop.domain),
            SnapshotIncomplete("the last full sync misses something that the platform counts."),
        )
    statement = _SHOP_AFTER_HINTED if sync.sync_type is SyncType.HINTED else _SHOP_AFTER
    known = connection.execute(
        statement,
        _identity(sync, shop)
        | {
            "full": counts_as_full,
            "currency": currency,
            "as_of": sync.started_at if as_of is None else min(as_of, sync.started_at),
            "learned": Jsonb(dict(learned)),
            # A shop without a mark waits for a full sync: its registration has changed.
            "increment": not full and complete,
        },
    )
    if known.rowcount == 0:
        raise UnknownShop(
            "left the registry while it was synced; nothing was published.",
            partition_key=shop.partition_key,
        )
    data = FetchCompleted(
        merchant_id=shop.merchant_id,
        sync_id=sync.sync_id,
        platform_name=shop.platform_name,
        platform_shop_id=shop.platform_shop_id,
        domain=shop.domain,
        total_products=live,
        sync_type=sync.sync_type,
        **asdict(counts),
    )
    [(finished_at,)] = published.fetchall()
    event = Envelope[FetchCompleted].of(
        data, correlation_id=sync.correlation_id, timestamp=finished_at
    )
    put_outcome(connection, shop.partition_key, event)


def _identity(sync: Sync, shop: Shop) -> dict[str, object]:
    return {
        "sync_id": sync.sync_id,
        "platform_name": shop.platform_name,
        "domain": shop.domain,
        "merchant_id": shop.merchant_id,
        "sync_type": sync.sync_type,
        "correlation_id": sync.correlation_id,
        "started_at": sync.started_at,
    }


def _refuse_foreign(written: psycopg.Cursor, sync: Sync, shop: Shop) -> None:
    if written.rowcount == 0:
        raise ConnectorError(
            f"the sync_id {sync.sync_id} is already another shop's.",
            partition_key=shop.partition_key,
            remedy="Ask for the sync again under another sync_id.",
        )
