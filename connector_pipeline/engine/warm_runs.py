"""Executes one run after the other in this process, as Dagster's own run worker executes one.

Needs: `_execute_run_command_body`, which is all of Dagster's run worker but its process; and
`capture_interrupts`. Tried with Dagster 1.13.27. A public function that executes a stored run in
this process would replace this module.

dagster_celery's task calls the same function. It opens Dagster's instance anew for each run; it
leaves SIGTERM with the handler of the run's end, by which the process ignores it from then on; it
executes a run again that is at work elsewhere, if the broker delivers it again; and it sees no
request to cancel a run.
"""

import logging
import os
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._cli.api import _execute_run_command_body  # pyright: ignore[reportPrivateUsage]
from dagster._utils.interrupts import capture_interrupts
from sqlalchemy.exc import SQLAlchemyError

Signs = Callable[[str], AbstractContextManager[bool]]
"""Shows the signs of life of a run until the end of the block. The value is whether this process
may execute the run: no other process ever has."""

CANCEL_POLL_SECONDS: Final = 2.0
KILLED_AFTER_SECONDS: Final = 50.0
"""A cancelled run that has not ended by then is ended with its process. Dagster's monitoring marks
it as ended a little later (dagster.yaml, `cancel_timeout_seconds`)."""

_LOST: Final = 70
_NOT_BEGUN: Final = (DagsterRunStatus.STARTING, DagsterRunStatus.NOT_STARTED)

_log: Final = logging.getLogger(__name__)


def execute_run(instance: DagsterInstance, run_id: str, signs: Signs) -> str:
    """Execute the run, unless it has ended or another process has begun it. Says what was done.

    The caller is the main thread of its process. A run whose end could not be recorded ends this
    process: then everybody can see that nothing works on it.
    """
    run = instance.get_run_by_id(run_id)
    if run is None:
        _log.error(
            f"run {run_id} is not in this deployment's Dagster storage: it was deleted, or another "
            "deployment uses the same broker, and its runs are lost here. Give each deployment a "
            "database of Redis of its own in CELERY_BROKER_URL."
        )
        return "gone"
    if run.status is DagsterRunStatus.CANCELING:
        instance.report_run_canceled(run, "The run was cancelled before a worker took it up.")
        return "cancelled"
    if run.status not in _NOT_BEGUN:
        return f"left alone: it is {run.status.value} already"
    with signs(run_id) as is_ours:
        if not is_ours:
            return "left alone: another process has begun it"
        _execute(instance, run)
    ended = instance.get_run_by_id(run_id)
    return "gone" if ended is None else ended.status.value


def _execute(instance: DagsterInstance, run: DagsterRun) -> None:
    with _own_signals(), capture_interrupts(), _interrupted_if_ended(instance, run.run_id):
        try:
            _execute_run_command_body(
                run_id=run.run_id,
                instance=instance,
                write_stream_fn=_to_nobody,
                set_exit_code_on_failure=True,
            )
            ended = instance.get_run_by_id(run.run_id)
            recorded = ended is None or ended.is_finished
        except SQLAlchemyError:
            recorded = False
        if not recorded:
            _log.error(f"the end of run {run.run_id} could not be recorded; its process ends, too")
            os._exit(_LOST)


def _to_nobody(_: Any) -> None:
    """Dagster has stored the event."""


@contextmanager
def _own_signals() -> Generator[None]:
    """Restore the handlers of the process: Dagster gives SIGTERM that of SIGINT at a run's end."""
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def _interrupted_if_ended(instance: DagsterInstance, run_id: str) -> Generator[None]:
    """Interrupt the run once somebody has cancelled it, or reported its end in this one's place."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(CANCEL_POLL_SECONDS):
            try:
                run = instance.get_run_by_id(run_id)
            except SQLAlchemyError:
                # The fence ends the run if the database stays away.
                continue
            if run is None or run.is_finished or run.status is DagsterRunStatus.CANCELING:
                break
        else:
            return
        if over.is_set():
            return
        os.kill(os.getpid(), signal.SIGTERM)
        if not over.wait(KILLED_AFTER_SECONDS):
            os.kill(os.getpid(), signal.SIGKILL)

    watching = threading.Thread(target=watch, name="cancelling", daemon=True)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()
