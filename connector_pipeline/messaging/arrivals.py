"""What a source of sync requests brings to the inbox."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from connector_pipeline.model.events import DeadLetter
from connector_pipeline.model.sync_request import SyncRequest


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What arrived, and the cursor to go on from once it is committed.

    `dead_letters` are the messages that are no request, each with an id of its own. `warnings` are
    for the operator: something may have been lost.
    """

    cursor: str | None
    requests: Sequence[SyncRequest] = ()
    dead_letters: Sequence[tuple[UUID, DeadLetter]] = ()
    warnings: Sequence[str] = ()


Source = Callable[[str | None], Arrivals]
"""Reads on from a cursor (None: from the beginning), so many messages at most. Raises
ConnectorError."""
