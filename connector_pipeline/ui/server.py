"""The server of the UI: Dagster's web server behind the gate."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

import uvicorn

from connector_pipeline.engine.code_location import workspace_target
from connector_pipeline.engine.webserver import webserver_app
from connector_pipeline.settings import Settings
from connector_pipeline.ui.addresses import normal_name
from connector_pipeline.ui.gate import Gate

_GRACE_SECONDS: Final = 5
"""How long an open request may go on after the server was asked to end. WebSockets end at once."""


def serve(
    settings: Settings,
    listen: Callable[[], socket.socket],
    *,
    host: str,
    workspace: Path | None,
    read_only: bool,
    path_prefix: str,
) -> None:
    """Serve the UI on the socket that `listen` opens, until SIGINT or SIGTERM.

    It is opened when the UI can answer: nobody waits at a port that is not served yet. `host` is
    where the operator had it listen, a name under which the gate lets it be asked. `workspace` is a
    file that names code servers, None for the one at CONNECTOR_CODE_SERVER; `path_prefix` the path
    below which a proxy has the UI, `''` or `/` and a name. Raises SettingsError if Dagster's
    storage is not set, and what `listen` raises.
    """
    written = (host, *filter(None, settings.connector_ui_hosts.split(",")))
    names = {name for name in map(normal_name, written) if name is not None}
    target = workspace_target(workspace, settings.code_server)
    with webserver_app(target, read_only=read_only, path_prefix=path_prefix) as app:
        config = uvicorn.Config(
            Gate(app, names),
            log_level="warning",
            access_log=False,
            server_header=False,
            # The gate judges what arrived, whatever a header says of an earlier hop.
            proxy_headers=False,
            lifespan="off",
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        with listen() as listening:
            uvicorn.Server(config).run(sockets=[listening])
