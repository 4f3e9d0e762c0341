"""`connector.outbox`: the events to send. The transaction that ends a sync writes its event, too.

Each function is part of the caller's transaction. The caller has locked the shop's row in
`connector.shops`, so that the ids of a shop's events have the order in which they are committed.
"""

from datetime import timedelta
from typing import Final
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from connector_pipeline.model.events import (
    DEAD_LETTERS,
    DeadLetter,
    Envelope,
    FetchCompleted,
    FetchFailed,
    OutcomeType,
    outcome_id,
)

KEPT: Final = timedelta(days=7)
"""An event is kept for so long, sent or not: nobody waits for the outcome of last week's sync.

Events are written even where no relay sends them: a setting that turned them off would lose events
wherever two processes had different values of it. So old events are deleted here.
"""

# Rows that a relay is sending are skipped: waiting for the relay's network would hold up the
# publish, and with it the readers of the shop.
_FORGET_OLD: Final = """
    DELETE FROM connector.outbox WHERE id IN (
        SELECT id FROM connector.outbox
        WHERE partition_key = %(partition_key)s AND created_at < now() - %(kept)s
        FOR UPDATE SKIP LOCKED
    )
"""

_FORGET_OLD_AND_WITHDRAW: Final = f"""
    WITH forgotten AS ({_FORGET_OLD})
    DELETE FROM connector.outbox WHERE id IN (
        SELECT id FROM connector.outbox
        WHERE event_id = ANY(%(superseded)s::uuid[]) AND sent_at IS NULL
        FOR UPDATE SKIP LOCKED
    )
"""  # noqa: S608  our own words

_PUT: Final = """
    INSERT INTO connector.outbox (partition_key, subject, event_id, payload)
    SELECT %(partition_key)s, %(subject)s, %(event_id)s, %(payload)s
    WHERE NOT EXISTS (SELECT FROM connector.outbox WHERE event_id = %(final)s)
    ON CONFLICT (event_id) DO NOTHING
"""


def put_outcome(
    connection: psycopg.Connection,
    partition_key: str,
    event: Envelope[FetchCompleted] | Envelope[FetchFailed],
) -> None:
    """Put the event of a sync's outcome into the outbox, in place of an unsent earlier one.

    After a sync completed, its failure is no event: the earlier publish still stands. The shop's
    events older than KEPT are deleted.
    """
    sync_id = event.data.sync_id
    completed = outcome_id(sync_id, OutcomeType.COMPLETED)
    values: dict[str, object] = {
        "partition_key": partition_key,
        "subject": event.event_type,
        "event_id": event.event_id,
        "payload": Jsonb(event.model_dump(mode="json")),
        # A completed event is only replaced by a completed one: see above.
        "superseded": [outcome_id(sync_id, OutcomeType.FAILED), event.event_id],
        "final": completed,
        "kept": KEPT,
    }
    connection.execute(_FORGET_OLD_AND_WITHDRAW, values)
    connection.execute(_PUT, values)


def put_dead_letter(connection: psycopg.Connection, letter_id: UUID, letter: DeadLetter) -> None:
    """Put a dead letter into the outbox. The same id again is the same letter."""
    values: dict[str, object] = {
        "partition_key": DEAD_LETTERS,
        "subject": DEAD_LETTERS,
        "event_id": letter_id,
        "payload": Jsonb(letter.model_dump(mode="json", exclude_none=True)),
        "final": letter_id,
        "kept": KEPT,
    }
    connection.execute(_FORGET_OLD, values)
    connection.execute(_PUT, values)


def unsent(connection: psycopg.Connection) -> int:
    """How many events wait to be sent."""
    row = connection.execute(
        "SELECT count(*) FROM connector.outbox WHERE sent_at IS NULL"
    ).fetchone()
    return int(row[0]) if row else 0
