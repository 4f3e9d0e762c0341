"""The protocol between the client, which sends requests, and the pace, which times them."""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class PaceSignal(Enum):
    """The sign that one try of a request gives the pace of how busy the platform is."""

    ANSWERED = "answered"
    OVERLOADED = "overloaded"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Turn:
    """The leave that the pace gives to one try of a request.

    `under_way` counts the requests under way when the try began, itself included. `began` is the
    time of that, in seconds of the event loop's clock.
    """

    path: str
    under_way: int
    began: float


class Pacer(Protocol):
    """Decides when the origin may be asked. Every try of every request takes a turn."""

    async def enter(self, path: str) -> Turn:
        """Wait for a turn."""
        ...

    def leave(self, turn: Turn, signal: PaceSignal) -> None:
        """End a turn. It is called once for each turn, also after an error."""
        ...

    def pause(self, seconds: float) -> None:
        """Give no turn for this long, and count the seconds in the report."""
        ...
