"""How a published sync is recorded: on its row, its shop, its row in the queue, and as an event.

All of that is recorded in the caller's transaction, which publishes: together, or not at all.
"""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

import psycopg
from psycopg.types.json import Jsonb
from pydantic import JsonValue

from connector_pipeline.model.errors import SnapshotIncomplete, UnknownShop
from connector_pipeline.model.events import Envelope, FetchCompleted
from connector_pipeline.model.queue import QueueOutcome
from connector_pipeline.model.shop import Shop
from connector_pipeline.model.sync import Sync
from connector_pipeline.model.sync_type import SyncType
from connector_pipeline.state import full_sync_failures, sync_queue
from connector_pipeline.state.freshness import ChangeTimes
from connector_pipeline.state.outbox import put_outcome
from connector_pipeline.state.sync_log import PublishCounts, identity, refuse_foreign

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

_SHOP_AFTER_HINTED: Final = """
    UPDATE connector.shops SET last_hinted_sync_at = %(as_of)s
    WHERE platform_name = %(platform_name)s AND domain = %(domain)s
"""


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
        identity(sync, shop)
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
    refuse_foreign(published, sync, shop)
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
        identity(sync, shop)
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
