"""`connector-pipeline code-server`: serves the project's definitions to web server and daemon."""

import errno
import hashlib
import os
import signal
import socket
import stat
import sys
from pathlib import Path
from typing import Final

import typer

from connector_pipeline.cli.dagster_home import refuse_without_dagster_home
from connector_pipeline.engine.code_server import code_server_command, serves
from connector_pipeline.model.code_server_address import CodeServerAddress, parse_code_server
from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.private_files import make_private_folder
from connector_pipeline.settings import load_settings

_CHECKED_SECONDS: Final = 5.0


class CodeServerUnusable(ConnectorError):
    """The code server cannot listen where it was asked to, or none answers there."""

    default_remedy = "End the process that listens there, or set CONNECTOR_CODE_SERVER to another."


def run_code_server(*, listen: str | None, check: bool) -> None:
    """Become the code server, which ends by SIGTERM once its runs have ended; or look for one.

    It listens at CONNECTOR_CODE_SERVER, or at `listen` where that is the address by which others
    reach it. Raises SettingsError, CodeServerUnusable, and typer.BadParameter for `listen`.
    """
    address = load_settings().code_server if listen is None else _written(listen)
    if check:
        if not serves(address, within=_CHECKED_SECONDS):
            raise CodeServerUnusable(
                f"no code server answers at {address}.",
                remedy="Start one: `connector-pipeline code-server`.",
            )
        return
    refuse_without_dagster_home()
    _hold(address)
    refuse_taken(address)
    # A shell script that starts it with `&` has it ignore SIGINT, and Dagster gives SIGTERM the
    # handler of SIGINT: the server could not be stopped, nor its runs cancelled.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    command = code_server_command(address)
    # Not a child: signals reach the server itself, and its end is ours.
    os.execv(command[0], command)  # noqa: S606  our own command, without a shell


def _hold(address: CodeServerAddress) -> None:
    """Raise CodeServerUnusable if another of these commands holds the address, or hold it.

    It is held until this process ends, whatever it becomes. A server that was started at the same
    moment listens only seconds later, when it has imported the code.
    """
    if sys.platform != "linux":
        return
    name = hashlib.sha256(f"connector-pipeline code-server {address}".encode()).hexdigest()
    holder = socket.socket(socket.AF_UNIX)
    try:
        # Not a file: the kernel forgets the name with the process, and keeps it as it keeps ports.
        holder.bind(f"\0{name}")
    except OSError as error:
        holder.close()
        raise _unusable(address, error) from None
    # Of the server alone: the processes that Dagster starts for runs inherit nothing.
    os.set_inheritable(holder.detach(), True)


def refuse_taken(address: CodeServerAddress) -> None:
    """Raise CodeServerUnusable if nothing can listen there, or something does.

    gRPC would take the place of a server at the same socket, and share the port of another one: its
    requests would reach either, and runs the wrong code.
    """
    if address.socket is not None:
        _refuse_socket(Path(address.socket))
        return
    host = address.host.strip("[]")
    try:
        found = socket.getaddrinfo(host, address.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise _unusable(address, error) from None
    for family, kind, protocol, _, where in found:
        with socket.socket(family, kind, protocol) as probe:
            # Without SO_REUSEPORT, which gRPC sets: Linux then refuses a port that is listened on.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(where)
                probe.listen()
            except OSError as error:
                raise _unusable(address, error) from None


def _refuse_socket(path: Path) -> None:
    if not path.parent.exists():
        # Whoever may connect can launch runs.
        make_private_folder(path.parent)
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise CodeServerUnusable(
                f"{path} is a file, and no socket.", remedy="Set CONNECTOR_CODE_SERVER to another."
            )
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_CHECKED_SECONDS)
        if probe.connect_ex(str(path)) not in (errno.ECONNREFUSED, errno.ENOENT):
            raise CodeServerUnusable(f"another process listens at {path}.")


def _unusable(address: CodeServerAddress, error: OSError) -> CodeServerUnusable:
    if error.errno == errno.EADDRINUSE:
        return CodeServerUnusable(f"another process listens at {address}.")
    return CodeServerUnusable(f"the code server cannot listen at {address}: {error.strerror}.")


def _written(listen: str) -> CodeServerAddress:
    try:
        return parse_code_server(listen)
    except ValueError as error:
        raise typer.BadParameter(
            f"{error}. Example: --listen 0.0.0.0:4266", param_hint="--listen"
        ) from None
