"""A Celery worker that executes runs in warm processes: its settings, its start and its stop.

Needs: the name of dagster_celery's task and the form of its argument (`ExecuteRunArgs`), because
its launcher sends both, and of Celery the signals of a worker's life and `worker.state`, which
knows the processes at work. Tried with dagster-celery 0.29.27 and Celery 5.7.0. A task of
dagster_celery that takes an instance to execute with would replace the first part.

One process executes one run at a time, and a run is never in two threads of a process: each run of
an instance with a dagster.yaml configures logging anew, which beside another run ends in a deadlock
(docs/facts/dagster.md, Beyond one machine).

Messages are acknowledged after their run, and a worker takes no more of them than it has processes.
So no message waits in a busy worker while another one is free, and a worker that stops gives back
what it has not begun. The price is that Redis may deliver a message twice, for example after the
connection was lost in mid-run. The second delivery does nothing: each run is claimed in
`connector.run_workers` before it begins. A run whose process dies is not delivered again either:
Dagster retries it, as under every launcher.
"""

import gc
import os
import signal
import socket
import threading
import time
from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import Any, Final

from dagster import DagsterInstance
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import unpack_value
from dagster_celery.config import TASK_EXECUTE_JOB_NAME
from dagster_celery.make_app import make_app  # pyright: ignore[reportUnknownVariableType]

from connector_pipeline.engine.celery_broker import (
    CONFIG,
    QUEUE,
    REGISTERED_EVERY_SECONDS,
    BrokerUnavailable,
    Workers,
)
from connector_pipeline.engine.warm_runs import Signs, execute_run

# Celery has no types.
_signals: Any = import_module("celery.signals")
_state: Any = import_module("celery.worker.state")

RUNS_PER_PROCESS: Final = 200
MEMORY_PER_PROCESS_KB: Final = 750_000
"""Then a process is replaced after its run, by a fork of the parent that is as warm. Nothing of a
run is known to stay behind: this bounds what is not known."""

CLEANS_UP_WITHIN_SECONDS: Final = 20.0
"""An interrupted run records how its shops ended. Then its process is killed."""


class WarmWorker:
    """One worker: a parent that imports everything once, and `processes` forks of it."""

    def __init__(self, broker: str, *, processes: int, finish_within: float, signs: Signs):
        self._workers = Workers(broker)
        self._processes = processes
        self._finish_within = finish_within
        self._name = f"{socket.gethostname()}-{os.getpid()}"
        self._app = _app(broker, processes, signs)
        self._registering: Any = None
        self._leaves = False
        _signals.worker_ready.connect(self._ready, weak=False)
        _signals.worker_shutting_down.connect(self._stopping, weak=False)

    def run(self) -> int:
        """Work until SIGTERM or SIGINT; returns the exit status. Raises BrokerUnavailable.

        The runs at work have `finish_within` seconds to end. Then they are interrupted, as if their
        process had been lost: Dagster retries them, in another worker.
        """
        self._workers.living_processes()
        # Never search again what all the forks share: it would be copied for each.
        gc.collect()
        gc.freeze()
        worker: Any = self._app.Worker(
            hostname=f"{self._name}@{socket.gethostname()}",
            pool="prefork",
            concurrency=self._processes,
            loglevel="INFO",
            quiet=True,
            queues=QUEUE,
            without_gossip=True,
            without_mingle=True,
        )
        worker.start()
        return int(worker.exitcode or 0)

    def _ready(self, sender: Any, **_: Any) -> None:
        """Register now and from time to time; also after each new connection to the broker."""
        if self._registering is not None:
            self._registering.cancel()
        self._registering = sender.timer.call_repeatedly(REGISTERED_EVERY_SECONDS, self._register)
        self._register()

    def _register(self) -> None:
        if self._leaves:
            return
        # Celery itself connects again and again. Meanwhile nobody can ask how many workers live.
        with suppress(BrokerUnavailable):
            self._workers.register(self._name, self._processes)

    def _stopping(self, **_: Any) -> None:
        """In a signal handler of the parent: Celery takes no more messages from now on."""
        # Its timer goes on while runs end.
        self._leaves = True
        threading.Thread(target=self._stop, name="stopping", daemon=True).start()

    def _stop(self) -> None:
        with suppress(BrokerUnavailable):
            self._workers.leave(self._name, self._processes)
        if _nobody_works_after(self._finish_within):
            return
        _signal_processes(signal.SIGTERM)
        if not _nobody_works_after(CLEANS_UP_WITHIN_SECONDS):
            _signal_processes(signal.SIGKILL)


def _app(broker: str, processes: int, signs: Signs) -> Any:
    made: Any = make_app(
        {"broker": broker, "backend": None, "config_source": dict(CONFIG), "set_as_current": True}
    )
    made.conf.update(
        task_default_queue=QUEUE,
        task_acks_late=True,
        # A lost process: Dagster retries its run, and Celery must not.
        task_reject_on_worker_lost=False,
        # The runs go on, and the messages that come again do nothing.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_concurrency=processes,
        worker_prefetch_multiplier=1,
        worker_max_tasks_per_child=RUNS_PER_PROCESS,
        worker_max_memory_per_child=MEMORY_PER_PROCESS_KB,
        # Dagster writes its own log, and reads what a run prints.
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
        # Nobody asks the workers anything: Dagster's storage has all answers.
        worker_enable_remote_control=False,
    )

    def execute(execute_job_args_packed: Any) -> str:
        args = unpack_value(execute_job_args_packed, as_type=ExecuteRunArgs)
        return execute_run(_instance(), args.run_id, signs)

    made.task(name=TASK_EXECUTE_JOB_NAME)(execute)
    return made


@cache
def _instance() -> DagsterInstance:
    """The instance of this process, opened for its first run and kept with its connections."""
    return DagsterInstance.get()


def _nobody_works_after(seconds: float) -> bool:
    until = time.monotonic() + seconds
    while _at_work():
        if time.monotonic() >= until:
            return False
        time.sleep(0.1)
    return True


def _at_work() -> list[int]:
    """The processes that execute a run now."""
    requests: list[Any] = list(_state.active_requests)
    return [request.worker_pid for request in requests if request.worker_pid is not None]


def _signal_processes(number: signal.Signals) -> None:
    for pid in _at_work():
        with suppress(ProcessLookupError):
            os.kill(pid, number)
