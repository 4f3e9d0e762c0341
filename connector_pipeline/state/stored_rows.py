"""Every row that the two schemas hold of a shop, table by table, for an export."""

from collections.abc import Iterator
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from connector_pipeline.model.shop import parse_partition_key
from connector_pipeline.postgres.schema_names import CATALOG, CONNECTOR

_ROWS_AT_ONCE: Final = 2_000

_OF_SHOP: Final = "platform_name = %(platform_name)s AND domain = %(domain)s"
_TABLES: Final[dict[str, tuple[tuple[str, str], str, str]]] = {
    "shop": ((CONNECTOR, "shops"), _OF_SHOP, "domain"),
    "catalog_items": ((CATALOG, "catalog_items"), _OF_SHOP, "variant_id"),
    "rejected_variants": ((CONNECTOR, "rejected_variants"), _OF_SHOP, "id"),
    "syncs": ((CONNECTOR, "syncs"), _OF_SHOP, "started_at"),
    "queue": ((CONNECTOR, "sync_queue"), _OF_SHOP, "id"),
    "requests": ((CONNECTOR, "sync_requests"), _OF_SHOP, "id"),
    "events": ((CONNECTOR, "outbox"), "partition_key = %(key)s", "id"),
}
"""Each table by the name of its file: the table, its rows of the shop, their order."""

_NOT_GIVEN: Final = frozenset({"refused_credential"})
"""A salted digest of a credential is of no use to a merchant, and of some to a thief."""


def names() -> list[str]:
    """The names of the tables, in the order in which a person reads them."""
    return list(_TABLES)


def rows(connection: psycopg.Connection, partition_key: str, name: str) -> Iterator[dict[str, Any]]:
    """The shop's rows of the table, one by one, with all its columns; never all in memory."""
    table, of_shop, order = _TABLES[name]
    platform_name, domain = parse_partition_key(partition_key)
    query = sql.SQL("SELECT * FROM {} WHERE {} ORDER BY {}").format(
        sql.Identifier(*table),
        sql.SQL(of_shop),  # pyright: ignore[reportArgumentType]  our own words
        sql.Identifier(order),
    )
    with connection.cursor(f"stored_{name}", row_factory=dict_row) as cursor:
        cursor.itersize = _ROWS_AT_ONCE
        values = {"key": partition_key, "platform_name": platform_name, "domain": domain}
        for row in cursor.execute(query, values):
            yield {column: value for column, value in row.items() if column not in _NOT_GIVEN}
