"""A publish's turn for its shop: from the shop's lock to a commit that is not too late."""

from datetime import datetime, timedelta
from typing import Final

import psycopg

from connector_pipeline.model.errors import PublishTooSlow
from connector_pipeline.model.shop import Shop

LONGEST_TURN: Final = timedelta(minutes=10)
"""How old the date of its rows may be when a publish commits.

Who follows `changed_at` overlaps by 15 minutes (docs/contracts.md), so rows that became visible
later would be missed for ever. The other 5 are for the commit itself.
"""


def wait_for_turn(connection: psycopg.Connection, shop: Shop) -> datetime:
    """Wait for the shop's lock, held to the end of the transaction. Returns the time since when.

    That, and not the transaction's start, dates the rows: of two publishes that take turns the
    later one's rows are the younger ones.
    """
    connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (shop.partition_key,)
    )
    return _server_time(connection)


def refuse_late_commit(
    connection: psycopg.Connection, shop: Shop, began: datetime, longest: timedelta
) -> None:
    """The transaction's last statement. Raises PublishTooSlow if the turn took longer than this."""
    took = _server_time(connection) - began
    if took > longest:
        raise PublishTooSlow(
            f"the publish took {took.total_seconds():.0f} s from dating its rows to its commit, "
            f"more than {longest.total_seconds():.0f} s: who follows the changes would miss them.",
            partition_key=shop.partition_key,
        )


def _server_time(connection: psycopg.Connection) -> datetime:
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None  # noqa: S101 - a SELECT without FROM has one row
    return row[0]
