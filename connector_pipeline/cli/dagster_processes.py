"""Dagster's processes under `connector-pipeline dev`: code server, webserver, daemon."""

import json
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psutil

from connector_pipeline.cli.own_runs import OwnRuns
from connector_pipeline.cli.ports import free_port
from connector_pipeline.cli.socket_folder import SocketFolder, answers
from connector_pipeline.cli.supervisor import Child, ChildEnded, Supervisor
from connector_pipeline.engine.code_server import grpc_server, reloading_code_server_command
from connector_pipeline.engine.daemon import daemon_command
from connector_pipeline.model.code_server_address import CodeServerAddress
from connector_pipeline.postgres.database import Database
from connector_pipeline.private_files import make_private_folder
from connector_pipeline.state import looking_on

_START_PATIENCE: Final = 120.0
_STOP_PATIENCE: Final = 20.0
_TRIES: Final = 5


class DagsterProcesses:
    """The three processes. Webserver and daemon share one code server: it imports our code once."""

    def __init__(self, supervisor: Supervisor, own_runs: OwnRuns, home: Path):
        self._supervisor = supervisor
        self._own_runs = own_runs
        self._workspace = home / "dagster" / "workspace.yaml"
        self._daemon: Child | None = None
        # The code server listens on a socket and not on a port: gRPC lets two servers share a port,
        # and a second `dev` on this machine would launch its runs with our settings.
        self._sockets = SocketFolder()

    def start(self, port: int) -> str:
        """Start all three and wait until the UI answers. Returns its URL.

        The UI is on `port` or the next free one. Raises ChildEnded if one of the processes ends,
        or if the UI does not answer in time.
        """
        self._own_runs.fail_lost()
        code_socket = self._sockets.socket
        self._own_runs.begin(code_socket)
        self._supervisor.start("code-server", reloading_code_server_command(code_socket))
        self._write_workspace(code_socket)
        # A webserver that finds no code server shows an error until somebody reloads it.
        self._wait_until("the code server", lambda: answers(code_socket))
        self._daemon = self._supervisor.start("daemon", daemon_command(self._workspace))
        for _ in range(_TRIES):
            port = free_port(port)
            if self._started_webserver(port):
                return f"http://127.0.0.1:{port}"
        raise ChildEnded(f"the webserver found no free port from {port} on in {_TRIES} tries.")

    def _started_webserver(self, port: int) -> bool:
        """Start the webserver. Returns False if another process took the port meanwhile."""
        webserver = self._supervisor.start(
            "webserver",
            (
                *(sys.executable, "-m", "connector_pipeline.cli", "ui", "--host", "127.0.0.1"),
                *("--port", str(port), "--workspace", str(self._workspace)),
            ),
        )
        url = f"http://127.0.0.1:{port}"
        try:
            self._wait_until(f"the webserver at {url}", lambda: _has_loaded(url))
            if has_port(webserver, port):
                return True
        except ChildEnded:
            if webserver.process.poll() is None or free_port(port) == port:
                raise
        self._supervisor.stop(webserver, patience=_STOP_PATIENCE)
        return False

    def check(self) -> None:
        """Raise ChildEnded if one of the processes has ended."""
        self._supervisor.check()
        self._own_runs.note_daemon()

    def stop(self) -> None:
        """Stop the daemon, cancel the runs under way, then stop the other processes."""
        if self._daemon is not None:
            # The daemon waits for its ticks, and that of the queue may look on for seconds.
            with looking_on.forbidden(Database()):
                self._supervisor.stop(self._daemon, patience=_STOP_PATIENCE)
        try:
            self._own_runs.cancel()
        finally:
            # Even if the database does not answer, no process may be left behind.
            self._stop_all()
        self._own_runs.fail_lost()

    def abandon(self) -> None:
        """Stop the processes as if all had crashed, so that the next `start` retries the runs.

        For the case that one of them or the database has ended. Dagster never retries a cancelled
        run, and nobody cancelled these.
        """
        self._stop_all()

    def _stop_all(self) -> None:
        self._supervisor.stop_all(patience=_STOP_PATIENCE)
        self._sockets.remove()

    def _write_workspace(self, code_socket: Path) -> None:
        make_private_folder(self._workspace.parent)
        server = grpc_server(CodeServerAddress("localhost", None, str(code_socket)))
        # JSON is YAML, too.
        self._workspace.write_text(json.dumps({"load_from": [{"grpc_server": server}]}))

    def _wait_until(self, server: str, ready: Callable[[], bool]) -> None:
        until = time.monotonic() + _START_PATIENCE
        while not ready():
            self._supervisor.check()
            if time.monotonic() > until:
                raise ChildEnded(f"{server} did not answer within {_START_PATIENCE:.0f} s.")
            time.sleep(0.1)


def has_port(child: Child, port: int) -> bool:
    """Whether this child listens on the port: another user's webserver answers like ours."""
    try:
        found = psutil.Process(child.process.pid).net_connections("inet")
    except psutil.Error:
        return False
    return any(
        connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
        for connection in found
    )


_LOCATIONS: Final = "{ workspaceOrError { ... on Workspace { locationEntries { loadStatus } } } }"


def _has_loaded(url: str) -> bool:
    request = urllib.request.Request(  # noqa: S310  our own webserver on loopback
        f"{url}/graphql",
        data=json.dumps({"query": _LOCATIONS}).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            entries = json.load(answer)["data"]["workspaceOrError"]["locationEntries"]
    except OSError:
        return False
    return bool(entries) and all(entry["loadStatus"] == "LOADED" for entry in entries)
