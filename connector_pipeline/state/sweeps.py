"""`connector.sweeps`, and when each shop was last swept.

Each function is part of the caller's transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import psycopg
from psycopg.rows import class_row

from connector_pipeline.model.shop import ShopState, columns_of

RUNNING_FOR: Final = timedelta(minutes=10)
"""A sync on record as running counts as running for so long after it started or made progress.

Dagster's own record says which shops a run reads. This is for syncs whose run is not on record.
"""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An active shop: when it was last swept, synced or registered, and whether a sync runs."""

    partition_key: str
    last_attempt_at: datetime
    running: bool


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep: how many shops there were at its start, were launched so far, and ended how."""

    sweep_id: str
    shops: int
    taken: int
    succeeded: int
    failed: int


# One index lookup per shop: 10,000 of them take a tenth of a second, a sort of all syncs seconds.
# A sync that never started has no time, and Postgres puts NULL first in a descending order.
_CANDIDATES: Final = """
    SELECT platform_name || '/' || domain AS partition_key,
        greatest(shops.registered_at, shops.last_swept_at, last.started_at) AS last_attempt_at,
        coalesce(
            last.status = 'running'
            AND greatest(last.started_at, last.progressed_at) > now() - %(running_for)s, false
        ) AS running
    FROM connector.shops
    LEFT JOIN LATERAL (
        SELECT started_at, status, progressed_at FROM connector.syncs
        WHERE syncs.platform_name = shops.platform_name AND syncs.domain = shops.domain
            AND started_at IS NOT NULL
        ORDER BY started_at DESC LIMIT 1
    ) AS last ON true
    WHERE state = %(active)s
"""


def candidates(connection: psycopg.Connection) -> list[Candidate]:
    """Every active shop."""
    cursor = connection.cursor(row_factory=class_row(Candidate))
    values = {"active": ShopState.ACTIVE, "running_for": RUNNING_FOR}
    return cursor.execute(_CANDIDATES, values).fetchall()


def take(connection: psycopg.Connection, sweep_id: str, keys: Sequence[str], *, shops: int) -> None:
    """Record that the sweep is about to launch a run for these shops; `shops` are active in all.

    The sensor records this before it launches the run: a run that cannot start must not be launched
    again every half minute. A crash between the two costs these shops one sweep.
    """
    connection.execute(
        """
        INSERT INTO connector.sweeps AS sweep (sweep_id, shops, taken) VALUES (%s, %s, %s)
        ON CONFLICT (sweep_id) DO UPDATE SET taken = sweep.taken + excluded.taken
        """,
        (sweep_id, shops, len(keys)),
    )
    connection.execute(
        """
        UPDATE connector.shops SET last_swept_at = now()
        WHERE (platform_name, domain) IN (SELECT * FROM unnest(%s::text[], %s::text[]))
        """,
        columns_of(keys),
    )


def record_outcomes(
    connection: psycopg.Connection, sweep_id: str, outcomes: Mapping[str, str | None]
) -> None:
    """Add a run's outcomes, error codes or None, to its sweep."""
    failed = sum(code is not None for code in outcomes.values())
    connection.execute(
        "UPDATE connector.sweeps SET succeeded = succeeded + %s, failed = failed + %s "
        "WHERE sweep_id = %s",
        (len(outcomes) - failed, failed, sweep_id),
    )


def recent(connection: psycopg.Connection, *, since: timedelta) -> list[Sweep]:
    """The sweeps that began within this time, oldest first."""
    cursor = connection.cursor(row_factory=class_row(Sweep))
    return cursor.execute(
        "SELECT sweep_id, shops, taken, succeeded, failed FROM connector.sweeps "
        "WHERE started_at > now() - %s ORDER BY started_at",
        (since,),
    ).fetchall()
