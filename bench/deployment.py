"""A deployment whose processes a bench may kill: a code server and a daemon, started alone."""

import json
import os
import random
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from connector_pipeline.cli.local_services import instance_config
from connector_pipeline.engine.code_server import reloading_code_server_command
from connector_pipeline.engine.daemon import daemon_command
from connector_pipeline.engine.forked_runs import RUN_NAME
from connector_pipeline.postgres.embedded.server import EmbeddedPostgres


class Process:
    """One of Dagster's processes in a group of its own, so that kill -9 ends its children, too."""

    def __init__(self, name: str, command: list[str], logs: Path):
        self.name, self._command, self._log = name, command, logs / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, start_new_session=True
            )

    @property
    def pid(self) -> int:
        """The process id while it runs; 0 otherwise."""
        return 0 if self._process is None else self._process.pid

    def kill(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def kill_worker(self) -> bool:
        """Kill one of its run workers at random; False if it has none."""
        workers: list[psutil.Process] = []
        with suppress(psutil.Error):
            if self._process is not None:
                workers = [
                    child
                    for child in psutil.Process(self._process.pid).children(recursive=True)
                    if child.name() == RUN_NAME
                ]
        if not workers:
            return False
        with suppress(psutil.Error):
            random.choice(workers).kill()
        return True


@dataclass(frozen=True, slots=True)
class Deployment:
    """The code server on its socket, and the daemon. Neither is started yet."""

    code: Process
    daemon: Process
    socket: Path

    def start_code(self) -> None:
        """Start the code server, also after it was killed, which leaves its socket behind."""
        self.socket.unlink(missing_ok=True)
        self.code.start()

    def kill(self) -> None:
        self.daemon.kill()
        self.code.kill()


def deployment(
    folder: Path, sandbox: Mapping[str, str], postgres: EmbeddedPostgres, **variables: str
) -> Deployment:
    """Set up a deployment in the folder, over these servers, with these settings besides.

    `sandbox` are the settings that lead to the sandbox. All settings are those of this process,
    too. Everything is as shipped, except that a dead worker is noticed sooner, and that no sweep at
    the full hour adds runs of its own.
    """
    home = folder / "dagster"
    home.mkdir()
    config = instance_config().read_text()
    config = config.replace("poll_interval_seconds: 30", "poll_interval_seconds: 5")
    config = config.replace("start_timeout_seconds: 180", "start_timeout_seconds: 120")
    (home / "dagster.yaml").write_text(config)
    os.environ |= dict(sandbox) | {
        "CONNECTOR_HOME": str(folder),
        "CONNECTOR_DATABASE_URL": postgres.url("catalog"),
        "DAGSTER_POSTGRES_URL": postgres.dagster_url,
        "DAGSTER_HOME": str(home),
        "RAW_ARCHIVE_URL": str(folder / "raw"),
        "SYNC_CRON": "0 0 1 1 *",
        **variables,
    }
    socket, workspace = folder / "code", folder / "workspace.yaml"
    server = {"grpc_server": {"socket": str(socket), "location_name": "c"}}
    workspace.write_text(json.dumps({"load_from": [server]}))
    code = Process(
        "code",
        list(reloading_code_server_command(socket)),
        folder,
    )
    daemon = Process(
        "daemon",
        list(daemon_command(workspace)),
        folder,
    )
    return Deployment(code, daemon, socket)
