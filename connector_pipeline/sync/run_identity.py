"""The identity of a run: its id, and the run that it retries."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """One run over one shop or many.

    `root_run_id` is the first run in a line of retries, or `run_id` if the run retries none.
    `is_retry`: Dagster made the run to retry one that crashed.
    """

    run_id: str
    root_run_id: str
    is_retry: bool = False
