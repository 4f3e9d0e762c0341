"""Tells a sync that waits for a platform's work when a webhook says that it is done."""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from connector_pipeline.model.errors import DatabaseUnavailable
from connector_pipeline.postgres.database import Database
from connector_pipeline.state import hints
from connector_pipeline.sync.interruptible import in_thread

_EVERY: Final = 1.0
_CLOCKS_DIFFER: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Announcements:
    """The hints about one shop that arrived lately. The receiver and the sync share the database.

    They are read from their table, not listened for: a sync waits behind PgBouncer, too.
    """

    database: Database
    platform_name: str
    domain: str

    async def __call__(self, token: str, seconds: float) -> bool:
        """Wait until a hint with this token has arrived; False if it has not within the time.

        A database that cannot be asked announces nothing: the sync goes on as without webhooks.
        """
        since = datetime.now(UTC) - timedelta(seconds=seconds) - _CLOCKS_DIFFER
        until = time.monotonic() + seconds
        while True:
            if await in_thread(self._arrived, token, since):
                return True
            left = until - time.monotonic()
            if left <= 0:
                return False
            await asyncio.sleep(min(_EVERY, left))

    def _arrived(self, token: str, since: datetime) -> bool:
        try:
            with self.database.connect() as connection:
                return hints.arrived(
                    connection, self.platform_name, self.domain, token, since=since
                )
        except DatabaseUnavailable:
            return False
