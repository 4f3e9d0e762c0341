"""The sync requests that a source brings to the inbox."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from connector_pipeline.model.events import DeadLetter
from connector_pipeline.model.sync_request import SyncRequest


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The messages that arrived, and the cursor to read on from once they are committed.

    `dead_letters` are the messages that are no sync request, each with an id of its own. `warnings`
    say to the operator which messages may have been lost.
    """

    cursor: str | None
    requests: Sequence[SyncRequest] = ()
    dead_letters: Sequence[tuple[UUID, DeadLetter]] = ()
    warnings: Sequence[str] = ()


Source = Callable[[str | None], Arrivals]
"""Reads a bounded number of messages after a cursor (None: from the beginning). Raises
ConnectorError."""
