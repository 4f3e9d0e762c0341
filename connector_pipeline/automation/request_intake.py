"""Take in what asks for syncs: requests from a source into the inbox, from there into the queue.

And hints, from where they arrived into the queue.
"""

import time
from datetime import datetime, timedelta
from typing import Final

from dagster import SensorEvaluationContext

from connector_pipeline.messaging.arrivals import Source
from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.platforms.adapters import adapter_classes
from connector_pipeline.postgres.database import Database
from connector_pipeline.state import gathering, inbox, looking_on, sync_queue
from connector_pipeline.state.outbox import put_dead_letter

ACCEPTED_AT_ONCE: Final = 1_000
ACCEPTED_A_TICK: Final = 10_000
HINTS_A_TICK: Final = 100_000
"""A tick may take 60 s."""
_LOOKS_EVERY_SECONDS: Final = 0.2
_ASKS_SOURCE_EVERY_SECONDS: Final = 1.0
_LOOKS_AGAIN_AFTER_SECONDS: Final = 1.0
"""A shop's next row, or the next run, waits for the end of one that is under way."""
_QUIET_SECONDS: Final = 0.05
_GATHERS_FOR_SECONDS: Final = 1.0
"""A tick waits until no more requests arrive, for at most so long, so that they share runs."""


class Intake:
    """Takes in requests and hints during one tick. `cursor`: where the source is read on from.

    A shop waits `hint_pause` after its first hint, so that more of them share a sync.
    """

    def __init__(
        self,
        context: SensorEvaluationContext,
        database: Database,
        source: Source | None,
        *,
        hint_pause: timedelta,
    ):
        self.cursor = context.cursor
        self._log = context.log
        self._database = database
        self._source = source
        self._source_works = True
        self._source_asked = time.monotonic()
        self._newest = 0
        self._hint_pause = hint_pause
        self._most_hinted = {name: each.most_hinted for name, each in adapter_classes().items()}
        self._looked_at: datetime | None = None

    def take_in(self) -> None:
        """Put what arrived into the queue. Raises DatabaseUnavailable."""
        self._ask_source()
        self._accept()
        self._take_hints()
        with self._database.connect() as connection:
            self._newest = sync_queue.newest(connection)
            _, self._looked_at = sync_queue.due_since(connection, None)

    def wait(self, until: float, *, shops_wait: bool) -> bool:
        """Wait until something arrives, and put it into the queue; where shops wait, for a second.

        Hints that arrive are put there meanwhile, and end the wait when their shop's pause does.

        Returns whether to look for runs to launch again: not after `until`, a time of the monotonic
        clock, nor once a process has forbidden ticks to look on. Raises DatabaseUnavailable.
        """
        again = time.monotonic() + _LOOKS_AGAIN_AFTER_SECONDS
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _LOOKS_EVERY_SECONDS))
            if time.monotonic() - self._source_asked > _ASKS_SOURCE_EVERY_SECONDS:
                self._ask_source()
            arrived, forbidden = self._look()
            if forbidden:
                return False
            if arrived:
                self._gather()
                self.take_in()
                return True
            if self._hinted_shop_is_due():
                return True
            if shops_wait and time.monotonic() >= again:
                return True
        return False

    def _gather(self) -> None:
        until = time.monotonic() + _GATHERS_FOR_SECONDS
        before, number = -1, self._number()
        while number != before and time.monotonic() < until:
            time.sleep(_QUIET_SECONDS)
            before, number = number, self._number()

    def _look(self) -> tuple[bool, bool]:
        """Whether something arrived, and whether no tick may look on."""
        with self._database.connect() as connection:
            arrived = inbox.arrived(connection) > 0 or sync_queue.newest(connection) > self._newest
            return arrived, looking_on.is_forbidden(connection)

    def _hinted_shop_is_due(self) -> bool:
        """Put hints into the queue, and say whether the pause of a shop is over."""
        with self._database.connect() as connection:
            hints_are_due = gathering.are_due(connection)
        if hints_are_due:
            self._take_hints()
        with self._database.connect() as connection:
            due, self._looked_at = sync_queue.due_since(connection, self._looked_at)
        return due

    def _take_hints(self) -> None:
        """Put the hints that are due into the queue. Their rows do not count as arrived."""
        for _ in range(0, HINTS_A_TICK, gathering.GATHERED_AT_ONCE):
            with self._database.connect() as connection:
                sync_queue.lock(connection)
                others_arrived = sync_queue.newest(connection) > self._newest
                gathered = gathering.gather(
                    connection, pause=self._hint_pause, most_hinted=self._most_hinted
                )
                if not others_arrived:
                    self._newest = sync_queue.newest(connection)
            if gathered < gathering.GATHERED_AT_ONCE:
                return

    def _number(self) -> int:
        with self._database.connect() as connection:
            return inbox.arrived(connection) + sync_queue.newest(connection)

    def _accept(self) -> None:
        for _ in range(0, ACCEPTED_A_TICK, ACCEPTED_AT_ONCE):
            with self._database.connect() as connection:
                accepted, refused = inbox.accept(connection, limit=ACCEPTED_AT_ONCE)
            if accepted + refused < ACCEPTED_AT_ONCE:
                return

    def _ask_source(self) -> None:
        """Put the requests of the source into the inbox, and move the cursor."""
        if self._source is None or not self._source_works:
            return
        self._source_asked = time.monotonic()
        try:
            arrivals = self._source(self.cursor)
        except ConnectorError as error:
            # Requests that come by SQL must not wait until the source works again. The next tick
            # asks it again.
            self._source_works = False
            self._log.warning(f"{error.code}: {error}")
            return
        for warning in arrivals.warnings:
            self._log.warning(warning)
        if arrivals.requests or arrivals.dead_letters:
            with self._database.connect() as connection:
                new = inbox.put(connection, arrivals.requests)
                for letter_id, letter in arrivals.dead_letters:
                    put_dead_letter(connection, letter_id, letter)
            self._log.info(
                f"{len(arrivals.requests)} requests arrived, {new} of them new, and "
                f"{len(arrivals.dead_letters)} messages that are no requests"
            )
        self.cursor = arrivals.cursor
