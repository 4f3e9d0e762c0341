"""Runs as forks of a warm process, which has imported Dagster and the project's definitions.

Dagster's code server starts a new Python for each run, which imports all of that again: 1.5 s of
CPU before anything is read. Here the code server has a child, the warm process, that imports once
and then does nothing but fork. Each run is a process of its own, as before: it can be cancelled and
killed alone, and its memory is freed with it.

The warm process has one thread, and no connection of any kind. It makes no use of gRPC, which does
not survive a fork. It is a child of its code server, so a server with new code has a warm process
with new code.

- It ends once its code server and all runs have ended, as each of them holds one end of a pipe. So
  the runs of a server that is killed go on to their end, as they do if each is a new Python.
- If it is killed, so are its runs, because the code server takes them for dead as soon as it is
  gone, and Dagster starts them again. The next run starts a new warm process.

Needs: `dagster._grpc.impl`, in which a run's process begins. Tried with Dagster 1.13.27.
"""

import atexit
import ctypes
import gc
import importlib
import logging
import os
import shutil
import signal
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.popen_forkserver import Popen
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

from connector_pipeline.engine.code_server import DEFINITIONS_MODULE
from connector_pipeline.engine.guarded_output import guard_dagsters_output
from connector_pipeline.platforms.http.connecting import tls

WARM_NAME: Final = "connector-warm"
RUN_NAME: Final = "connector-run"
"""The names of the processes, as `ps -o comm` and psutil show them."""

_PRELOADED: Final = "connector_pipeline.engine.warm_process"
USED_BY_RUNS: Final = (
    "dagster._core.execution.plan.active",
    "dagster._core.executor.in_process",
    "dagster._core.instance.factory",
    "dagster._core.secrets.env_file",
    "dagster._core.storage.local_compute_log_manager",
    "dagster._core.storage.root",
    "dagster._core.system_config.composite_descent",
    "dagster._core.workspace.autodiscovery",
    "dagster._grpc.impl",
    "dagster._utils.test.definitions",
    "connector_pipeline.engine.run_coordinator",
    "connector_pipeline.engine.run_launcher",
    "connector_pipeline.engine.storage",
    "connector_pipeline.platforms.http.connections",
    "_strptime",
    "anyio._backends._asyncio",
    "fsspec.implementations.chained",
    "httpcore",
    "psycopg2.extras",
    "upath.implementations.local",
)
"""What a run imports beside the definitions. Other processes do without, so it is imported late."""
_SOCKETS: Final = "pymp-"
"""How `multiprocessing` begins the name of the folder in TMPDIR that has the process's socket."""
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NAME: Final = 15

_log: Final = logging.getLogger("dagster.code_server")
_warm_process: list[int] = []
"""The pid of the warm process, in itself and in its forks."""


def warm_context() -> ForkServerContext:
    """The `multiprocessing` context whose processes are forks. Starts the warm process.

    Raises OSError if it cannot be started, e.g. if no folder is left for its socket.
    """
    forkserver.set_forkserver_preload([_PRELOADED])
    forkserver.ensure_running()
    return _WarmContext()


class ForkedRun(ForkServerProcess):
    """The process of a run."""

    def run(self) -> None:
        """Execute the run, in its own process."""
        _become_a_run()
        super().run()

    @staticmethod
    def _Popen(process_obj: BaseProcess) -> Popen:  # noqa: N802  # its name there
        try:
            return Popen(process_obj)
        except (OSError, EOFError):
            # The warm process was killed at this very moment. Another one is started.
            return Popen(process_obj)


class _WarmContext(ForkServerContext):
    Process = ForkedRun


def become_warm() -> None:
    """Import what runs need. This process is the warm one from now on.

    Code that cannot be imported here cannot in the runs, whose failures say why.
    """
    guard_dagsters_output()
    _warm_process.append(os.getpid())
    _name_process(WARM_NAME)
    # The end of the code server ends it. A signal to the whole group must not end the runs.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    atexit.register(_remove_sockets)
    try:
        importlib.import_module(DEFINITIONS_MODULE).defs.get_repository_def().get_all_jobs()
        for module in USED_BY_RUNS:
            importlib.import_module(module)
        # Reading the authorities' certificates takes as long as a request.
        tls()
    except Exception:
        _log.exception("What runs need could not all be loaded before; each run loads the rest.")
    # Else a run's garbage collector would write to pages that are shared with it.
    gc.collect()
    gc.freeze()


def _become_a_run() -> None:
    _name_process(RUN_NAME)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != _warm_process[0]:
        # It was killed before we asked to end with it.
        os._exit(1)


def _remove_sockets() -> None:
    """Remove the folder that a code server which was killed has left. Others remove it."""
    if os.getpid() not in _warm_process:
        return
    # The module has no public name for it.
    address: object = vars(forkserver)["_forkserver"].__dict__.get("_forkserver_address")
    if isinstance(address, str) and Path(address).parent.name.startswith(_SOCKETS):
        shutil.rmtree(Path(address).parent, ignore_errors=True)


def _name_process(name: str) -> None:
    _prctl(_PR_SET_NAME, name.encode())


def _prctl(option: int, value: int | bytes) -> None:
    ctypes.CDLL(None).prctl(option, value)
