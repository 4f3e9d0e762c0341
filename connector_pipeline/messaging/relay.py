"""Send the events that wait in `connector.outbox` to JetStream, each shop's in their order.

The relay marks an event as sent after the stream has acknowledged it. If the relay dies in between,
it sends the event again with the same Nats-Msg-Id, and the stream drops the repeat within its
duplicate window.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final

import psycopg
from nats.errors import MaxPayloadError
from nats.js.errors import APIError, NoStreamResponseError, ServiceUnavailableError
from psycopg.rows import dict_row

from connector_pipeline.messaging.batches import (
    SyncedShop,
    batch_event,
    encoded,
    packed,
    product,
)
from connector_pipeline.messaging.jetstream import (
    REQUEST_SECONDS,
    EventStream,
    NatsUnavailable,
    event_stream,
)
from connector_pipeline.model.catalog_item import CatalogItem
from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.model.events import SHOP_ERASED, OutcomeType
from connector_pipeline.model.shop import Shop
from connector_pipeline.model.storable import clipped
from connector_pipeline.postgres import named_locks
from connector_pipeline.postgres.connections import connect
from connector_pipeline.postgres.database import Database
from connector_pipeline.settings import Settings
from connector_pipeline.state.outbox import unsent

SENT_A_TICK: Final = 2_000
_CHUNK: Final = 50
_LONGEST_PROBLEM: Final = 1_000
_BUDGET_SECONDS: Final = 30.0
"""Dagster gives a tick 60 s. Events that are left wait for the next tick."""

INTERRUPTED_HELD: Final = timedelta(minutes=2)
"""How long the failure of an interrupted sync is held back: if Dagster retries the run, the sync
has not ended yet."""

_LOCK: Final = "relay"
"""Two relays at once would mix up a shop's events."""

# A failure is held if its sync is under way again or was interrupted just now, because a success
# may still replace it. It is taken back if its sync has succeeded meanwhile.
_WAITING: Final = """
    SELECT event.id, event.partition_key, event.subject, event.event_id, event.payload,
        event.batches_sent, event.products_sent, sync.status,
        event.subject = %(failed)s AND (
            sync.status IN ('pending', 'running')
            OR sync.error_code = 'SyncInterrupted' AND event.created_at > now() - %(held)s
        ) AS held,
        event.subject = %(failed)s AND sync.status = 'succeeded' AS taken_back
    FROM connector.outbox AS event
    LEFT JOIN connector.syncs AS sync ON sync.sync_id = event.payload #>> '{data,sync_id}'
    WHERE event.sent_at IS NULL AND event.id > %(after)s
    ORDER BY event.id LIMIT %(limit)s
    FOR UPDATE OF event SKIP LOCKED
"""


@dataclass(frozen=True, slots=True)
class SyncedProducts:
    """The shop of a published snapshot, and its items, read again from the archive."""

    shop: Shop
    items: Iterator[CatalogItem]


ReadProducts = Callable[[str, str], SyncedProducts]
"""Reads the snapshot of a partition key and sync_id. Raises ConnectorError if it is gone."""


@dataclass(slots=True)
class Relayed:
    """The result of one call of the relay: `waiting` events were left, and `problems` say why."""

    sent: int = 0
    batches: int = 0
    waiting: int = 0
    problems: list[str] = field(default_factory=list[str])


class _Refused(Exception):
    """The stream refused this event; later events of its shop wait behind it."""


def relay(
    settings: Settings,
    database: Database,
    *,
    read_products: ReadProducts | None = None,
    held: timedelta = INTERRUPTED_HELD,
    budget_seconds: float = _BUDGET_SECONDS,
) -> Relayed:
    """Send waiting events, as many as one tick has time for; product batches if `read_products`.

    Raises NatsUnavailable and DatabaseUnavailable. Events that were acknowledged until then are
    marked as sent.
    """
    with database.connect() as connection:
        if unsent(connection) == 0:
            return Relayed()
    return asyncio.run(_Relay(settings, read_products, held, budget_seconds).run(database))


class _Relay:
    def __init__(
        self,
        settings: Settings,
        read_products: ReadProducts | None,
        held: timedelta,
        budget_seconds: float,
    ):
        self._settings = settings
        self._read_products = read_products
        self._held = held
        self._until = time.monotonic() + budget_seconds
        self._blocked: set[str] = set()
        self._done = Relayed()

    async def run(self, database: Database) -> Relayed:
        async with event_stream(self._settings) as stream:
            # Of its own, because the lock ends with the session.
            with connect(database.connection_url()) as connection:
                key = named_locks.begin_session(connection)
                other = named_locks.take(connection, key, _LOCK, holder="a relay")
                connection.commit()
                if other is not None:
                    self._done.problems.append("Another relay is at work.")
                    return self._done
                after = 0
                while self._done.sent < SENT_A_TICK and not self._late:
                    last = await self._chunk(connection, stream, after)
                    if last is None:
                        break
                    after = last
                self._done.waiting = unsent(connection)
                # A session that was closed holds its lock until Postgres sees that.
                named_locks.release(connection, key, _LOCK)
        return self._done

    @property
    def _late(self) -> bool:
        return time.monotonic() > self._until

    async def _chunk(
        self, connection: psycopg.Connection, stream: EventStream, after: int
    ) -> int | None:
        """Send the next few events after an id. Returns the last one's id, or None at the end.

        Their rows are locked until the commit.
        """
        rows = (
            connection.cursor(row_factory=dict_row)
            .execute(
                _WAITING,
                {
                    "failed": OutcomeType.FAILED,
                    "held": self._held,
                    "after": after,
                    "limit": _CHUNK,
                },
            )
            .fetchall()
        )
        try:
            for row in rows:
                if self._late:
                    return None
                await self._event(connection, stream, row)
        finally:
            # Whatever ended the loop, acknowledged events stay marked as sent.
            connection.commit()
        return rows[-1]["id"] if rows else None

    async def _event(
        self, connection: psycopg.Connection, stream: EventStream, row: dict[str, Any]
    ) -> None:
        key = row["partition_key"]
        if key in self._blocked:
            return
        if row["taken_back"]:
            connection.execute("DELETE FROM connector.outbox WHERE id = %s", (row["id"],))
            return
        if row["held"]:
            self._blocked.add(key)
            return
        try:
            if self._read_products is not None and row["subject"] == OutcomeType.COMPLETED:
                whole = await self._batches(connection, stream, row, self._read_products)
                if not whole:
                    self._blocked.add(key)
                    return
            await _send(stream, row["subject"], str(row["event_id"]), encoded(row["payload"]))
        except _Refused as error:
            self._blocked.add(key)
            self._problem(f"{row['subject']} of {key}: {error}")
            return
        connection.execute(
            # It names an erased shop, of which nothing is to be kept.
            "DELETE FROM connector.outbox WHERE id = %s"
            if row["subject"] == SHOP_ERASED
            else "UPDATE connector.outbox SET sent_at = clock_timestamp() WHERE id = %s",
            (row["id"],),
        )
        self._done.sent += 1

    async def _batches(
        self,
        connection: psycopg.Connection,
        stream: EventStream,
        row: dict[str, Any],
        read_products: ReadProducts,
    ) -> bool:
        """Send the batches of a completed sync that were not sent yet. Returns whether all are."""
        data, payload = row["payload"]["data"], row["payload"]
        try:
            products = read_products(row["partition_key"], data["sync_id"])
            synced = SyncedShop(
                shop=products.shop,
                sync_id=data["sync_id"],
                correlation_id=payload["correlation_id"],
                timestamp=datetime.fromisoformat(payload["timestamp"]),
            )
            rest = islice(products.items, row["products_sent"], None)
            batches = packed(
                (product(item) for item in rest),
                largest=stream.max_payload,
                first_batch=row["batches_sent"] + 1,
            )
            for number, batch, has_more in batches:
                event_id, body = batch_event(synced, number, batch, has_more=has_more)
                await _send(stream, "evt.platform.products.fetched", event_id, body)
                self._done.batches += 1
                if has_more:
                    connection.execute(
                        "UPDATE connector.outbox SET batches_sent = %s,"
                        " products_sent = products_sent + %s WHERE id = %s",
                        (number, len(batch), row["id"]),
                    )
                    if self._late:
                        return False
        except (NatsUnavailable, _Refused):
            raise
        except ConnectorError as error:
            # The snapshot will not come back, so the outcome is sent without its batches.
            self._problem(f"No product batches of {row['partition_key']}: {error.code}: {error}")
        return True

    def _problem(self, text: str) -> None:
        if len(self._done.problems) < 20:
            self._done.problems.append(clipped(text, most_bytes=_LONGEST_PROBLEM))


async def _send(stream: EventStream, subject: str, event_id: str, body: bytes) -> None:
    """Send and wait for the acknowledgement. Raises _Refused and the errors of NATS."""
    try:
        await stream.context.publish(
            subject,
            body,
            stream=stream.name,
            timeout=REQUEST_SECONDS,
            headers={"Nats-Msg-Id": event_id},
        )
    except NoStreamResponseError:
        raise _Refused(
            f"no stream takes this subject; add it to the subjects of {stream.name}."
        ) from None
    except ServiceUnavailableError:
        # The server answers, but JetStream does not yet: all events wait.
        raise
    except APIError as error:
        raise _Refused(f"the stream {stream.name} refused it: {error.description}.") from None
    except MaxPayloadError:
        raise _Refused(
            f"it is larger than the {stream.max_payload} bytes the server takes."
        ) from None
