"""The identity of a run: its id, the run that it retries, and the request that it serves."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """One run over one shop or many.

    `root_run_id` is the first run in a line of retries, or `run_id` if the run retries none.
    `is_retry`: Dagster made the run to retry one that crashed. `requested_sync_id` is the
    requester's id of the sync. It names one sync of one shop, so a run over many shops ignores it.
    """

    run_id: str
    root_run_id: str
    is_retry: bool = False
    requested_sync_id: str | None = None
    correlation_id: str | None = None
