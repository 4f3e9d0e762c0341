"""Makes tombstones of the rows that a snapshot lacks, where that means that they are gone."""

from typing import Final

import psycopg

from connector_pipeline.catalog.item_columns import OF_THE_SHOP
from connector_pipeline.catalog.writing import write_expected

# A row that the snapshot lacks is gone in two cases: the snapshot is complete for the whole shop,
# or the platform, asked by id, said that the variant is gone. A rejected variant keeps its last
# good row. A reject without a variant id may be any variant of its product, and one without a
# product id any variant of the shop, so all of those keep their rows.
_GONE: Final = f"""
    {OF_THE_SHOP} AND item.deleted_at IS NULL AND item.sync_id <> ALL(%(later_hinted)s::text[])
    AND (%(whole_shop)s OR item.variant_id = ANY(%(gone)s::text[]))
    AND NOT EXISTS (
        SELECT FROM pg_temp.staged_items AS staged WHERE staged.variant_id = item.variant_id
    )
    AND NOT EXISTS (
        SELECT FROM pg_temp.staged_rejects AS reject WHERE reject.variant_id = item.variant_id
    )
    AND NOT EXISTS (
        SELECT FROM pg_temp.staged_rejects AS reject
        WHERE reject.variant_id IS NULL AND reject.product_id = item.product_id
    )
    AND NOT EXISTS (
        SELECT FROM pg_temp.staged_rejects AS reject
        WHERE reject.variant_id IS NULL AND reject.product_id IS NULL
    )
"""  # noqa: S608

_COUNT_GONE: Final = f"SELECT count(*) FROM catalog.catalog_items AS item WHERE {_GONE}"  # noqa: S608

_TOMBSTONE: Final = f"""
    UPDATE catalog.catalog_items AS item
    SET deleted_at = %(now)s, changed_at = %(now)s, sync_id = %(sync_id)s
    WHERE {_GONE}
"""  # noqa: S608


def count_gone(connection: psycopg.Connection, values: dict[str, object]) -> int:
    """The number of rows that `make_tombstones` would make tombstones."""
    row = connection.execute(_COUNT_GONE, values).fetchone()
    return int(row[0]) if row else 0


def make_tombstones(
    connection: psycopg.Connection, values: dict[str, object], *, expected: int
) -> None:
    """Make the rows tombstones that are gone. Raises RuntimeError as `writing.update` does."""
    write_expected(connection, _TOMBSTONE, values, expected=expected)
