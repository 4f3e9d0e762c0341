"""`connector.outbox`: events that are to be sent, written where what they tell becomes true.

Each function is part of the caller's transaction. Called with the shop's row in `connector.shops`
locked, so that ids of one shop are allotted in the order in which they are committed.
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
"""How long an event is kept, sent or not: nobody still waits for the outcome of last week's sync.

Always written, whether anything sends them or not: a setting that several processes must agree on
would lose events where they do not. So they must go by themselves, too.
"""

# Rows that a relay is sending are left to it: waiting for its network here would hold up the
# publish, and the readers of the shop with it.
_FORGET_OLD: Final = """
    DELETE FROM connector.outbox WHERE id IN (
        SELECT id FROM connector.outbox
        WHERE partition_key = %(partition_key)s AND created_at < now() - %(kept)s
        FOR UPDATE SKIP LOCKED
    )
"""

_WITHDRAW_UNSENT: Final = """
    DELETE FROM connector.outbox WHERE id IN (
        SELECT id FROM connector.outbox
        WHERE event_id = ANY(%(superseded)s::uuid[]) AND sent_at IS NULL
        FOR UPDATE SKIP LOCKED
    )
"""

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
    """Have the sync's outcome sent, in place of an earlier one of it that was not sent yet.

    A sync that completed has completed: a failure to publish it once more is no event. The shop's
    events older than KEPT are forgotten.
    """
    sync_id = event.data.sync_id
    completed = outcome_id(sync_id, OutcomeType.COMPLETED)
    values: dict[str, object] = {
        "partition_key": partition_key,
        "subject": event.event_type,
        "event_id": event.event_id,
        "payload": Jsonb(event.model_dump(mode="json")),
        # A completed one is taken back by a completed one alone: see above.
        "superseded": [outcome_id(sync_id, OutcomeType.FAILED), event.event_id],
        "final": completed,
        "kept": KEPT,
    }
    connection.execute(_FORGET_OLD, values)
    connection.execute(_WITHDRAW_UNSENT, values)
    connection.execute(_PUT, values)


def put_dead_letter(connection: psycopg.Connection, letter_id: UUID, letter: DeadLetter) -> None:
    """Have a message that is no request sent on; put again under the same id, it is one letter."""
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
