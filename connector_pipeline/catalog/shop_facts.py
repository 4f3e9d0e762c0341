"""Read the facts that the asset checks judge shops by, in one query for many shops."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import psycopg
from psycopg.rows import class_row

from connector_pipeline.model.shop import parse_partition_key
from connector_pipeline.model.shop_state import ShopState


@dataclass(frozen=True, slots=True)
class ShopFacts:
    """One registered shop as the catalog and the registry have it. Times are UTC.

    Counts are of live items; `currencies` counts them by code. `duplicates` and `incomplete` are
    about the last published snapshot: `incomplete` if it was full, and something was missing in it
    without a reason, so that it did not count as the last full one.
    """

    partition_key: str
    registered_at: datetime
    last_full_sync_at: datetime | None
    state: str = ShopState.ACTIVE
    items: int = 0
    negative_prices: int = 0
    empty_titles: int = 0
    currencies: Mapping[str, int] | None = None
    rejected: int = 0
    duplicates: int = 0
    incomplete: bool = False
    full_sync_failing_since: datetime | None = None
    full_sync_error_code: str | None = None


# The items are grouped by currency so that a check can name an unknown one. LATERAL, because a join
# reads the whole catalog even for a hundred shops of a thousand.
_QUERY: Final = r"""
    WITH judged AS (
        {judged}
    )
    SELECT shop.platform_name || '/' || shop.domain AS partition_key, shop.registered_at,
        shop.state, shop.last_full_sync_at, shop.full_sync_failing_since, shop.full_sync_error_code,
        coalesce(items.items, 0) AS items,
        coalesce(items.negative_prices, 0) AS negative_prices,
        coalesce(items.empty_titles, 0) AS empty_titles, items.currencies,
        rejects.rejected, coalesce(sync.duplicates, 0) AS duplicates,
        coalesce(sync.sync_type = 'full' AND NOT sync.complete, false)
            AND shop.last_full_sync_at IS DISTINCT FROM shop.last_successful_sync_at AS incomplete
    FROM judged JOIN connector.shops AS shop USING (platform_name, domain)
    CROSS JOIN LATERAL (
        SELECT sum(items)::bigint AS items, sum(negative_prices)::bigint AS negative_prices,
            sum(empty_titles)::bigint AS empty_titles,
            jsonb_object_agg(currency, items) AS currencies
        FROM (
            SELECT item.currency, count(*) AS items,
                count(*) FILTER (WHERE item.price < 0) AS negative_prices,
                count(*) FILTER (
                    WHERE btrim(item.product_title, E' \t\r\n\u00a0') = ''
                        OR btrim(item.variant_title, E' \t\r\n\u00a0') = ''
                ) AS empty_titles
            FROM catalog.catalog_items AS item
            WHERE item.platform_name = shop.platform_name AND item.domain = shop.domain
                AND item.deleted_at IS NULL
            GROUP BY item.currency
        ) AS counted
    ) AS items
    CROSS JOIN LATERAL (
        SELECT count(*) AS rejected FROM connector.rejected_variants AS reject
        WHERE reject.platform_name = shop.platform_name AND reject.domain = shop.domain
    ) AS rejects
    LEFT JOIN LATERAL (
        SELECT sync.sync_type, sync.complete, sync.duplicates
        FROM connector.syncs AS sync
        WHERE sync.platform_name = shop.platform_name AND sync.domain = shop.domain
            AND sync.started_at = shop.last_successful_sync_at AND sync.status = 'succeeded'
        ORDER BY sync.finished_at DESC LIMIT 1
    ) AS sync ON true
    ORDER BY shop.platform_name, shop.domain
"""

_GIVEN: Final = """
    SELECT * FROM unnest(%(platform_names)s::text[], %(domains)s::text[])
        AS judged (platform_name, domain)
"""
_ALL: Final = "SELECT platform_name, domain FROM connector.shops"


def shop_facts(connection: psycopg.Connection, keys: Iterable[str]) -> Sequence[ShopFacts]:
    """Read the facts of these shops in one statement, sorted by partition key.

    Leaves out shops that are not in the registry. Raises InvalidShop for a malformed key.
    """
    shops = [parse_partition_key(key) for key in keys]
    with connection.cursor(row_factory=class_row(ShopFacts)) as cursor:
        return cursor.execute(
            _QUERY.replace("{judged}", _GIVEN),
            {
                "platform_names": [platform_name for platform_name, _ in shops],
                "domains": [domain for _, domain in shops],
            },
        ).fetchall()


def facts_of_all_shops(connection: psycopg.Connection) -> Sequence[ShopFacts]:
    """Read the facts of every registered shop in one statement, sorted by partition key."""
    with connection.cursor(row_factory=class_row(ShopFacts)) as cursor:
        return cursor.execute(_QUERY.replace("{judged}", _ALL)).fetchall()
