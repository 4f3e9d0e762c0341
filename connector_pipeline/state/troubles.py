"""Troubles of many shops of one platform at once, as the queue and the registry show them.

Each function is part of the caller's transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import groupby
from typing import Final

import psycopg
from psycopg.rows import class_row

from connector_pipeline.model.errors import (
    AccessRefused,
    InvalidSyncRequest,
    NotActive,
    ShopBusy,
    ShopDisconnected,
)
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.state.refusals import FEWEST_AT_ONCE, Share

NO_TROUBLE_OF_MANY: Final = tuple(
    error.__name__ for error in (NotActive, ShopBusy, InvalidSyncRequest, ShopDisconnected)
)
"""Errors of a shop's own: a believed refusal has an alert of its own, the others need none."""

# A launch stays in trouble until half of the shops that failed in it have been synced since.
_LAUNCHES: Final = """
    WITH candidate AS (
        SELECT launch_id FROM connector.sync_queue
        WHERE state = 'ended' AND outcome = 'failed' AND ended_at > now() - %(since)s
            AND launch_id IS NOT NULL AND error_code <> ALL(%(left_out)s)
        GROUP BY launch_id HAVING count(*) >= %(fewest)s
    ), ended AS (
        SELECT row.launch_id, row.platform_name, row.sweep_id, row.error_code, row.ended_at,
            row.outcome = 'failed' AND row.error_code <> ALL(%(left_out)s) AS failed,
            shop.state = %(active)s
                -- What failed for hints alone is over with the next sync for hints.
                AND coalesce(greatest(shop.last_successful_sync_at,
                    CASE WHEN row.hints IS NOT NULL THEN shop.last_hinted_sync_at END)
                    < row.ended_at, true) AS fails_still
        FROM connector.sync_queue AS row JOIN candidate USING (launch_id)
            LEFT JOIN connector.shops AS shop USING (platform_name, domain)
    )
    SELECT platform_name, launch_id AS began_with, count(*)::int AS shops,
        (count(*) FILTER (WHERE failed))::int AS failed,
        (count(*) FILTER (WHERE failed AND error_code = %(refused)s))::int AS refused,
        mode() WITHIN GROUP (ORDER BY error_code) FILTER (WHERE failed) AS most_frequent,
        coalesce(array_agg(DISTINCT sweep_id) FILTER (WHERE failed AND sweep_id IS NOT NULL), '{}')
            AS sweep_ids
    FROM ended
    GROUP BY platform_name, launch_id
    HAVING count(*) FILTER (WHERE failed) >= %(fewest)s
        AND 2 * count(*) FILTER (WHERE failed) > count(*)
        AND 2 * count(*) FILTER (WHERE failed AND fails_still) > count(*) FILTER (WHERE failed)
    ORDER BY platform_name, min(ended_at)
"""

_REFUSED: Final = """
    SELECT platform_name, 'refused since ' || min(refused_at)::text AS began_with,
        count(*)::int AS shops, count(refused_at)::int AS failed, count(refused_at)::int AS refused,
        %(refused)s AS most_frequent
    FROM connector.shops WHERE state = %(active)s
    GROUP BY platform_name HAVING count(refused_at) >= %(fewest)s
    ORDER BY platform_name
"""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Most shops of a platform fail at once: those of one run, or the active ones.

    `shops` is how many there are, `failed` how many of them failed, `refused` how many of these
    the platform refuses. `began_with` is the trouble's identity: it stays while the trouble does.
    `sweep_ids` are the sweeps that the failed shops were synced for.
    """

    platform_name: str
    began_with: str
    shops: int
    failed: int
    refused: int
    most_frequent: str
    sweep_ids: Sequence[str] = field(default=())

    @property
    def of_refusals(self) -> bool:
        """Whether most of the failed shops are refused."""
        return 2 * self.refused > self.failed


def current(connection: psycopg.Connection, *, since: timedelta) -> list[Trouble]:
    """The troubles that are not over, at most one a platform, of runs that ended within a time."""
    values = {
        "since": since,
        "left_out": list(NO_TROUBLE_OF_MANY),
        "fewest": FEWEST_AT_ONCE,
        "refused": AccessRefused.__name__,
        "active": ShopState.ACTIVE,
    }
    cursor = connection.cursor(row_factory=class_row(Trouble))
    launches = cursor.execute(_LAUNCHES, values).fetchall()
    refused = [
        trouble
        for trouble in cursor.execute(_REFUSED, values).fetchall()
        if Share(trouble.refused, trouble.shops).most
    ]
    found = {trouble.platform_name: trouble for trouble in refused}
    for platform_name, troubles in groupby(launches, key=lambda each: each.platform_name):
        found[platform_name] = _in_one(list(troubles))
    return list(found.values())


def _in_one(troubles: Sequence[Trouble]) -> Trouble:
    """The trouble of several launches: its size is that of the largest, it began with the first."""
    largest = max(troubles, key=lambda each: each.failed)
    sweep_ids = sorted({sweep_id for each in troubles for sweep_id in each.sweep_ids})
    return replace(largest, began_with=troubles[0].began_with, sweep_ids=sweep_ids)
