"""A few rows that a publish changes, read within its transaction for people to look at.

Nothing is asked for a kind of change that did not happen, and each question is bounded: by ids, by
the index on `changed_at`, or by a number of staged rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString, cast

import psycopg
from psycopg.rows import dict_row

from connector_pipeline.model.catalog_item import ITEM_COLUMNS

MOST_EXAMPLES: Final = 10

_LOOKED_AT: Final = 200
"""Staged rows that are searched for changed ones where so many changed that their ids are not
known: then many of the first ones have changed."""

_COMPARED: Final = [
    column
    for column in ITEM_COLUMNS
    if column not in ("platform_name", "domain", "variant_id", "updated_at")
]
"""What a person calls a change. The platform's time of it changes with each."""


@dataclass(frozen=True, slots=True)
class ChangedItem:
    """A variant before and after: the columns that differ, each with both values.

    `returned`: it was a tombstone. No column may differ then, or only the platform's time.
    """

    variant_id: str
    title: str
    differences: tuple[tuple[str, Any, Any], ...]
    returned: bool


@dataclass(frozen=True, slots=True)
class Rejected:
    """A variant that is not in the catalog as the platform gave it. Either id may be missing."""

    product_id: str | None
    variant_id: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Examples:
    """Up to MOST_EXAMPLES of each kind of change. New and deleted items are whole rows."""

    new: Sequence[dict[str, Any]] = ()
    changed: Sequence[ChangedItem] = ()
    deleted: Sequence[dict[str, Any]] = ()
    rejected: Sequence[Rejected] = ()


@dataclass(frozen=True, slots=True)
class ShopAfter:
    """The shop after a publish: its live rows, and examples of what changed."""

    live: int
    examples: Examples


def _pairs() -> LiteralString:
    names = ", ".join(
        f"item.{name} AS before_{name}, staged.{name} AS after_{name}" for name in _COMPARED
    )
    return cast("LiteralString", names)


def _listed(prefix: str) -> LiteralString:
    return cast(
        "LiteralString", ", ".join(f"{prefix}.{name}" for name in (*_COMPARED, "updated_at"))
    )


# The staged rows have no index: they are read once, until all that are named were met. The plan
# must not depend on statistics.
_CHANGED: Final = f"""
    WITH staged AS MATERIALIZED (
        SELECT * FROM pg_temp.staged_items WHERE variant_id = ANY(%(looked_at)s::text[])
        LIMIT cardinality(%(looked_at)s::text[])
    )
    SELECT staged.variant_id, staged.product_title, staged.variant_title,
        item.deleted_at IS NOT NULL AS returned, {_pairs()}
    FROM staged JOIN catalog.catalog_items AS item ON item.variant_id = staged.variant_id
    WHERE item.platform_name = %(platform_name)s AND item.domain = %(domain)s
        AND item.variant_id = ANY(%(looked_at)s::text[])
        AND (item.deleted_at IS NOT NULL
            OR ({_listed("item")}) IS DISTINCT FROM ({_listed("staged")}))
    LIMIT %(most)s
"""  # noqa: S608

_SOME: Final = "SELECT variant_id FROM pg_temp.staged_items LIMIT %s"

_WRITTEN: Final = """
    SELECT variant_id, product_title, variant_title, sku, price, currency, inventory
    FROM catalog.catalog_items
    WHERE changed_at = %(now)s AND platform_name = %(platform_name)s AND domain = %(domain)s
"""
_NEW: Final = f"{_WRITTEN} AND first_synced_at = %(now)s LIMIT %(most)s"
_DELETED: Final = f"{_WRITTEN} AND deleted_at = %(now)s LIMIT %(most)s"

_REJECTED: Final = """
    SELECT product_id, variant_id, reason FROM pg_temp.staged_rejects
    WHERE reason IS NOT NULL LIMIT %(most)s
"""


def changed_items(
    connection: psycopg.Connection, values: dict[str, object], few: Sequence[str] | None
) -> Sequence[ChangedItem]:
    """Of the staged items that differ from their rows, before these are updated.

    `few` are the ids of those that differ; None: too many to name.
    """
    if few is None:
        looked_at = [found for (found,) in connection.execute(_SOME, (_LOOKED_AT,)).fetchall()]
    else:
        looked_at = sorted(few)[:MOST_EXAMPLES]
    rows = _rows(connection, _CHANGED, values | {"looked_at": looked_at})
    return [_changed(row) for row in rows]


def _changed(row: dict[str, Any]) -> ChangedItem:
    return ChangedItem(
        variant_id=row["variant_id"],
        title=title(row),
        differences=tuple(
            (name, row[f"before_{name}"], row[f"after_{name}"])
            for name in _COMPARED
            if row[f"before_{name}"] != row[f"after_{name}"]
        ),
        returned=row["returned"],
    )


def title(row: Mapping[str, Any]) -> str:
    """The product's title, and the variant's where it says more.

    A variant's title that begins with the product's is shown alone: said twice, the product's would
    push the variant's own words out of a line that is cut.
    """
    product, variant = str(row["product_title"]), str(row["variant_title"])
    says_it_too = variant.startswith(product) and not variant[len(product) :][:1].isalnum()
    return variant if says_it_too or not product else f"{product} · {variant}"


def new_items(connection: psycopg.Connection, values: dict[str, object]) -> list[dict[str, Any]]:
    """Of the rows that this publish has inserted."""
    return _rows(connection, _NEW, values)


def deleted_items(
    connection: psycopg.Connection, values: dict[str, object]
) -> list[dict[str, Any]]:
    """Of the rows that this publish has made tombstones."""
    return _rows(connection, _DELETED, values)


def rejected_variants(connection: psycopg.Connection) -> list[Rejected]:
    """Of the snapshot's rejected variants."""
    return [
        Rejected(row["product_id"], row["variant_id"], row["reason"])
        for row in _rows(connection, _REJECTED, {})
    ]


def _rows(
    connection: psycopg.Connection, statement: LiteralString, values: dict[str, object]
) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement, values | {"most": MOST_EXAMPLES}).fetchall()
