"""The lock under which one publish at a time changes a shop's rows, and for how long."""

from datetime import datetime, timedelta
from typing import Final

import psycopg

from connector_pipeline.model.errors import PublishTooSlow
from connector_pipeline.model.shop import Shop
from connector_pipeline.postgres import named_locks
from connector_pipeline.postgres.limits import Limits

LONGEST_PUBLISH: Final = timedelta(minutes=10)
"""The longest time from a publish's lock, by which it dates its rows, to its commit.

A reader that follows `changed_at` reads the last 15 minutes again (docs/contracts.md), and would
never see rows that become visible later than that. The other 5 minutes are for the commit itself.
"""

STAGING: Final = Limits(
    statement=timedelta(minutes=30), lock=LONGEST_PUBLISH + timedelta(minutes=1)
)
"""A publish until it has its lock, while another publish of the shop may use its whole time. One
COPY takes as long as the archive takes to give it a million rows."""

WRITING: Final = Limits(statement=LONGEST_PUBLISH, lock=timedelta(minutes=1))
"""A publish once it has its lock: a statement of LONGEST_PUBLISH cannot be committed any more."""


def lock_name(partition_key: str) -> str:
    """The name of the shop's lock."""
    return f"publish {partition_key}"


def wait_for_lock(connection: psycopg.Connection, shop: Shop) -> datetime:
    """Wait for the shop's lock and return the time. The lock is held until the transaction ends.

    This time, and not the transaction's start, dates the rows: of two publishes of one shop the
    later one's rows have the later date.
    """
    named_locks.lock(connection, lock_name(shop.partition_key))
    return _server_time(connection)


def refuse_late_commit(
    connection: psycopg.Connection, shop: Shop, locked_at: datetime, longest: timedelta
) -> None:
    """Raise PublishTooSlow if the lock has been held for longer than `longest`.

    Call it as the transaction's last statement.
    """
    took = _server_time(connection) - locked_at
    if took > longest:
        raise PublishTooSlow(
            f"the publish took {took.total_seconds():.0f} s from dating its rows to its commit, "
            f"more than {longest.total_seconds():.0f} s: readers that follow the changes would "
            "miss them.",
            partition_key=shop.partition_key,
        )


def _server_time(connection: psycopg.Connection) -> datetime:
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None  # noqa: S101 - a SELECT without FROM has one row
    return row[0]
