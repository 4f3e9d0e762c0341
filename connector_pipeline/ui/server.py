"""The server of the UI: Dagster's web server behind the gate."""

from pathlib import Path
from typing import Final

import uvicorn

from connector_pipeline.engine.webserver import webserver_app
from connector_pipeline.settings import Settings
from connector_pipeline.ui.addresses import normal_name
from connector_pipeline.ui.gate import Gate

_GRACE_SECONDS: Final = 5
"""How long an open request may go on after the server was asked to end. WebSockets end at once."""


def serve(
    settings: Settings,
    *,
    host: str,
    port: int,
    workspace: Path,
    read_only: bool,
    path_prefix: str,
) -> None:
    """Serve the UI on `host` and `port` until SIGINT or SIGTERM. Exits with 1 if the port is taken.

    `workspace` is the file that names the code server; `path_prefix` the path below which a proxy
    has the UI, `''` or `/` and a name. Raises SettingsError if Dagster's storage is not set.
    """
    written = (host, *filter(None, settings.connector_ui_hosts.split(",")))
    names = {name for name in map(normal_name, written) if name is not None}
    with webserver_app(workspace, read_only=read_only, path_prefix=path_prefix) as app:
        uvicorn.run(
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
