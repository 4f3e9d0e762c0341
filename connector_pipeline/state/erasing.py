"""Delete all that the schema `connector` holds of a shop, and tell readers that it is gone."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, LiteralString
from uuid import uuid4

import psycopg
from psycopg.types.json import Jsonb

from connector_pipeline.model.events import DEAD_LETTERS, SHOP_ERASED, ErasedShop, ShopErased
from connector_pipeline.model.name_in_texts import pattern
from connector_pipeline.model.shop import parse_partition_key
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.state import sync_queue
from connector_pipeline.state.refusals import NOT_REFUSED

_OF_SHOP: Final = "platform_name = %(platform_name)s AND domain = %(domain)s"

_ERASE: Final[dict[str, LiteralString]] = {
    # First, as requests and syncs of the queue lock in this order, too.
    "queue": f"DELETE FROM connector.sync_queue WHERE {_OF_SHOP}",  # noqa: S608  our own words
    # A request that was refused has the domain as the requester wrote it. The intake locks the rows
    # that it takes before the queue: it would wait for us while we wait for it. Those came later.
    "requests": """
        DELETE FROM connector.sync_requests WHERE id IN (
            SELECT id FROM connector.sync_requests
            WHERE lower(platform_name) = %(platform_name)s AND lower(domain) = %(domain)s
            FOR UPDATE SKIP LOCKED
        )
    """,
    "syncs": f"DELETE FROM connector.syncs WHERE {_OF_SHOP}",  # noqa: S608
    "rejected_variants": f"DELETE FROM connector.rejected_variants WHERE {_OF_SHOP}",  # noqa: S608
    # A dead letter has the message as somebody sent it.
    "events": f"""
        DELETE FROM connector.outbox WHERE partition_key = %(key)s
            OR partition_key = '{DEAD_LETTERS}' AND lower(payload::text) ~ %(pattern)s
    """,  # noqa: S608
    "registry": f"DELETE FROM connector.shops WHERE {_OF_SHOP}",  # noqa: S608
    # After the registry: a look or a delivery locks the shop, and then leaves these.
    "erase_demands": f"DELETE FROM connector.erase_demands WHERE {_OF_SHOP}",  # noqa: S608
    "hints": f"DELETE FROM connector.hints WHERE {_OF_SHOP}",  # noqa: S608
    "change_looks": f"DELETE FROM connector.change_looks WHERE {_OF_SHOP}",  # noqa: S608
    # Those of transactions. The one that is held for the erasure goes when it is given back.
    "locks": "DELETE FROM connector.locks WHERE name = ANY(%(locks)s)",
}
"""The statements, by the names of what they delete."""


def mark(connection: psycopg.Connection, partition_key: str) -> bool:
    """Pause the shop, so that nothing begins a sync of it. Returns whether it is registered.

    This is also what an erasure that is killed leaves: the shop stays paused until the next one.
    """
    sync_queue.lock(connection)
    return (
        connection.execute(
            f"UPDATE connector.shops SET state = %(state)s, updated_at = now(), {NOT_REFUSED}"  # noqa: S608
            f" WHERE {_OF_SHOP}",
            {**_values(partition_key), "state": ShopState.PAUSED},
        ).rowcount
        > 0
    )


def is_taken(connection: psycopg.Connection, partition_key: str) -> bool:
    """Whether the queue has given the shop to a run that has not ended its sync yet."""
    row = connection.execute(
        f"SELECT FROM connector.sync_queue WHERE {_OF_SHOP} AND state = 'taken' LIMIT 1",
        _values(partition_key),
    ).fetchone()
    return row is not None


def identity(connection: psycopg.Connection, partition_key: str) -> ErasedShop | None:
    """The shop as the registry knows it; None if it is not registered."""
    row = connection.execute(
        f"SELECT merchant_id, platform_shop_id FROM connector.shops WHERE {_OF_SHOP}",  # noqa: S608
        _values(partition_key),
    ).fetchone()
    return None if row is None else ErasedShop.of(partition_key, *row)


def erase(
    connection: psycopg.Connection, partition_key: str, *, locks: Sequence[str]
) -> dict[str, int]:
    """Delete the shop's rows, and its `locks` by their names. Returns how many of which kind.

    Part of the caller's transaction.
    """
    values = {**_values(partition_key), "locks": list(locks)}
    values["pattern"] = pattern(str(values["domain"]))
    sync_queue.lock(connection)
    counts = {
        name: connection.execute(statement, values).rowcount for name, statement in _ERASE.items()
    }
    del counts["locks"]
    return counts


def put_event(connection: psycopg.Connection, partition_key: str, shop: ErasedShop) -> None:
    """Put the event into the outbox that tells readers to delete what they copied of the shop.

    The relay deletes it once it is sent.
    """
    event_id = uuid4()
    event = ShopErased(
        event_id=event_id,
        correlation_id=str(event_id),
        timestamp=datetime.now(UTC),
        data=shop,
    )
    connection.execute(
        "INSERT INTO connector.outbox (partition_key, subject, event_id, payload)"
        " VALUES (%s, %s, %s, %s)",
        (partition_key, SHOP_ERASED, event_id, Jsonb(event.model_dump(mode="json"))),
    )


def shops_of_merchant(connection: psycopg.Connection, merchant_id: str) -> Sequence[str]:
    """The partition keys of the merchant's shops, of those too that have left the registry."""
    rows = connection.execute(
        """
        SELECT platform_name || '/' || domain FROM connector.shops WHERE merchant_id = %(id)s
        UNION SELECT platform_name || '/' || domain FROM connector.syncs WHERE merchant_id = %(id)s
        ORDER BY 1
        """,
        {"id": merchant_id},
    ).fetchall()
    return [key for (key,) in rows]


def _values(partition_key: str) -> dict[str, object]:
    platform_name, domain = parse_partition_key(partition_key)
    return {"key": partition_key, "platform_name": platform_name, "domain": domain}
