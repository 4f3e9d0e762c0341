"""Read one shop's rows of the catalog: as a DataFrame, row by row, or the first few."""

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from connector_pipeline.model.catalog_item import ITEM_COLUMNS, CatalogItem
from connector_pipeline.model.shop import parse_partition_key

if TYPE_CHECKING:
    import pandas as pd

COLUMNS: Final = (
    *ITEM_COLUMNS[: ITEM_COLUMNS.index("sellable")],
    "first_synced_at",
    "changed_at",
    "deleted_at",
    "sync_id",
    "sellable",
)
"""The table's columns in its order. The table itself needs SQLAlchemy, and a reader does not."""

PREVIEW_COLUMNS: Final = (
    "variant_id",
    "product_title",
    "variant_title",
    "sku",
    "price",
    "currency",
    "inventory",
    "product_status",
    "sellable",
)
"""The columns that a person wants to see first."""

_ROWS_AT_ONCE: Final = 2_000

_ITEMS: Final = sql.SQL(
    """
    SELECT {columns} FROM catalog.catalog_items
    WHERE platform_name = %(platform_name)s AND domain = %(domain)s
        AND (%(include_deleted)s OR deleted_at IS NULL)
    """
).format(columns=sql.SQL(", ").join(sql.Identifier(name) for name in COLUMNS))

_LIVE: Final = """
    SELECT variant_id, product_id FROM catalog.catalog_items
    WHERE platform_name = %(platform_name)s AND domain = %(domain)s AND deleted_at IS NULL
"""

_LIVE_COUNT: Final = """
    SELECT count(*) FROM catalog.catalog_items
    WHERE platform_name = %(platform_name)s AND domain = %(domain)s AND deleted_at IS NULL
"""

_LIVE_PRODUCTS: Final = """
    SELECT DISTINCT product_id FROM catalog.catalog_items
    WHERE platform_name = %(platform_name)s AND domain = %(domain)s AND deleted_at IS NULL
        AND product_id = ANY(%(products)s)
"""

_NEWEST: Final = sql.SQL(
    """
    SELECT {columns} FROM catalog.catalog_items
    WHERE platform_name = %(platform_name)s AND domain = %(domain)s AND deleted_at IS NULL
        AND product_id <> ALL(%(but)s)
    ORDER BY updated_at DESC NULLS LAST LIMIT 1
    """
).format(columns=sql.SQL(", ").join(sql.Identifier(name) for name in ITEM_COLUMNS))

_REJECTS: Final = """
    SELECT rejected_at, product_id, variant_id, reason, raw, sync_id
    FROM connector.rejected_variants
    WHERE platform_name = %(platform_name)s AND domain = %(domain)s
    ORDER BY id
"""


def shop_items(
    connection: psycopg.Connection, partition_key: str, *, include_deleted: bool = False
) -> "pd.DataFrame":
    """The shop's rows with the table's columns, all dtype object, in the order of variant ids.

    Prices are Decimal, times aware, missing values None. Raises InvalidShop for a malformed key.
    """
    # Imported here: no run and no command makes a DataFrame, and pandas takes long to import.
    import pandas as pd

    found = connection.execute(
        _ITEMS + sql.SQL("ORDER BY variant_id"), _values(partition_key, include_deleted)
    ).fetchall()
    return pd.DataFrame(found, columns=list(COLUMNS), dtype=object)


def rows(
    connection: psycopg.Connection, partition_key: str, *, include_deleted: bool = False
) -> Iterator[dict[str, Any]]:
    """The shop's rows one by one, in the order of variant ids; never all in memory."""
    query = _ITEMS + sql.SQL("ORDER BY variant_id")
    with connection.cursor("catalog_rows", row_factory=dict_row) as cursor:
        cursor.itersize = _ROWS_AT_ONCE
        yield from cursor.execute(query, _values(partition_key, include_deleted))


def live_variants(
    connection: psycopg.Connection,
    partition_key: str,
    *,
    of_products: Collection[str] | None = None,
) -> dict[str, str]:
    """The product id of each live item, by its variant id: of the shop, or of these products."""
    values = _values(partition_key, include_deleted=False)
    if of_products is None:
        return dict(connection.execute(_LIVE, values).fetchall())
    query = f"{_LIVE} AND product_id = ANY(%(products)s)"
    return dict(connection.execute(query, values | {"products": list(of_products)}).fetchall())


def live_count(connection: psycopg.Connection, partition_key: str) -> int:
    """The number of the shop's live items."""
    values = _values(partition_key, include_deleted=False)
    [(count,)] = connection.execute(_LIVE_COUNT, values).fetchall()
    return int(count)


def live_products(
    connection: psycopg.Connection, partition_key: str, product_ids: Collection[str]
) -> frozenset[str]:
    """Of these products of the shop, those that have live items."""
    values = _values(partition_key, include_deleted=False) | {"products": list(product_ids)}
    found = connection.execute(_LIVE_PRODUCTS, values).fetchall()
    return frozenset(product_id for (product_id,) in found)


def newest_item(
    connection: psycopg.Connection, partition_key: str, *, but: Collection[str]
) -> CatalogItem | None:
    """The live item that changed last on the platform and is of none of these products."""
    values = _values(partition_key, include_deleted=False) | {"but": list(but)}
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_NEWEST, values).fetchone()
    # Judged when it was published. A row from before a rule must not stop the shop.
    return None if row is None else CatalogItem.model_construct(**row)


def preview(
    connection: psycopg.Connection, partition_key: str, *, limit: int
) -> Sequence[dict[str, Any]]:
    """A few live rows of the shop, the first by variant id."""
    query = _ITEMS + sql.SQL("ORDER BY variant_id LIMIT %(limit)s")
    values = _values(partition_key, include_deleted=False) | {"limit": limit}
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, values).fetchall()


def rejects(connection: psycopg.Connection, partition_key: str) -> Iterator[dict[str, Any]]:
    """The shop's rejected variants, one by one; `raw` is the platform's JSON as text."""
    with connection.cursor("rejects", row_factory=dict_row) as cursor:
        cursor.itersize = _ROWS_AT_ONCE
        yield from cursor.execute(_REJECTS, _values(partition_key, include_deleted=False))


def _values(partition_key: str, include_deleted: bool) -> dict[str, Any]:
    platform_name, domain = parse_partition_key(partition_key)
    return {
        "platform_name": platform_name,
        "domain": domain,
        "include_deleted": include_deleted,
    }
