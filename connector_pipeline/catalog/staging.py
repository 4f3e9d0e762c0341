"""Copy a snapshot into temporary tables of the catalog's database, row by row as it streams in."""

import json
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from connector_pipeline.model.catalog_item import (
    ITEM_COLUMNS,
    LONGEST_ID,
    CatalogRow,
    ProductStatus,
    RejectedVariant,
)
from connector_pipeline.model.excerpt import excerpt
from connector_pipeline.model.shop import Shop
from connector_pipeline.model.storable import clipped

MOST_REJECTS_KEPT: Final = 10_000
"""Rejected variants of a shop that are kept to be looked at. The others are counted."""

LARGEST_RAW: Final = 4_096
"""Bytes of a rejected variant's JSON that are kept; the page is whole in the raw archive."""

_LONGEST_REASON: Final = 1_000
_KEPT_OF_REJECTS: Final = ("product_id", "variant_id", "reason", "raw")
_REJECT_COLUMNS: Final = (*_KEPT_OF_REJECTS, "product_status")

# Binary, with the columns' types: no text needs escaping, and a float cannot become a price. Names
# of columns are our own words.
_COPY_ITEMS: Final = (
    f"COPY pg_temp.staged_items ({', '.join(ITEM_COLUMNS)}) FROM STDIN (FORMAT binary)"
).encode()
_COPY_REJECTS: Final = (
    f"COPY pg_temp.staged_rejects ({', '.join(_REJECT_COLUMNS)}) FROM STDIN (FORMAT binary)"
).encode()

REJECTS_AT_ONCE: Final = 1_000
"""Rejected variants kept in memory until they are copied: a connection does one COPY at a time, and
the items' COPY is interrupted for them."""

_PLATFORM_NAME: Final = ITEM_COLUMNS.index("platform_name")
_DOMAIN: Final = ITEM_COLUMNS.index("domain")


@dataclass(frozen=True, slots=True)
class Staged:
    """The number of staged rejects, and of earlier copies of a variant that were dropped.

    `withdrawn`: rejects whose product the platform states not to be active.
    """

    rejected: int
    withdrawn: int
    duplicates: int


@contextmanager
def without_leftovers(connection: psycopg.Connection) -> Generator[None]:
    """Drop both tables if the block, which begins and ends a transaction, fails.

    A rollback leaves the rows on the disk, which may have failed for being full of them.
    """
    try:
        yield
    except BaseException:
        with suppress(psycopg.Error), connection.transaction():
            connection.execute("DROP TABLE IF EXISTS pg_temp.staged_items, pg_temp.staged_rejects")
        raise


def stage(
    connection: psycopg.Connection, shop: Shop, rows: Iterable[CatalogRow | RejectedVariant]
) -> Staged:
    """Copy the rows into `pg_temp.staged_items` and `staged_rejects`.

    Their rows end with the transaction, the tables with the session. Of a variant that comes twice
    the later copy is kept. Raises ValueError for another shop's row, and whatever `rows` raises.
    """
    item_types, reject_types = _column_types(connection)
    rejected = withdrawn = 0
    remaining = iter(rows)
    while True:
        rejects: list[RejectedVariant] = []
        items = _items_until_many_rejects(remaining, shop, rejects)
        _copy(connection, _COPY_ITEMS, item_types, items)
        if not rejects:
            break
        # The ids of all are needed, because the last good rows of rejected variants stay.
        reject_rows = (
            _reject_row(reject, shown=place < MOST_REJECTS_KEPT)
            for place, reject in enumerate(rejects, start=rejected)
        )
        _copy(connection, _COPY_REJECTS, reject_types, reject_rows)
        rejected += len(rejects)
        withdrawn += sum(
            each.product_status not in (None, ProductStatus.ACTIVE) for each in rejects
        )
    duplicates = _drop_earlier_copies(connection)
    # Postgres does not analyze temporary tables by itself, and the comparison's plan depends on
    # their size.
    connection.execute(
        "ANALYZE pg_temp.staged_items (variant_id), pg_temp.staged_rejects (variant_id)"
    )
    return Staged(rejected=rejected, withdrawn=withdrawn, duplicates=duplicates)


def _items_until_many_rejects(
    rows: Iterator[CatalogRow | RejectedVariant], shop: Shop, rejects: list[RejectedVariant]
) -> Iterator[CatalogRow]:
    """Yield the next items; put the rejects between them into the list, and end when it is full."""
    platform_name, domain = str(shop.platform_name), shop.domain
    for row in rows:
        if isinstance(row, CatalogRow):
            if row[_PLATFORM_NAME] != platform_name or row[_DOMAIN] != domain:
                # It would change another shop's row without that shop's lock.
                raise ValueError(
                    f"a row for {shop.partition_key} is of {row.platform_name}/{row.domain}"
                )
            yield row
        else:
            rejects.append(row)
            if len(rejects) == REJECTS_AT_ONCE:
                return


# Not by IF NOT EXISTS, which is a notice at each publish.
_COLUMN_TYPES: Final = """
    SELECT array_agg(atttypid::bigint ORDER BY attnum) FILTER (WHERE attrelid = items),
        array_agg(atttypid::bigint ORDER BY attnum) FILTER (WHERE attrelid = rejects)
    FROM (
        SELECT to_regclass('pg_temp.staged_items') AS items,
            to_regclass('pg_temp.staged_rejects') AS rejects
    ) AS staged
    JOIN pg_attribute ON attrelid IN (items, rejects) AND attnum > 0
"""


def _column_types(connection: psycopg.Connection) -> tuple[list[int], list[int]]:
    """The types of both tables' columns. Makes the tables that the session does not have yet.

    It has them from its last publish, without its rows. Made for each publish, they were 35 of the
    41 kB of WAL of a sync that changes nothing, and 13 of the 16 kB by which it let the database
    grow: rows of pg_attribute, deleted right away.
    """
    while True:
        [(items, rejects)] = connection.execute(_COLUMN_TYPES).fetchall()
        if items is not None and rejects is not None:
            return items, rejects
        if items is None:
            connection.execute(_created("staged_items", "catalog.catalog_items", ITEM_COLUMNS))
        if rejects is None:
            columns = (*_KEPT_OF_REJECTS, "NULL::text AS product_status")
            connection.execute(_created("staged_rejects", "connector.rejected_variants", columns))


def _created(table: str, source: str, columns: Iterable[str]) -> bytes:
    names = ", ".join(columns)
    query = f"SELECT {names} FROM {source} WITH NO DATA"  # noqa: S608  our own words
    return f"CREATE TEMPORARY TABLE {table} ON COMMIT DELETE ROWS AS {query}".encode()


def _copy(
    connection: psycopg.Connection,
    statement: bytes,
    types: list[int],
    rows: Iterable[tuple[Any, ...]],
) -> None:
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)


def _drop_earlier_copies(connection: psycopg.Connection) -> int:
    # A new table that was filled by one COPY after another holds its rows in the order they came.
    return connection.execute(
        """
        DELETE FROM pg_temp.staged_items AS staged
        USING (
            SELECT variant_id, max(ctid) AS last
            FROM pg_temp.staged_items GROUP BY variant_id HAVING count(*) > 1
        ) AS repeated
        WHERE staged.variant_id = repeated.variant_id AND staged.ctid <> repeated.last
        """
    ).rowcount


def _reject_row(reject: RejectedVariant, *, shown: bool) -> tuple[str | None, ...]:
    return (
        _short_id(reject.product_id),
        _short_id(reject.variant_id),
        clipped(reject.reason, most_bytes=_LONGEST_REASON) if shown else None,
        # ASCII: characters that Postgres cannot store (NUL, half surrogates) stay JSON escapes.
        json.dumps(excerpt(reject.raw, most_bytes=LARGEST_RAW)) if shown else None,
        reject.product_status,
    )


def _short_id(text: str | None) -> str | None:
    # Of an id that was cut there is no item: an item's ids are not as long.
    return None if text is None else clipped(text, most_bytes=LONGEST_ID)
