"""How long Postgres may take: for a statement, for a lock, and for us between two statements."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of a session or of a transaction. None is no bound.

    `idle`: the server ends a session that leaves a transaction open and sends nothing for so long,
    and with it the locks of a process that hangs. `margin` is how much later than the bound of a
    statement we give up a server that has not answered.
    """

    statement: timedelta | None
    lock: timedelta
    idle: timedelta = timedelta(minutes=5)
    margin: timedelta = timedelta(seconds=15)

    def statements(self, scope: str = "SET") -> str:
        """The statements that set them; `scope` is SET or SET LOCAL."""
        values = {
            "statement_timeout": self.statement or timedelta(),
            "lock_timeout": self.lock,
            "idle_in_transaction_session_timeout": self.idle,
        }
        return "; ".join(
            f"{scope} {name} = {value // timedelta(milliseconds=1)}"
            for name, value in values.items()
        )

    @property
    def longest_silence(self) -> float | None:
        """Seconds after which a server that has not answered a statement hangs; None: never.

        The server itself ends a statement at its bound, so this is for one that cannot.
        """
        return None if self.statement is None else (self.statement + self.margin).total_seconds()


ORDINARY: Final = Limits(statement=timedelta(seconds=60), lock=timedelta(seconds=30))
"""For all that has no bounds of its own. The slowest such statements take a second or two."""

LOOKING: Final = Limits(
    statement=timedelta(seconds=10), lock=timedelta(seconds=5), margin=timedelta(seconds=2)
)
"""For commands that look and answer, such as `doctor`: a person waits for each."""

DELIVERING: Final = Limits(
    statement=timedelta(seconds=3), lock=timedelta(seconds=2), margin=timedelta(seconds=1)
)
"""For the receiver of webhooks: a platform waits for five seconds, and delivers again later."""

MIGRATING: Final = Limits(statement=None, lock=timedelta(seconds=30))
"""An index of millions of rows may take long. But whoever waits for a table's lock makes everybody
wait who comes to the table after him, so that wait is short."""

PRUNING: Final = Limits(statement=timedelta(minutes=10), lock=timedelta(seconds=30))
"""Deletes of days or months of history, in the background."""

DAGSTER_STORAGE: Final = Limits(statement=timedelta(minutes=30), lock=timedelta(minutes=1))
"""For Dagster's own tables. `dagster instance migrate` uses the same connections."""

DAGSTER_PAGES: Final = Limits(statement=timedelta(seconds=15), lock=timedelta(seconds=15))
"""For the pages of Dagster's UI: `dagster-webserver` gives a statement 15 s, too."""
