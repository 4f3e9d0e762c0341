"""The server of the UI: Dagster's web server behind the gate."""

import socket
from pathlib import Path
from typing import Final

import uvicorn

from connector_pipeline.engine.code_location import workspace_target
from connector_pipeline.engine.webserver import webserver_app
from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.settings import Settings
from connector_pipeline.ui.addresses import normal_name
from connector_pipeline.ui.gate import Gate

_BACKLOG: Final = 2_048
_GRACE_SECONDS: Final = 5
"""How long an open request may go on after the server was asked to end. WebSockets end at once."""


class AddressUnusable(ConnectorError):
    """The UI cannot listen where it was asked to."""

    default_remedy = "End the process that listens there, or choose another --host or --port."


def serve(
    settings: Settings,
    *,
    host: str,
    port: int,
    workspace: Path | None,
    read_only: bool,
    path_prefix: str,
) -> None:
    """Serve the UI on `host` and `port` until SIGINT or SIGTERM.

    `workspace` is a file that names code servers, None for the one at CONNECTOR_CODE_SERVER;
    `path_prefix` the path below which a proxy
    has the UI, `''` or `/` and a name. Raises SettingsError if Dagster's storage is not set,
    AddressUnusable.
    """
    written = (host, *filter(None, settings.connector_ui_hosts.split(",")))
    names = {name for name in map(normal_name, written) if name is not None}
    target = workspace_target(workspace, settings.code_server)
    with webserver_app(target, read_only=read_only, path_prefix=path_prefix) as app:
        config = uvicorn.Config(
            Gate(app, names),
            host=host,
            port=port,
            log_level="warning",
            access_log=False,
            server_header=False,
            # The gate judges what arrived, whatever a header says of an earlier hop.
            proxy_headers=False,
            lifespan="off",
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        with _listening(host, port) as listening:
            uvicorn.Server(config).run(sockets=[listening])


def _listening(host: str, port: int) -> socket.socket:
    # uvicorn would end the process by itself, with a status that no other command has.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise AddressUnusable(
            f"the UI cannot listen on {host} port {port}: {error.strerror}."
        ) from None
