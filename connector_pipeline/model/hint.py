"""A hint: somebody says that something changed in a shop. It is a question to ask, never data."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

MOST_HINTED: Final = 250
"""A hinted sync asks for so many tokens at most, or for fewer where the platform's adapter says so.

A shop of more has an ordinary increment.
"""

LONGEST_TOKEN: Final = 255
"""Characters of a token."""


FINISHED_WORK: Final = "bulk/"
"""A token that begins so names work that the platform has finished for a sync of ours.

The sync that waits for it looks for it; no other sync is made of it.
"""


class HintSource(StrEnum):
    """Where a hint comes from: a webhook's delivery, or a look at the platform's change feed.

    `again` is a sync of ours whose question was not answered, or with an older state.
    """

    WEBHOOK = "webhook"
    FEED = "feed"
    AGAIN = "again"


@dataclass(frozen=True, slots=True)
class Hint:
    """Something changed in a shop, as the platform says.

    `topic` is the platform's own word for the occasion. `token` names what changed, in a form that
    the shop's adapter chooses and reads again; None means that anything may have changed.
    `changed_at` is when it changed by the platform's clock (UTC), None where that is not stated.
    """

    topic: str
    token: str | None = None
    changed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class HintedToken:
    """A token that a sync is to ask for.

    `changed_at` is the newest time that hints stated of it (UTC), None if none did. `asked` syncs
    have asked for it already and got no answer as new as that.
    """

    changed_at: datetime | None = None
    asked: int = 0

    def and_of(self, other: "HintedToken") -> "HintedToken":
        """Both as one: the newest change, which was asked for as rarely as either."""
        times = [each for each in (self.changed_at, other.changed_at) if each is not None]
        return HintedToken(max(times, default=None), min(self.asked, other.asked))
