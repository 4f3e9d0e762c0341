"""Delete a shop from the catalog, tombstones too. Nothing else deletes rows there."""

from collections.abc import Sequence

import psycopg

from connector_pipeline.catalog.publish_lock import lock_name
from connector_pipeline.model.events import ErasedShop
from connector_pipeline.model.shop import parse_partition_key
from connector_pipeline.postgres import named_locks


def may_erase(connection: psycopg.Connection) -> bool:
    """Whether the database's user may delete catalog rows, as the owner may and no pipeline."""
    [(may,)] = connection.execute(
        "SELECT has_table_privilege('catalog.catalog_items', 'DELETE')"
    ).fetchall()
    return bool(may)


def identity(connection: psycopg.Connection, partition_key: str) -> ErasedShop | None:
    """The shop as its readers know it; None if the catalog has no row of it."""
    row = connection.execute(
        "SELECT merchant_id, platform_shop_id FROM catalog.catalog_items"
        " WHERE platform_name = %s AND domain = %s LIMIT 1",
        parse_partition_key(partition_key),
    ).fetchone()
    return None if row is None else ErasedShop.of(partition_key, *row)


def erase(connection: psycopg.Connection, partition_key: str) -> int:
    """Delete the shop's rows once no publish has them. Returns how many.

    The publish lock is held until the caller's transaction ends: a publish that waits for it finds
    that the shop has left the registry, and writes nothing.
    """
    named_locks.lock(connection, lock_name(partition_key))
    return connection.execute(
        "DELETE FROM catalog.catalog_items WHERE platform_name = %s AND domain = %s",
        parse_partition_key(partition_key),
    ).rowcount


def shops_of_merchant(connection: psycopg.Connection, merchant_id: str) -> Sequence[str]:
    """The partition keys of the shops with rows of this merchant. Reads the whole table."""
    rows = connection.execute(
        "SELECT DISTINCT platform_name || '/' || domain FROM catalog.catalog_items"
        " WHERE merchant_id = %s ORDER BY 1",
        (merchant_id,),
    ).fetchall()
    return [key for (key,) in rows]
