"""Which changes of products the catalog holds already."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import psycopg

from connector_pipeline.model.shop import parse_partition_key

_HELD: Final = """
    SELECT given.product_id
    FROM unnest(%(products)s::text[], %(times)s::timestamptz[]) AS given (product_id, changed_at)
    WHERE given.changed_at <= (
        SELECT max(greatest(item.updated_at, item.deleted_at))
        FROM catalog.catalog_items AS item
        WHERE item.platform_name = %(platform_name)s AND item.domain = %(domain)s
            AND item.product_id = given.product_id
    )
"""


def held(
    connection: psycopg.Connection, partition_key: str, changes: Mapping[str, datetime]
) -> set[str]:
    """Of these products, those whose rows are as new as their change, or deleted since.

    Part of the caller's transaction.
    """
    platform_name, domain = parse_partition_key(partition_key)
    rows = connection.execute(
        _HELD,
        {
            "platform_name": platform_name,
            "domain": domain,
            "products": list(changes),
            "times": list(changes.values()),
        },
    ).fetchall()
    return {product_id for (product_id,) in rows}
