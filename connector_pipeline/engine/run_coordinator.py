"""Dagster's queue of runs, bounded by the project's settings; dagster.yaml names this class.

Needs: `QueuedRunCoordinator` and its `get_run_queue_config`, which Dagster's daemon calls before
each look at the queue, and `RunQueueConfig`. Tried with Dagster 1.13.27. dagster.yaml's own
`max_concurrent_runs` is a number: it can read no variable that may be missing, and knows no workers
that come and go. A bound that may come from a callable would replace this module.
"""

import logging
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Final

from dagster._core.run_coordinator.queued_run_coordinator import (
    QueuedRunCoordinator,
    RunQueueConfig,
)

from connector_pipeline.settings import load_settings

MOST_RUNS_HERE: Final = 4
"""Runs at once with the default launcher, unless RUNS_AT_ONCE is set. One run already fetches many
shops at once, and more runs only share the same cores."""

_BACKGROUND: Final[Mapping[str, str]] = {"key": "connector/lane", "value": "background"}
_SAME_SHOP: Final[Mapping[str, Any]] = {
    "key": "dagster/partition",
    "value": {"applyLimitPerUniqueValue": True},
    "limit": 1,
}
"""Two runs of the same single shop would fetch it twice. Runs of a range lack this tag."""


class ConnectorRunCoordinator(QueuedRunCoordinator):
    """The queue that lets RUNS_AT_ONCE runs go on; by default as many as there are workers.

    With Celery there are never more than there are live worker processes: a run that the broker
    keeps for longer than `start_timeout_seconds` would be failed. Without a worker all runs wait
    here, for as long as it takes. The background lane leaves one run free for requests. An
    operator's `concurrency.runs` in dagster.yaml stands before all of this.
    """

    def get_run_queue_config(self) -> RunQueueConfig:
        """The bounds, as they are now."""
        most = self._most_runs()
        return (
            super()
            .get_run_queue_config()
            ._replace(
                max_concurrent_runs=most,
                tag_concurrency_limits=[{**_BACKGROUND, "limit": max(1, most - 1)}, _SAME_SHOP],
            )
        )

    def _most_runs(self) -> int:
        settings = load_settings()
        if settings.run_launcher == "celery":
            living = self._workers.living_processes()
            return living if settings.runs_at_once is None else min(living, settings.runs_at_once)
        return settings.runs_at_once or MOST_RUNS_HERE

    @cached_property
    def _workers(self) -> Any:
        # Imported here: its packages are an extra.
        from connector_pipeline.engine.celery_broker import Workers, broker_url

        return _Counted(Workers(broker_url(load_settings())))


class _Counted:
    """The number of worker processes; none while the broker cannot be asked, as none gets a run."""

    def __init__(self, workers: Any):
        self._workers = workers
        self._log = logging.getLogger(__name__)
        self._answers = True

    def living_processes(self) -> int:
        from connector_pipeline.engine.celery_broker import BrokerUnavailable

        try:
            found: int = self._workers.living_processes()
        except BrokerUnavailable as error:
            if self._answers:
                self._log.warning(f"no run is launched meanwhile. {error}")
            self._answers = False
            return 0
        self._answers = True
        return found
