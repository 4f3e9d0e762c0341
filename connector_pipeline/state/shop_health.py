"""How all shops are, at a glance: a few statements over the registry and the syncs of a day.

docs/operating.md, Shop health, has the statement about failing shops for psql. A shop is failing if
it is active and its last sync failed, or its last full one did.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

import psycopg
from psycopg.rows import class_row, dict_row

from connector_pipeline.model.shop import ShopState

NAMED: Final = 20
"""Shops that each list names: the oldest trouble, the slowest, those with most rejects first."""


@dataclass(frozen=True, slots=True)
class TroubledShop:
    """A shop that fails or is disconnected: since when, and its error in words with the remedy.

    `since`: when the first of the failures ended that followed the last good sync, as far as the
    record of syncs reaches; of a disconnected shop when it became so. `ask_again_at` is of a
    disconnected shop alone: a failing one is tried by the next sweep.
    """

    shop: str
    state: str
    since: datetime
    error_code: str
    error: str
    consecutive_failures: int
    last_successful_sync_at: datetime | None
    ask_again_at: datetime | None


@dataclass(frozen=True, slots=True)
class Cause:
    """An error code with the shops that fail or are disconnected by it, and the oldest of them."""

    error_code: str
    shops: int
    since: datetime
    oldest_shop: str
    platforms: Sequence[str]


@dataclass(frozen=True, slots=True)
class MeasuredShop:
    """A shop with one of its numbers: seconds of a sync, or rejected variants."""

    shop: str
    number: float


@dataclass(frozen=True, slots=True)
class ShopHealth:
    """All shops at one time. Ages and freshness are in seconds, by percentile (50, 90, 99, 100).

    `states` counts the shops of each state. Ages are of the active shops' last good syncs; a shop
    that was never synced counts from its registration. Freshness is of the worst row of each sync
    of the last day.
    """

    at: datetime
    states: Mapping[str, int]
    failing: int
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
        (count(*) FILTER (WHERE last_successful_sync_at IS NULL))::int AS never_synced,
        percentile_disc(ARRAY[0.5, 0.9, 0.99, 1]) WITHIN GROUP (ORDER BY age) AS age
    FROM active
"""

_TROUBLED: Final[LiteralString] = """
    SELECT shop.platform_name, shop.platform_name || '/' || shop.domain AS shop, state,
        coalesce(CASE WHEN state = 'disconnected' THEN shop.updated_at END,
            failed.since, full_sync_failing_since, refused_at, shop.updated_at) AS since,
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

_CAUSES: Final[LiteralString] = (
    "WITH troubled AS MATERIALIZED ("
    + _TROUBLED
    + """)
    SELECT error_code, count(*)::int AS shops, min(since) AS since,
        (array_agg(shop ORDER BY since, shop))[1] AS oldest_shop,
        array_agg(DISTINCT platform_name) AS platforms
    FROM troubled GROUP BY error_code ORDER BY count(*) DESC, error_code LIMIT %(named)s
"""
)

_NAMED_TROUBLED: Final[LiteralString] = (
    "SELECT shop, state, since, error_code, error, consecutive_failures, last_successful_sync_at,"
    " ask_again_at FROM ("
    + _TROUBLED
    + ") AS troubled WHERE %(shop)s::text IS NULL OR shop = %(shop)s"
    " ORDER BY since, shop LIMIT %(named)s"
)

_SLOWEST: Final = """
    SELECT platform_name || '/' || domain AS shop, max(seconds) AS number
    FROM connector.syncs
    WHERE finished_at > now() - interval '1 day' AND status = 'succeeded' AND seconds IS NOT NULL
    GROUP BY platform_name, domain ORDER BY max(seconds) DESC, platform_name, domain
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
    values = {"named": NAMED, "shop": None}
    counts = connection.cursor(row_factory=dict_row).execute(_COUNTS).fetchone()
    fresh = connection.execute(_FRESHNESS).fetchone()
    if counts is None or fresh is None:
        raise AssertionError("an aggregate without GROUP BY has one row")
    causes = connection.cursor(row_factory=class_row(Cause)).execute(_CAUSES, values).fetchall()
    troubled = connection.cursor(row_factory=class_row(TroubledShop))
    measured = connection.cursor(row_factory=class_row(MeasuredShop))
    return ShopHealth(
        at=counts["at"],
        states=counts["states"],
        failing=counts["failing"],
        never_synced=counts["never_synced"],
        age=_by_percentile(counts["age"]),
        freshness=_by_percentile(fresh[0]),
        causes=causes,
        troubled=troubled.execute(_NAMED_TROUBLED, values).fetchall(),
        slowest=measured.execute(_SLOWEST, values).fetchall(),
        most_rejects=measured.execute(_REJECTS, values).fetchall(),
    )


def trouble_of(connection: psycopg.Connection, partition_key: str) -> TroubledShop | None:
    """Since when and why the shop fails or is disconnected; None if it is well or unknown."""
    values = {"named": 1, "shop": partition_key}
    cursor = connection.cursor(row_factory=class_row(TroubledShop))
    return cursor.execute(_NAMED_TROUBLED, values).fetchone()


def all_troubled(connection: psycopg.Connection) -> Mapping[str, TroubledShop]:
    """Every shop that fails or is disconnected, by its partition key, the oldest trouble first."""
    cursor = connection.cursor(row_factory=class_row(TroubledShop))
    rows = cursor.execute(_NAMED_TROUBLED, {"named": None, "shop": None})
    return {each.shop: each for each in rows}


def _by_percentile(values: Sequence[float] | None) -> dict[int, float]:
    return {} if values is None else dict(zip(_PERCENTILES, map(float, values), strict=True))
