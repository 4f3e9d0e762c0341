"""Dagster's daemon of the run queue, which sees a run that waits within a fifth of a second.

Dagster's own looks at its queue at each interval of whole seconds, with half a second more between
two looks at the clock, and each time reads all runs under way. So a run waited for half a second
before it was launched, half of what a small sync takes. One statement tells whether a run waits
that was not there at the last look. Only then is all the rest read, or if runs wait and the
interval has passed, because others may have ended.

Needs: `QueuedRunCoordinatorDaemon`, its `core_loop`, which calls `run_iteration` and yields to have
heartbeats stored, `create_daemons_from_instance`, and the table `runs` with growing ids and its
index on the status. Tried with Dagster 1.13.27. An interval of less than a second that costs little
where nothing waits would replace this module.
"""

import sys
import time
from collections.abc import Sequence
from threading import Event
from typing import Any, Final, cast

from dagster import DagsterInstance
from dagster._core.workspace.context import IWorkspaceProcessContext
from dagster._daemon.controller import (
    create_daemons_from_instance,  # pyright: ignore[reportUnknownVariableType]  # partly untyped there
)
from dagster._daemon.daemon import DaemonIterator, SpanMarker
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon
from dagster._utils.error import serializable_error_info_from_exc_info
from dagster_postgres import PostgresRunStorage
from sqlalchemy import text

_LOOKS_EVERY: Final = 0.2
"""Seconds. A look takes 0.6 ms of a core, a look at all the rest 1.8 ms."""

# Without OFFSET, Postgres may read the whole table from its end to find the newest.
_NEWEST: Final = text(
    "SELECT max(id) FROM (SELECT id FROM runs WHERE status = 'QUEUED' OFFSET 0) AS waiting"
)


class PromptQueueDaemon(QueuedRunCoordinatorDaemon):
    """Looks at the queue when a run came into it, and at each interval while runs wait."""

    def core_loop(
        self, workspace_process_context: IWorkspaceProcessContext[Any], shutdown_event: Event
    ) -> DaemonIterator:
        """Launch runs until the process ends; yields often, and each error."""
        storage = workspace_process_context.instance.run_storage
        # Both are partly untyped there.
        loop, iteration = cast("Any", super()).core_loop, cast("Any", self).run_iteration
        if not isinstance(storage, PostgresRunStorage):
            yield from loop(workspace_process_context, shutdown_event)
            return
        seen, due = 0, 0.0
        while True:
            pause = _LOOKS_EVERY
            try:
                newest = _newest_that_waits(storage)
                if newest is not None and (newest > seen or time.monotonic() >= due):
                    seen, due = newest, time.monotonic() + self.interval_seconds
                    yield SpanMarker.START_SPAN
                    yield from iteration(workspace_process_context)
                    yield SpanMarker.END_SPAN
            except Exception:
                error = serializable_error_info_from_exc_info(sys.exc_info())
                self._logger.error("Caught error:\n%s", error)  # noqa: TRY400  the error says all
                yield error
                pause = self.interval_seconds
            shutdown_event.wait(pause)
            yield None


def daemons(instance: DagsterInstance) -> Sequence[Any]:
    """Those that Dagster would run for the instance, with this one in the place of its own."""
    made = cast("Sequence[Any]", create_daemons_from_instance(instance))
    return [
        PromptQueueDaemon(interval_seconds=daemon.interval_seconds)
        if type(daemon) is QueuedRunCoordinatorDaemon
        else daemon
        for daemon in made
    ]


def _newest_that_waits(storage: PostgresRunStorage) -> int | None:
    with storage.connect() as connection:
        return connection.execute(_NEWEST).scalar()
