"""The runs that take shops out of the queue: which shops are next, and which runs were asked for.

A row is taken together with a `launch_id`, the run key of the run that Dagster is asked for.
Dagster may lose that run, so it is asked for again, under the same key, until the run is seen. Each
function is part of the caller's transaction.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from typing import Final
from uuid import uuid4

import psycopg
from psycopg.rows import class_row

from connector_pipeline.model.queue import LAST_OF_FOREGROUND, Lane
from connector_pipeline.model.shop import columns_of
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.state import sync_queue

ONE_CLASS_UP_AFTER: Final = timedelta(minutes=10)
"""A row that waits for so long is taken as if its priority were one better, and so on: a shop of a
sweep takes turns with fresh requests after half an hour. So no class can starve another."""

SHARES_A_RUN_WITHIN: Final = timedelta(seconds=2.5)
"""A shop that waits for further hints goes with a run that is launched so shortly before its time.

The next run can be launched only as Dagster's daemon comes round, 5 seconds later, and a run of a
process of its own takes seconds to begin.
"""

# Of each shop only the first row is ready: a shop's syncs keep their order. A merchant's turn
# counts its shops that are under way, so that the merchant of thousands does not always come first.
# In a class, rows of different priorities alternate: old shops of a sweep and fresh requests.
_READY: Final = """
    WITH busy AS (
        SELECT platform_name, domain FROM connector.sync_queue WHERE state = 'taken'
        UNION SELECT * FROM unnest(%(platform_names)s::text[], %(domains)s::text[])
    ), shared AS (
        SELECT CASE WHEN EXISTS (
            SELECT FROM connector.sync_queue
            WHERE state = 'waiting' AND priority <= %(last_of_foreground)s
                AND (not_before IS NULL OR not_before <= clock_timestamp())
        ) THEN %(shares_a_run_within)s ELSE interval '0' END AS ahead
    ), ready AS (
        SELECT DISTINCT ON (platform_name, domain) id, merchant_id,
            priority,
            -- Comparisons and no difference: a time of a requester may be an infinite one.
            greatest(0, priority - (put_at < now() - %(one_class_up_after)s)::int
                - (put_at < now() - 2 * %(one_class_up_after)s)::int
                - (put_at < now() - 3 * %(one_class_up_after)s)::int) AS class
        FROM connector.sync_queue AS row CROSS JOIN shared
        WHERE state = 'waiting'
            AND (not_before IS NULL OR not_before <= clock_timestamp() + shared.ahead)
            AND (%(of)s::text IS NULL OR backfills @> ARRAY[%(of)s::text])
            AND NOT EXISTS (SELECT FROM busy
                WHERE busy.platform_name = row.platform_name AND busy.domain = row.domain)
        ORDER BY platform_name, domain, priority, id
    ), under_way AS (
        SELECT merchant_id, count(*) AS shops FROM connector.sync_queue
        WHERE state = 'taken' GROUP BY merchant_id
    ), in_turn AS (
        SELECT id, class, priority,
            row_number() OVER (PARTITION BY class, priority, merchant_id ORDER BY id)
                + coalesce(under_way.shops, 0) AS turn
        FROM ready LEFT JOIN under_way USING (merchant_id)
    ), ranked AS (
        SELECT id, class, priority,
            row_number() OVER (PARTITION BY class, priority ORDER BY turn, id) AS rank
        FROM in_turn
    ), placed AS (
        SELECT id, class <= %(last_of_foreground)s AS foreground,
            row_number() OVER (PARTITION BY class <= %(last_of_foreground)s
                ORDER BY class, rank, priority, id) AS place
        FROM ranked
    )
    SELECT id, foreground FROM placed
    WHERE place <= CASE WHEN foreground THEN %(foreground)s ELSE %(background)s END
    ORDER BY foreground DESC, place
"""

_TAKEN: Final = """
    SELECT launch_id, platform_name || '/' || domain AS partition_key, sync_id, correlation_id,
        sync_type, lane, reason, backfills
    FROM connector.sync_queue
    WHERE state = 'taken' AND run_id IS NULL
    ORDER BY launch_id, position
"""


@dataclass(frozen=True, slots=True)
class TakenShop:
    """A taken row: the shop to sync, and the sync's identity and type."""

    launch_id: str
    partition_key: str
    sync_id: str
    correlation_id: str | None
    sync_type: str
    lane: str
    reason: str
    backfills: Sequence[str]


@dataclass(frozen=True, slots=True)
class Launch:
    """A run to ask Dagster for, with its shops in the order in which they are to be read."""

    launch_id: str
    lane: Lane
    shops: Sequence[TakenShop]


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many more runs may be launched: of the foreground, of the background, and in all."""

    foreground: int
    background: int
    in_all: int


def take(
    connection: psycopg.Connection,
    *,
    capacity: Capacity,
    shops_per_run: int,
    busy: Collection[str] = (),
    of: str | None = None,
) -> int:
    """Take the next shops for runs, all or those `of` one backfill. Returns how many were taken.

    A disconnected shop whose requester waits becomes active: its requester expects it to be
    connected, and the sync finds out. Left out are the `busy` shops, by partition key, and those
    that are taken already.
    """
    if capacity.in_all <= 0:
        return 0
    sync_queue.lock(connection)
    platform_names, domains = columns_of(list(busy))
    ready = connection.execute(
        _READY,
        {
            "platform_names": platform_names,
            "domains": domains,
            "one_class_up_after": ONE_CLASS_UP_AFTER,
            "shares_a_run_within": SHARES_A_RUN_WITHIN,
            "last_of_foreground": LAST_OF_FOREGROUND,
            "of": of,
            "foreground": max(0, min(capacity.foreground, capacity.in_all)) * shops_per_run,
            "background": max(0, min(capacity.background, capacity.in_all)) * shops_per_run,
        },
    ).fetchall()
    runs = capacity.in_all
    taken = 0
    for foreground, rows in groupby(ready, key=lambda row: bool(row[1])):
        lane = Lane.FOREGROUND if foreground else Lane.BACKGROUND
        for part in even_parts([row_id for row_id, _ in rows], shops_per_run):
            if runs:
                runs -= 1
                taken += _take(connection, part, lane)
    return taken


def unseen(connection: psycopg.Connection) -> list[Launch]:
    """The runs that Dagster was or is to be asked for, and that were not seen yet."""
    with connection.cursor(row_factory=class_row(TakenShop)) as cursor:
        rows = cursor.execute(_TAKEN).fetchall()
    return [
        Launch(launch_id, Lane(lane), list(shops))
        for (launch_id, lane), shops in groupby(rows, key=lambda row: (row.launch_id, row.lane))
    ]


def seen(connection: psycopg.Connection, runs: Mapping[str, str]) -> None:
    """Record the ids of runs that were seen, by launch_id."""
    connection.execute(
        """
        UPDATE connector.sync_queue AS row SET run_id = seen.run_id
        FROM unnest(%s::text[], %s::text[]) AS seen (launch_id, run_id)
        WHERE row.launch_id = seen.launch_id AND row.state = 'taken' AND row.run_id IS NULL
        """,
        (list(runs), list(runs.values())),
    )


def even_parts(ids: Sequence[int], largest: int) -> Iterable[Sequence[int]]:
    """Split a list into as few parts of at most `largest` as possible, of nearly equal size."""
    parts = -(-len(ids) // largest)
    for number in range(parts):
        yield ids[number * len(ids) // parts : (number + 1) * len(ids) // parts]


def _take(connection: psycopg.Connection, ids: Sequence[int], lane: Lane) -> int:
    launch_id = str(uuid4())
    taken = connection.execute(
        """
        UPDATE connector.sync_queue AS row
        SET state = 'taken', taken_at = clock_timestamp(), launch_id = %s, lane = %s,
            position = next.position, run_id = NULL
        FROM unnest(%s::bigint[]) WITH ORDINALITY AS next (id, position)
        WHERE row.id = next.id AND row.state = 'waiting'
        """,
        (launch_id, lane, list(ids)),
    )
    connection.execute(
        """
        WITH awaited AS (
            SELECT platform_name, domain
            FROM connector.shops AS shop JOIN connector.sync_queue AS row
                USING (platform_name, domain)
            WHERE row.launch_id = %s AND row.state = 'taken' AND row.awaited AND shop.state = %s
            -- In the order in which everybody locks shops.
            ORDER BY platform_name, domain FOR NO KEY UPDATE OF shop
        )
        UPDATE connector.shops AS shop SET state = %s, updated_at = now()
        FROM awaited
        WHERE shop.platform_name = awaited.platform_name AND shop.domain = awaited.domain
        """,
        (launch_id, ShopState.DISCONNECTED, ShopState.ACTIVE),
    )
    return taken.rowcount
