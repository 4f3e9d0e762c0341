"""Rows of the schema `connector` that older and newer checkouts share: asked for, and outcomes."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from connector_pipeline.sandbox.shops.spec import ShopSpec


@dataclass(frozen=True, slots=True)
class Ended:
    """How many syncs succeeded and failed, and when the last one ended, if any did."""

    succeeded: int
    failed: int
    last: datetime | None

    @property
    def total(self) -> int:
        return self.succeeded + self.failed


def put_requests(
    connection: psycopg.Connection, prefix: str, specs: Sequence[ShopSpec]
) -> datetime:
    """Insert a request for each shop, with the sync_id `{prefix}-{number}`, in one statement.

    Returns when they were inserted, by the server's clock.
    """
    rows = [
        (
            spec.merchant_id,
            spec.platform,
            spec.platform_shop_id,
            spec.domain,
            f"{prefix}-{number}",
        )
        for number, spec in enumerate(specs)
    ]
    inserted = connection.execute(
        """
        WITH put AS (
            INSERT INTO connector.sync_requests
                (merchant_id, platform_name, platform_shop_id, domain, sync_id)
            SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[])
            RETURNING requested_at
        )
        SELECT count(*), min(requested_at) FROM put
        """,
        [list(column) for column in zip(*rows, strict=True)],
    ).fetchone()
    if inserted is None or inserted[0] != len(specs):
        raise RuntimeError(f"{inserted} requests were inserted, {len(specs)} were to be")
    return inserted[1]


def ended(connection: psycopg.Connection, column: str, prefix: str) -> Ended:
    """The syncs that ended whose `column`, sync_id or domain, begins with the prefix."""
    if column not in ("sync_id", "domain"):
        raise ValueError(column)
    [row] = connection.execute(
        f"""
        SELECT count(*) FILTER (WHERE status = 'succeeded'),
            count(*) FILTER (WHERE status = 'failed'), max(finished_at)
        FROM connector.syncs
        WHERE finished_at IS NOT NULL AND starts_with({column}, %s)
        """,  # noqa: S608  one of two names
        [prefix],
    ).fetchall()
    return Ended(*row)


def backfill_put_at(connection: psycopg.Connection) -> datetime:
    """When the first shop of the last backfill was put on record, in either version's table."""
    [(queue,)] = connection.execute("SELECT to_regclass('connector.sync_queue')").fetchall()
    [(at,)] = connection.execute(
        "SELECT min(put_at) FROM connector.sync_queue WHERE backfills = (SELECT backfills "
        "FROM connector.sync_queue WHERE backfills <> '{}' ORDER BY id DESC LIMIT 1)"
        if queue is not None
        else "SELECT min(requested_at) FROM connector.backfill_shops WHERE backfill_id = (SELECT "
        "backfill_id FROM connector.backfill_shops ORDER BY requested_at DESC LIMIT 1)"
    ).fetchall()
    return at


def wait_for(
    question: Callable[[], Any],
    *,
    patience: float,
    every: float,
    check: Callable[[], None] | None = None,
) -> Any:
    """Ask until the answer is true, and return it. Raises TimeoutError after `patience` seconds."""
    until = time.monotonic() + patience
    while not (answer := question()):
        if check is not None:
            check()
        if time.monotonic() > until:
            raise TimeoutError(f"not within {patience:.0f} s")
        time.sleep(every)
    return answer


def per_minute(
    connection: psycopg.Connection, prefix: str, since: datetime
) -> list[tuple[int, int, int]]:
    """For each minute since then: its number from 1, and the shops fetched and published in it."""
    rows = connection.execute(
        """
        WITH times AS (
            SELECT ceil(extract(epoch FROM fetched_at - %(since)s) / 60)::integer AS fetched,
                CASE WHEN status = 'succeeded' THEN
                    ceil(extract(epoch FROM finished_at - %(since)s) / 60)::integer
                END AS published
            FROM connector.syncs
            WHERE started_at > %(since)s AND starts_with(domain, %(prefix)s)
        )
        SELECT minute, (SELECT count(*) FROM times WHERE fetched = minute),
            (SELECT count(*) FROM times WHERE published = minute)
        FROM generate_series(
            1, (SELECT greatest(max(fetched), max(published)) FROM times)
        ) AS minute ORDER BY minute
        """,
        {"since": since, "prefix": prefix},
    ).fetchall()
    return [(minute, fetched, published) for minute, fetched, published in rows]
