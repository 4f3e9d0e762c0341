"""How all shops are, at a glance: a few statements over the registry and the syncs of a day.

docs/operating.md, Shop health, has the statement about failing shops for psql. A shop is failing if
it is active and its last sync failed, or its last full one did.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import psycopg
from psycopg.rows import class_row, dict_row

from connector_pipeline.model.shop_state import ShopState

LONG: Final = timedelta(days=1)
"""A shop that fails for so long was tried by many sweeps, and readers see yesterday's catalog."""
NAMED: Final = 20
"""Shops that each list names: the oldest trouble, the slowest, those with most rejects first."""


@dataclass(frozen=True, slots=True)
class TroubledShop:
    """A shop that fails or is disconnected: since when, and its error in words with the remedy.

    `since`: when the first of the failures ended that followed the last good sync, as far as the
    record of syncs reaches; that a shop is then marked disconnected, or edited, does not move it.
    `ask_again_at` is of a disconnected shop alone: a failing one is tried by the next sweep.
    """

    shop: str
    merchant_id: str
    state: str
    since: datetime
    error_code: str
    error: str
    consecutive_failures: int
    last_successful_sync_at: datetime | None
    ask_again_at: datetime | None


@dataclass(frozen=True, slots=True)
class Cause:
    """An error code with the shops that fail or are disconnected by it, and the oldest of them.

    `failing_long` counts those that are active and have failed for LONG.
    """

    error_code: str
    shops: int
    since: datetime
    oldest_shop: str
    platforms: Sequence[str]
    failing_long: int


@dataclass(frozen=True, slots=True)
class MeasuredShop:
    """A shop with one of its numbers: seconds of a sync, or rejected variants."""

    shop: str
    number: float


@dataclass(frozen=True, slots=True)
class ShopHealth:
    """All shops at one time. Ages and freshness are in seconds, by percentile (50, 90, 99, 100).

    `states` counts the shops of each state. Of the active ones `failing` have an error, `well` have
    none and a good sync, and the others wait for their first sync. Ages are of the active shops'
    last good syncs; a shop that was never synced counts from its registration. Freshness is of the
    worst row of each sync of the last day.
    """

    at: datetime
    states: Mapping[str, int]
    failing: int
    well: int
    never_synced: int
    age: Mapping[int, float]
    freshness: Mapping[int, float]
    causes: Sequence[Cause]
    troubled: Sequence[TroubledShop]
    slowest: Sequence[MeasuredShop]
    most_rejects: Sequence[MeasuredShop]

    @property
    def shops(self) -> int:
        return sum(self.states.values())

    @property
    def failing_long(self) -> int:
        return sum(cause.failing_long for cause in self.causes)

    @property
    def disconnected(self) -> int:
        return self.states.get(ShopState.DISCONNECTED, 0)


_PERCENTILES: Final = (50, 90, 99, 100)

_COUNTS: Final = """
    WITH active AS (
        SELECT *, extract(epoch FROM
            now() - coalesce(last_successful_sync_at, registered_at))::float8 AS age
        FROM connector.shops WHERE state = 'active'
    )
    SELECT now() AS at,
        (SELECT coalesce(jsonb_object_agg(state, shops), '{}') FROM (
            SELECT state, count(*) AS shops FROM connector.shops GROUP BY state) AS counted)
            AS states,
        (count(*) FILTER (WHERE last_error_code IS NOT NULL))::int AS failing,
        (count(*) FILTER (WHERE last_error_code IS NULL
            AND last_successful_sync_at IS NOT NULL))::int AS well,
        (count(*) FILTER (WHERE last_successful_sync_at IS NULL))::int AS never_synced,
        percentile_disc(ARRAY[0.5, 0.9, 0.99, 1]) WITHIN GROUP (ORDER BY age) AS age
    FROM active
"""

_TROUBLED: Final = """
    SELECT shop.platform_name, shop.platform_name || '/' || shop.domain AS shop,
        shop.merchant_id, state,
        coalesce(failed.since, full_sync_failing_since, refused_at, shop.updated_at) AS since,
        coalesce(last_error_code, 'Unknown') AS error_code,
        coalesce(last_error_message, '') AS error, consecutive_failures, last_successful_sync_at,
        CASE WHEN state = 'disconnected' THEN ask_again_at END AS ask_again_at
    FROM connector.shops AS shop
    LEFT JOIN LATERAL (
        SELECT min(finished_at) AS since FROM connector.syncs AS sync
        WHERE sync.platform_name = shop.platform_name AND sync.domain = shop.domain
            AND sync.status = 'failed' AND sync.sync_type IS DISTINCT FROM 'hinted'
            AND sync.started_at > coalesce(shop.last_successful_sync_at, '-infinity')
    ) AS failed ON true
    WHERE state = 'disconnected' OR state = 'active' AND last_error_code IS NOT NULL
"""

_CAUSES: Final = """
    WITH troubled AS MATERIALIZED ({troubled})
    SELECT error_code, count(*)::int AS shops, min(since) AS since,
        (array_agg(shop ORDER BY since, shop))[1] AS oldest_shop,
        array_agg(DISTINCT platform_name) AS platforms,
        (count(*) FILTER (WHERE state = 'active' AND since < now() - %(long)s))::int AS failing_long
    FROM troubled GROUP BY error_code ORDER BY count(*) DESC, error_code
""".replace("{troubled}", _TROUBLED)

_NAMED_TROUBLED: Final = """
    SELECT shop, merchant_id, state, since, error_code, error, consecutive_failures,
        last_successful_sync_at, ask_again_at
    FROM ({troubled}) AS troubled
    WHERE (%(shops)s::text[] IS NULL OR shop = ANY(%(shops)s))
        AND (%(longer)s::interval IS NULL OR state = 'active' AND since < now() - %(longer)s)
    ORDER BY since, shop LIMIT %(named)s
""".replace("{troubled}", _TROUBLED)

# A sync that another run published waited for that run: for hours in a backfill of Dagster's own,
# or until somebody published its snapshot once more. So of those the reading alone counts.
_SLOWEST: Final = """
    SELECT platform_name || '/' || domain AS shop, max(CASE
        WHEN published_by = run_id THEN seconds
        ELSE extract(epoch FROM fetched_at - started_at)::float8 END) AS number
    FROM connector.syncs
    WHERE finished_at > now() - interval '1 day' AND status = 'succeeded' AND seconds IS NOT NULL
        AND (published_by = run_id OR fetched_at IS NOT NULL)
    GROUP BY platform_name, domain ORDER BY number DESC, platform_name, domain
    LIMIT %(named)s
"""

_REJECTS: Final = """
    SELECT platform_name || '/' || domain AS shop, count(*)::float8 AS number
    FROM connector.rejected_variants JOIN connector.shops USING (platform_name, domain)
    GROUP BY platform_name, domain ORDER BY count(*) DESC, platform_name, domain LIMIT %(named)s
"""

_FRESHNESS: Final = """
    SELECT percentile_disc(ARRAY[0.5, 0.9, 0.99, 1]) WITHIN GROUP (ORDER BY freshness_worst_seconds)
    FROM connector.syncs
    WHERE finished_at > now() - interval '1 day' AND freshness_worst_seconds IS NOT NULL
"""


def shop_health(connection: psycopg.Connection) -> ShopHealth:
    """Read how all shops are. Part of the caller's transaction, which it does not change."""
    counts = connection.cursor(row_factory=dict_row).execute(_COUNTS).fetchone()
    fresh = connection.execute(_FRESHNESS).fetchone()
    if counts is None or fresh is None:
        raise AssertionError("an aggregate without GROUP BY has one row")
    causes = connection.cursor(row_factory=class_row(Cause)).execute(_CAUSES, {"long": LONG})
    measured = connection.cursor(row_factory=class_row(MeasuredShop))
    values = {"named": NAMED}
    return ShopHealth(
        at=counts["at"],
        states=counts["states"],
        failing=counts["failing"],
        well=counts["well"],
        never_synced=counts["never_synced"],
        age=_by_percentile(counts["age"]),
        freshness=_by_percentile(fresh[0]),
        causes=causes.fetchall(),
        troubled=_troubled(connection, named=NAMED),
        slowest=measured.execute(_SLOWEST, values).fetchall(),
        most_rejects=measured.execute(_REJECTS, values).fetchall(),
    )


def troubles_of(
    connection: psycopg.Connection, keys: Sequence[str] | None = None
) -> dict[str, TroubledShop]:
    """Since when and why these shops, or any, fail or are disconnected, by partition key.

    A shop that is well, or not registered, is not among them.
    """
    found = _troubled(connection, shops=None if keys is None else list(keys))
    return {each.shop: each for each in found}


def failing_long(connection: psycopg.Connection) -> list[TroubledShop]:
    """The active shops that have failed for LONG, the oldest first."""
    return _troubled(connection, longer=LONG)


def _troubled(
    connection: psycopg.Connection,
    *,
    shops: list[str] | None = None,
    longer: timedelta | None = None,
    named: int | None = None,
) -> list[TroubledShop]:
    cursor = connection.cursor(row_factory=class_row(TroubledShop))
    values = {"shops": shops, "longer": longer, "named": named}
    return cursor.execute(_NAMED_TROUBLED, values).fetchall()


def _by_percentile(values: Sequence[float] | None) -> dict[int, float]:
    return {} if values is None else dict(zip(_PERCENTILES, map(float, values), strict=True))
