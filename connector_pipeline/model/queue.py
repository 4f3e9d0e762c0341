"""The words of the queue of syncs, `connector.sync_queue`."""

from enum import StrEnum
from typing import Final


class QueueReason(StrEnum):
    """Why a shop waits for a sync.

    A `retry` takes the place of a sync whose run ended without a word about it.
    """

    REQUEST = "request"
    CHANGE = "change"
    RETRY = "retry"
    BACKFILL = "backfill"
    SWEEP = "sweep"


class QueueState(StrEnum):
    """How far a row of the queue is: `taken` means that Dagster was asked for a run of it."""

    WAITING = "waiting"
    TAKEN = "taken"
    ENDED = "ended"


class QueueOutcome(StrEnum):
    """How a row of the queue ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Lane(StrEnum):
    """Somebody waits for the shops of the foreground now, and for those of the background later."""

    FOREGROUND = "foreground"
    BACKGROUND = "background"


PRIORITIES: Final = {
    QueueReason.REQUEST: 0,
    QueueReason.CHANGE: 1,
    QueueReason.BACKFILL: 2,
    QueueReason.SWEEP: 3,
}
"""The lowest goes first. A `retry` keeps the priority of the row that it is of."""

LAST_OF_FOREGROUND: Final = PRIORITIES[QueueReason.CHANGE]
"""Rows up to this priority are of the foreground, and those that waited so long that they count as
much."""
