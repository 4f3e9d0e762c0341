"""How fresh the rows of each sync are: from the platform's change to our commit, in seconds.

`catalog.freshness` says which rows count.
"""

from dataclasses import dataclass
from datetime import datetime

import psycopg

from connector_pipeline.model.duration import in_words


@dataclass(frozen=True, slots=True)
class ChangeTimes:
    """The platform's times of a sync's counted rows: the one in the middle, and the first."""

    middle: datetime
    first: datetime


@dataclass(frozen=True, slots=True)
class Freshness:
    """Seconds from the platform's changes to the commit: the median of a sync's rows, the worst."""

    median: float
    worst: float

    def __str__(self) -> str:
        return f"{in_words(self.median)} (median), {in_words(self.worst)} at worst"


def of_sync(connection: psycopg.Connection, sync_id: str) -> Freshness | None:
    """The freshness of a published sync. None: it brought no row that counts."""
    row = connection.execute(
        """
        SELECT freshness_seconds, freshness_worst_seconds FROM connector.syncs
        WHERE sync_id = %s AND freshness_seconds IS NOT NULL
            AND freshness_worst_seconds IS NOT NULL
        """,
        (sync_id,),
    ).fetchone()
    return None if row is None else Freshness(*row)
