"""The tags by which Dagster marks its runs, under Dagster's own names.

Needs: the constants of `dagster._core.storage.tags`, and `RunFailureReason`. Tried with Dagster
1.13.27. Dagster's UI and documentation (https://docs.dagster.io/guides/build/jobs) show the tags,
but no public module exports their names. A public module of tag names would replace this one.
"""

from typing import Final

from dagster import DagsterRun
from dagster._core.events import RunFailureReason
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    AUTO_RETRY_RUN_ID_TAG,
    GRPC_INFO_TAG,
    PARTITION_NAME_TAG,
    PRIORITY_TAG,
    RETRY_NUMBER_TAG,
    ROOT_RUN_ID_TAG,
    RUN_FAILURE_REASON_TAG,
    RUN_KEY_TAG,
    WILL_RETRY_TAG,
)

PARTITION: Final = PARTITION_NAME_TAG
RANGE_START: Final = ASSET_PARTITION_RANGE_START_TAG
RANGE_END: Final = ASSET_PARTITION_RANGE_END_TAG
RUN_KEY: Final = RUN_KEY_TAG
ROOT_RUN_ID: Final = ROOT_RUN_ID_TAG
RETRY_NUMBER: Final = RETRY_NUMBER_TAG
WILL_RETRY: Final = WILL_RETRY_TAG
RETRIED_AS: Final = AUTO_RETRY_RUN_ID_TAG

EXECUTED_BY_A_COMMAND: Final = "connector/executed_by_a_command"
"""Our own tag: its value is the id of the run. Set by run_storage.py."""

BEHIND_OTHERS: Final = {PRIORITY_TAG: "-1"}
"""The tag of a run that waits in Dagster's queue until no run of normal priority waits there."""


def root_run_id(run: DagsterRun) -> str:
    """The id of the first run in this run's line of retries; its own id if it retries none."""
    return run.tags.get(ROOT_RUN_ID, run.run_id)


def is_automatic_retry(run: DagsterRun) -> bool:
    """Whether Dagster made the run to retry a crashed one. A person's re-execution is no retry.

    Dagster numbers the retries of its own making, and drops the number when a person re-executes
    such a run.
    """
    return RETRY_NUMBER in run.tags


def is_of_a_command(run: DagsterRun) -> bool:
    """Whether a command executes the run in its own process, ours or `dg launch`.

    Not if the run only executes such a run again: Dagster copies the tags of a run to its
    re-execution.
    """
    return run.tags.get(EXECUTED_BY_A_COMMAND) == run.run_id


def has_a_launched_worker(run: DagsterRun) -> bool:
    """Whether a code server launched the run. The project's commands execute their runs themselves.

    Only the default launcher sets this tag (docs/facts/dagster.md, Beyond one machine).
    """
    return GRPC_INFO_TAG in run.tags


def was_interrupted(run: DagsterRun) -> bool:
    """Whether SIGINT or SIGTERM to its process ended the run, without a request to cancel it.

    Dagster ends such a run as failed.
    """
    reason = run.tags.get(RUN_FAILURE_REASON_TAG)
    return reason == RunFailureReason.UNEXPECTED_TERMINATION.value
