"""Compares a shop's staged items with its rows, in one pass that changes nothing."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import psycopg
from psycopg.rows import class_row

from connector_pipeline.catalog.freshness import NEWER_AT, TIMES_OF_CHANGES
from connector_pipeline.catalog.item_columns import DIFFERS, OF_THE_SHOP
from connector_pipeline.state.freshness import ChangeTimes

FEW: Final = 20_000
"""Up to this many rows are looked up by their ids, which is faster than joining the shop again."""

# Without OFFSET 0 Postgres would compare the rows again for each of the columns.
_COMPARE: Final = f"""
    SELECT
        count(staged_id) AS items,
        count(*) FILTER (WHERE item_id IS NULL) AS new,
        count(*) FILTER (WHERE staged_id IS NOT NULL AND deleted) AS revived,
        count(*) FILTER (WHERE different AND NOT deleted) AS different,
        count(item_id) FILTER (WHERE NOT deleted) AS live,
        count(item_id) FILTER (WHERE NOT deleted AND staged_id IS NULL) AS missing,
        CASE WHEN count(*) FILTER (WHERE different) <= %(few)s
            THEN array_agg(staged_id) FILTER (WHERE different) END AS few_to_update,
        {TIMES_OF_CHANGES}
    FROM (
        SELECT staged.variant_id AS staged_id, item.variant_id AS item_id,
            item.deleted_at IS NOT NULL AS deleted,
            staged.variant_id IS NOT NULL AND item.variant_id IS NOT NULL
                AND (item.deleted_at IS NOT NULL OR {DIFFERS}) AS different,
            {NEWER_AT}
        FROM pg_temp.staged_items AS staged
        FULL JOIN (SELECT * FROM catalog.catalog_items AS item WHERE {OF_THE_SHOP}) AS item
            ON item.variant_id = staged.variant_id
        OFFSET 0
    ) AS compared
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Comparison:
    """How the staged items and the shop's rows compare.

    `items` are staged, and of them `new` have no row, `revived` have a tombstone and `different`
    have a live row with other content. Of the shop's `live` rows `missing` have no staged item.
    `few_to_update` has the ids of those that are revived or differ, unless there are none or many.
    `middle_change` and `first_change` are the platform's times of the rows that freshness counts.
    """

    items: int
    new: int
    revived: int
    different: int
    live: int
    missing: int
    few_to_update: list[str] | None
    middle_change: datetime | None
    first_change: datetime | None

    def changed(self) -> ChangeTimes | None:
        """The times that freshness counts, None where there are none."""
        if self.middle_change is None or self.first_change is None:
            return None
        return ChangeTimes(self.middle_change, self.first_change)


def compare(connection: psycopg.Connection, values: dict[str, object]) -> Comparison:
    """Compare them. Sets the transaction's `work_mem` for the statements that follow too."""
    # A shop's rows and their hash table fit; the default of 4 MB would spill every join to disk.
    connection.execute("SET LOCAL work_mem = '64MB'")
    with connection.cursor(row_factory=class_row(Comparison)) as cursor:
        row = cursor.execute(_COMPARE, values).fetchone()
    assert row is not None  # noqa: S101 - an aggregate has one row
    return row
