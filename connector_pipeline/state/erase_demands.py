"""`connector.erase_demands`: shops of which the platform demands that everything is erased.

A row stays until the shop is erased, which deletes it (`erasing.py`). Each function is part of the
caller's transaction.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg

from connector_pipeline.model.shop import parse_partition_key


@dataclass(frozen=True, slots=True)
class EraseDemand:
    """A shop that is to be erased. `trouble` says why the last try failed; None: there was none."""

    partition_key: str
    demanded_at: datetime
    trouble: str | None


def put(connection: psycopg.Connection, partition_keys: Iterable[str]) -> int:
    """Put demands into the table. Returns how many are new: one that waits stays as it is."""
    # Sorted, because two transactions that put the same demands wait for each other's rows.
    shops = [parse_partition_key(key) for key in sorted(set(partition_keys))]
    if not shops:
        return 0
    return connection.execute(
        """
        INSERT INTO connector.erase_demands (platform_name, domain)
        SELECT * FROM unnest(%s::text[], %s::text[])
        ON CONFLICT DO NOTHING
        """,
        ([platform for platform, _ in shops], [domain for _, domain in shops]),
    ).rowcount


def waiting(connection: psycopg.Connection) -> Sequence[EraseDemand]:
    """All demands, those first that were not tried for the longest time."""
    rows = connection.execute(
        """
        SELECT platform_name || '/' || domain, demanded_at, trouble
        FROM connector.erase_demands ORDER BY tried_at NULLS FIRST, demanded_at
        """
    ).fetchall()
    return [EraseDemand(*row) for row in rows]


def tried(connection: psycopg.Connection, partition_key: str, trouble: str) -> None:
    """Record that the erasure was tried and failed, and why."""
    platform_name, domain = parse_partition_key(partition_key)
    connection.execute(
        "UPDATE connector.erase_demands SET tried_at = clock_timestamp(), trouble = %s"
        " WHERE platform_name = %s AND domain = %s",
        (trouble, platform_name, domain),
    )
