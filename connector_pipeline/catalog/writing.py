"""Writes the staged items that are new or differ from their rows.

`ON CONFLICT DO UPDATE … WHERE` is not used: it locks, and so writes, every row that it meets,
changed or not.
"""

from collections.abc import Sequence
from typing import Final, LiteralString

import psycopg

from connector_pipeline.catalog.item_columns import CONTENT, DIFFERS, OF_THE_SHOP, listed
from connector_pipeline.model.catalog_item import ITEM_COLUMNS

_UPDATE: Final = f"""
    UPDATE catalog.catalog_items AS item
    SET ({listed(CONTENT)}, changed_at, deleted_at, sync_id) =
        ROW({listed(CONTENT, "staged.")}, %(now)s::timestamptz, NULL::timestamptz, %(sync_id)s)
    FROM pg_temp.staged_items AS staged
    WHERE {OF_THE_SHOP} AND item.variant_id = staged.variant_id
        AND (item.deleted_at IS NOT NULL OR {DIFFERS})
"""  # noqa: S608

_UPDATE_FEW: Final = f"""
    {_UPDATE} AND staged.variant_id = ANY(%(few_to_update)s::text[])
        AND item.variant_id = ANY(%(few_to_update)s::text[])
"""

_INSERT: Final = f"""
    INSERT INTO catalog.catalog_items
        ({listed(ITEM_COLUMNS)}, first_synced_at, changed_at, sync_id)
    SELECT {listed(ITEM_COLUMNS, "staged.")}, %(now)s, %(now)s, %(sync_id)s
    FROM pg_temp.staged_items AS staged
    WHERE NOT EXISTS (
        SELECT FROM catalog.catalog_items AS item
        WHERE {OF_THE_SHOP} AND item.variant_id = staged.variant_id
    )
"""  # noqa: S608


def update(
    connection: psycopg.Connection,
    values: dict[str, object],
    few: Sequence[str] | None,
    *,
    expected: int,
) -> None:
    """Update the rows that differ. `few` are their ids; None: too many to name.

    Raises RuntimeError if other than the `expected` number of rows changed.
    """
    statement = _UPDATE if few is None else _UPDATE_FEW
    write_expected(connection, statement, values | {"few_to_update": few}, expected=expected)


def insert(connection: psycopg.Connection, values: dict[str, object], *, expected: int) -> None:
    """Insert the staged items that have no row. Raises RuntimeError as `update` does."""
    write_expected(connection, _INSERT, values, expected=expected)


def write_expected(
    connection: psycopg.Connection,
    statement: LiteralString,
    values: dict[str, object],
    *,
    expected: int,
) -> None:
    """Execute the statement, unless no row is expected to change.

    Raises RuntimeError if another number of rows changed than was expected.
    """
    if expected == 0:
        return
    written = connection.execute(statement, values).rowcount
    if written != expected:
        # Somebody changed the shop's rows without its lock, so the comparison no longer holds.
        raise RuntimeError(f"{expected} rows were to change and {written} did")
