"""The daemon looks at Dagster's queue when a run came into it, not only at each interval."""

from collections.abc import Iterator
from threading import Event
from typing import Any

from dagster import DagsterEvent, DagsterInstance, DagsterRunStatus
from dagster._core.test_utils import create_run_for_test
from dagster._daemon.controller import create_daemons_from_instance

from connector_pipeline.engine.queue_daemon import PromptQueueDaemon, daemons

A_DAY = 86_400


class Looking(PromptQueueDaemon):
    """Launches nothing, as if all runs were taken."""

    looks = 0
    fails = False

    def run_iteration(self, *_: Any, **__: Any) -> Iterator[None]:
        """Count the looks at the whole queue."""
        self.looks += 1
        if self.fails:
            raise LookupError
        yield None


class Daemon:
    """The loop of a daemon, turned by hand."""

    def __init__(self, instance: DagsterInstance, interval: int):
        self.made = Looking(interval_seconds=interval)
        # Dagster's context holds no more that this loop reads.
        context: Any = type("Context", (), {"instance": instance})
        at_once = Event()
        at_once.set()
        self._loop = self.made.core_loop(context, at_once)

    def looks(self) -> int:
        """How often it looks at the whole queue in a few turns."""
        before = self.made.looks
        for _ in range(12):
            next(self._loop)
        return self.made.looks - before


def enqueue(instance: DagsterInstance) -> None:
    """Put a run into Dagster's queue, as its coordinator does."""
    run = create_run_for_test(instance)
    instance.report_dagster_event(DagsterEvent.job_enqueue(run), run_id=run.run_id)


def test_a_run_that_comes_into_the_queue_is_looked_at_at_once(
    stored_instance: DagsterInstance,
) -> None:
    """And the next one, though the first still waits; nothing is read again in between."""
    daemon = Daemon(stored_instance, A_DAY)
    assert daemon.looks() == 0
    create_run_for_test(stored_instance, status=DagsterRunStatus.STARTED)
    assert daemon.looks() == 0
    for _ in range(2):
        enqueue(stored_instance)
        assert daemon.looks() == 1
        assert daemon.looks() == 0


def test_runs_that_wait_are_looked_at_again_when_the_interval_has_passed(
    stored_instance: DagsterInstance,
) -> None:
    """Others have ended meanwhile, or a bound is another. An error is the daemon's to keep."""
    daemon = Daemon(stored_instance, 0)
    enqueue(stored_instance)
    assert daemon.looks() > 1
    daemon.made.fails = True
    assert daemon.looks() > 1


def test_the_daemons_are_dagsters_and_this_one(stored_instance: DagsterInstance) -> None:
    """It has the place of Dagster's own, with dagster.yaml's interval."""
    theirs = create_daemons_from_instance(stored_instance)
    ours = daemons(stored_instance)
    assert [each.daemon_type() for each in ours] == [each.daemon_type() for each in theirs]
    [queue] = [each for each in ours if each.daemon_type() == "QUEUED_RUN_COORDINATOR"]
    assert isinstance(queue, PromptQueueDaemon)
