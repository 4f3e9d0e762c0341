"""Keeps the catalog's rows that are newer than those of a snapshot that is being published.

A platform answers from replicas and indexes that may lag behind a change, and a sync may be
published after one that began later. Both would set a row back. A full sync that came last is
believed: a shop may have been restored from a backup.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import psycopg

from connector_pipeline.model.shop import Shop
from connector_pipeline.model.sync_type import SyncType

LAGS_FOR: Final = timedelta(minutes=10)
"""So long after a deletion an unchanged answer counts as one from before it."""

# A row that a hinted sync wrote that began after this snapshot stays, whatever it says.
_KEEP_LATER: Final = """
    DELETE FROM pg_temp.staged_items AS staged
    USING catalog.catalog_items AS item
    WHERE item.platform_name = %(platform_name)s AND item.domain = %(domain)s
        AND item.variant_id = staged.variant_id AND item.sync_id = ANY(%(later)s::text[])
"""

_KEEP_NEWER: Final = """
    DELETE FROM pg_temp.staged_items AS staged
    USING catalog.catalog_items AS item
    WHERE item.platform_name = %(platform_name)s AND item.domain = %(domain)s
        AND item.variant_id = staged.variant_id
        AND (item.updated_at > staged.updated_at
            OR item.updated_at = staged.updated_at AND item.deleted_at > now() - %(lags_for)s)
    RETURNING item.product_id, item.updated_at
"""

_LATER: Final = """
    SELECT sync_id FROM connector.syncs
    WHERE platform_name = %(platform_name)s AND domain = %(domain)s
        AND started_at > %(since)s AND sync_type = %(hinted)s AND status = 'succeeded'
        AND EXISTS (
            SELECT FROM connector.shops
            WHERE platform_name = %(platform_name)s AND domain = %(domain)s
                AND last_hinted_sync_at > %(since)s
        )
"""


@dataclass(frozen=True, slots=True)
class NewerRows:
    """How many rows stayed because they are newer than the platform's answer.

    `products` are theirs, by id, with the time of the newest of those rows.
    """

    rows: int = 0
    products: Mapping[str, datetime] = field(default_factory=dict[str, datetime])

    def warnings(self, left: Collection[str]) -> list[str]:
        """Sentences for an operator. `left` are the rows that are not asked for again."""
        said: list[str] = []
        if self.rows:
            said.append(
                f"The platform answered with an older state of {self.rows} items "
                f"({len(self.products)} products) than the catalog has. They stay as they are, and "
                "are asked for again."
            )
        if left:
            said.append(
                f"Of what was to be asked for again {len(left)} are left to the next sweep: they "
                f"were asked for often enough, or are too many. The first: {min(left)}."
            )
        return said


def later_hinted_syncs(connection: psycopg.Connection, shop: Shop, since: datetime) -> list[str]:
    """The published hinted syncs of the shop that began after this time, by sync_id."""
    rows = connection.execute(
        _LATER,
        {
            "platform_name": shop.platform_name,
            "domain": shop.domain,
            "since": since,
            "hinted": SyncType.HINTED,
        },
    ).fetchall()
    return [sync_id for (sync_id,) in rows]


def keep_newer_rows(
    connection: psycopg.Connection, shop: Shop, later: Sequence[str], *, full: bool
) -> NewerRows:
    """Take the rows out of the staged items that must not replace the catalog's.

    Those are of variants that a `later` hinted sync wrote, and, unless the sync is `full`, those
    that are older by the platform's own times.
    """
    values = {
        "platform_name": shop.platform_name,
        "domain": shop.domain,
        "later": list(later),
        "lags_for": LAGS_FOR,
    }
    if later:
        connection.execute(_KEEP_LATER, values)
    if full:
        return NewerRows()
    kept: Sequence[tuple[str, datetime]] = connection.execute(_KEEP_NEWER, values).fetchall()
    products: dict[str, datetime] = {}
    for product_id, updated_at in kept:
        products[product_id] = max(updated_at, products.get(product_id, updated_at))
    return NewerRows(len(kept), products)
