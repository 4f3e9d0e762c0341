"""Dagster's tags mean what the engine takes them to mean, on runs that Dagster makes."""

import os
import signal
import time

from dagster import (
    DagsterInstance,
    DagsterRunStatus,
    Definitions,
    OpExecutionContext,
    job,
    op,
)
from dagster._core.test_utils import create_run_for_test

from connector_pipeline.engine import run_tags


@op
def nothing() -> None:
    """Do nothing."""


@job(tags=run_tags.BEHIND_OTHERS)
def behind() -> None:
    """The job of a run that waits behind others."""
    nothing()


def test_the_names_are_those_that_dagster_writes_and_its_ui_shows() -> None:
    """Dagster's storage has them in its rows, so a new name would not find the old runs."""
    assert run_tags.PARTITION == "dagster/partition"
    assert run_tags.RANGE_START == "dagster/asset_partition_range_start"
    assert run_tags.RANGE_END == "dagster/asset_partition_range_end"
    assert run_tags.RUN_KEY == "dagster/run_key"
    assert run_tags.ROOT_RUN_ID == "dagster/root_run_id"
    assert run_tags.RETRY_NUMBER == "dagster/retry_number"
    assert run_tags.WILL_RETRY == "dagster/will_retry"
    assert run_tags.RETRIED_AS == "dagster/auto_retry_run_id"


def test_a_run_behind_others_has_the_priority_that_the_queue_reads() -> None:
    """The queue starts runs of the highest number first, and a run without the tag counts as 0."""
    found = Definitions(jobs=[behind]).resolve_job_def("behind")
    assert int(found.tags["dagster/priority"]) < 0


def test_a_run_is_its_own_root_until_it_is_retried() -> None:
    """A retry has its first run's id and a number; a person's re-execution has no number."""
    with DagsterInstance.ephemeral() as instance:
        first = create_run_for_test(instance, status=DagsterRunStatus.FAILURE)
        again = create_run_for_test(
            instance,
            tags={run_tags.ROOT_RUN_ID: first.run_id},
            root_run_id=first.run_id,
            parent_run_id=first.run_id,
        )
        retry = create_run_for_test(
            instance,
            tags={run_tags.ROOT_RUN_ID: first.run_id, run_tags.RETRY_NUMBER: "1"},
            root_run_id=first.run_id,
            parent_run_id=first.run_id,
        )
    assert [run_tags.root_run_id(run) for run in (first, again, retry)] == [first.run_id] * 3
    taken = [run_tags.is_automatic_retry(run) for run in (first, again, retry)]
    assert taken == [False, False, True]


@op
def interrupted_op(context: OpExecutionContext) -> None:
    """Get the signal of Ctrl-C, with or without a request to cancel the run before."""
    if "cancel" in context.run.tags:
        context.instance.report_run_canceling(context.run)
    os.kill(os.getpid(), signal.SIGINT)
    # Dagster raises its own exception here.
    time.sleep(60)


@job
def interrupted_job() -> None:
    """The job of a run whose process is interrupted."""
    interrupted_op()


@op
def failing_op() -> None:
    """Fail."""
    raise LookupError


@job
def failing_job() -> None:
    """The job of a run that fails by itself."""
    failing_op()


def test_a_run_was_interrupted_if_a_signal_ended_it() -> None:
    """Not if it failed by itself, nor if somebody cancelled it, for which it gets a signal, too."""
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    found: list[tuple[DagsterRunStatus, bool]] = []
    with DagsterInstance.ephemeral() as instance:
        for made, tags in (
            (interrupted_job, {}),
            (interrupted_job, {"cancel": "yes"}),
            (failing_job, {}),
        ):
            result = made.execute_in_process(
                instance=instance, tags=tags, run_config=quiet, raise_on_error=False
            )
            run = instance.get_run_by_id(result.run_id)
            assert run is not None
            found.append((run.status, run_tags.was_interrupted(run)))
    assert found == [
        (DagsterRunStatus.FAILURE, True),
        (DagsterRunStatus.CANCELED, False),
        (DagsterRunStatus.FAILURE, False),
    ]
