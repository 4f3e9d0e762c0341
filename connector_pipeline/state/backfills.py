"""`connector.backfill_shops`: the shops of each backfill, and how each of them ended.

Each function is part of the caller's transaction.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import psycopg

from connector_pipeline.model.shop import columns_of
from connector_pipeline.model.sync import BackfillStatus


class Waiting(NamedTuple):
    """A shop of a backfill that waits for a run, or for the outcome of its run."""

    backfill_id: str
    partition_key: str


_KEY: Final = "platform_name || '/' || domain"


def request(connection: psycopg.Connection, backfill_id: str, keys: Sequence[str]) -> None:
    """Add these shops to the backfill."""
    connection.execute(
        """
        INSERT INTO connector.backfill_shops (backfill_id, platform_name, domain)
        SELECT %s, * FROM unnest(%s::text[], %s::text[])
        """,
        (backfill_id, *columns_of(keys)),
    )


def waiting(connection: psycopg.Connection, backfill_id: str | None = None) -> list[Waiting]:
    """The shops to launch runs for, oldest first. Locked, so that each is launched once."""
    rows = connection.execute(
        f"SELECT backfill_id, {_KEY} FROM connector.backfill_shops "  # noqa: S608  our own words
        "WHERE status = 'waiting' AND (%(id)s::text IS NULL OR backfill_id = %(id)s) "
        "ORDER BY requested_at, backfill_id, platform_name, domain "
        "FOR UPDATE SKIP LOCKED",
        {"id": backfill_id},
    )
    return [Waiting(*row) for row in rows]


def launched(connection: psycopg.Connection, backfill_id: str, keys: Sequence[str]) -> None:
    """Record that a run is launched for these shops."""
    _set_status(connection, backfill_id, dict.fromkeys(keys), BackfillStatus.LAUNCHED)


def wait_again(connection: psycopg.Connection, backfill_id: str, keys: Sequence[str]) -> None:
    """Record that these shops have no run after all."""
    _set_status(connection, backfill_id, dict.fromkeys(keys), BackfillStatus.WAITING)


def without_news(connection: psycopg.Connection) -> list[Waiting]:
    """Shops for which a run was launched over two minutes ago and which have no outcome yet."""
    rows = connection.execute(
        f"SELECT backfill_id, {_KEY} FROM connector.backfill_shops "  # noqa: S608  our own words
        "WHERE status = 'launched' AND changed_at < now() - interval '2 minutes' "
        "ORDER BY backfill_id, platform_name, domain"
    )
    return [Waiting(*row) for row in rows]


def record_outcomes(
    connection: psycopg.Connection, backfill_id: str, outcomes: Mapping[str, str | None]
) -> None:
    """Record how shops ended: by partition key the error's code, None for success."""
    for status in (BackfillStatus.SUCCEEDED, BackfillStatus.FAILED):
        failed = status is BackfillStatus.FAILED
        ended = {key: code for key, code in outcomes.items() if (code is not None) is failed}
        _set_status(connection, backfill_id, ended, status)


def withdraw(connection: psycopg.Connection, backfill_id: str) -> int:
    """Delete the shops of the backfill that have not ended. Returns how many they were."""
    return connection.execute(
        "DELETE FROM connector.backfill_shops "
        "WHERE backfill_id = %s AND status IN ('waiting', 'launched')",
        (backfill_id,),
    ).rowcount


def statuses(connection: psycopg.Connection, backfill_id: str) -> dict[str, tuple[str, str | None]]:
    """Status and error code of each shop of the backfill, by partition key."""
    rows = connection.execute(
        f"SELECT {_KEY}, status, error_code FROM connector.backfill_shops "  # noqa: S608  the same
        "WHERE backfill_id = %s ORDER BY platform_name, domain",
        (backfill_id,),
    )
    return {key: (status, code) for key, status, code in rows}


def _set_status(
    connection: psycopg.Connection,
    backfill_id: str,
    codes: Mapping[str, str | None],
    status: BackfillStatus,
) -> None:
    if not codes:
        return
    connection.execute(
        """
        UPDATE connector.backfill_shops AS shop
        SET status = %s, error_code = ended.code, changed_at = now()
        FROM unnest(%s::text[], %s::text[], %s::text[]) AS ended (platform_name, domain, code)
        WHERE backfill_id = %s AND shop.platform_name = ended.platform_name
            AND shop.domain = ended.domain
        """,
        (status, *columns_of(codes), list(codes.values()), backfill_id),
    )
