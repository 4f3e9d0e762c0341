"""Sweeps over the active shops: the shops to consider, and how a sweep's shops ended.

Each function is part of the caller's transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import psycopg
from psycopg.rows import class_row

from connector_pipeline.model.errors import AccessRefused, NotActive, ShopDisconnected
from connector_pipeline.model.queue import QueueReason
from connector_pipeline.model.shop import columns_of
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.state import queue_intake

RUNNING_FOR: Final = timedelta(minutes=10)
"""A sync on record as running counts as running for so long after it started or made progress.

The queue says which shops its own runs read. This is for syncs of other runs.
"""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An active shop: when it was last swept, synced or registered, and whether a sync runs."""

    partition_key: str
    last_attempt_at: datetime
    running: bool


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep: how many shops there are, were put into the queue so far, and ended how.

    `failed` is without the shops that refuse us, which have alerts of their own.
    """

    sweep_id: str
    shops: int
    taken: int
    succeeded: int
    failed: int


_NO_SIGN_OF_TROUBLE: Final = [
    error.__name__ for error in (NotActive, AccessRefused, ShopDisconnected)
]
"""Of a shop that was paused meanwhile, or that refuses us: alerts of their own report these."""


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
            -- A sync for hints is none of the whole shop.
            AND started_at IS NOT NULL AND sync_type IS DISTINCT FROM 'hinted'
        ORDER BY started_at DESC LIMIT 1
    ) AS last ON true
    WHERE state = %(active)s
"""

# A shop that became disconnected in the sweep is no longer active.
_RECENT: Final = """
    SELECT sweep_id,
        greatest(count(*), (SELECT count(*) FROM connector.shops WHERE state = %(active)s))::int
            AS shops,
        count(*)::int AS taken,
        count(*) FILTER (WHERE outcome = 'succeeded')::int AS succeeded,
        count(*) FILTER (WHERE outcome = 'failed' AND error_code <> ALL(%(left_out)s)
            AND platform_name <> ALL(%(platforms_left_out)s))::int AS failed
    FROM connector.sync_queue
    WHERE sweep_id IS NOT NULL AND put_at > now() - %(since)s
    GROUP BY sweep_id ORDER BY min(put_at)
"""


def candidates(connection: psycopg.Connection) -> list[Candidate]:
    """Every active shop."""
    cursor = connection.cursor(row_factory=class_row(Candidate))
    values = {"active": ShopState.ACTIVE, "running_for": RUNNING_FOR}
    return cursor.execute(_CANDIDATES, values).fetchall()


def put(connection: psycopg.Connection, sweep_id: str, keys: Sequence[str]) -> None:
    """Put these shops of the sweep into the queue, and record when."""
    queue_intake.put_shops(connection, keys, reason=QueueReason.SWEEP, sweep_id=sweep_id)
    connection.execute(
        """
        WITH swept AS (
            SELECT platform_name, domain
            FROM connector.shops JOIN unnest(%s::text[], %s::text[])
                AS given (platform_name, domain) USING (platform_name, domain)
            -- In the order in which everybody locks shops.
            ORDER BY platform_name, domain FOR NO KEY UPDATE OF shops
        )
        UPDATE connector.shops AS shop SET last_swept_at = now()
        FROM swept
        WHERE shop.platform_name = swept.platform_name AND shop.domain = swept.domain
        """,
        columns_of(keys),
    )


def recent(
    connection: psycopg.Connection,
    *,
    since: timedelta,
    platforms_left_out: Sequence[str] = (),
) -> list[Sweep]:
    """The sweeps whose shops were put into the queue within this time, oldest first.

    Shops of `platforms_left_out` do not count as failed.
    """
    cursor = connection.cursor(row_factory=class_row(Sweep))
    return cursor.execute(
        _RECENT,
        {
            "active": ShopState.ACTIVE,
            "since": since,
            "left_out": _NO_SIGN_OF_TROUBLE,
            "platforms_left_out": list(platforms_left_out),
        },
    ).fetchall()
