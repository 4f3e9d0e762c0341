"""`connector-pipeline ui`: serves Dagster's UI behind the gate, in a deployment and in `dev`."""

import signal
from contextlib import suppress
from functools import partial
from pathlib import Path

from connector_pipeline.cli.dagster_home import refuse_without_dagster_home
from connector_pipeline.cli.listening import listening_socket
from connector_pipeline.model.extra import Extra, require
from connector_pipeline.settings import load_settings


def run_ui(
    *, host: str, port: int, workspace: Path | None, read_only: bool, path_prefix: str
) -> None:
    """Serve the UI until Ctrl-C or SIGTERM.

    Raises ExtraMissing, SettingsError, AddressUnusable.
    """
    require(Extra.UI)
    settings = load_settings()
    refuse_without_dagster_home()
    # Imported here: its packages are an extra.
    from connector_pipeline.ui.server import serve

    # Uvicorn sends itself the signal that ended it once more. A supervisor's stop is no failure.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # An operator ends it by Ctrl-C, which is no error.
    with suppress(KeyboardInterrupt):
        serve(
            settings,
            partial(listening_socket, host, port, server="the UI"),
            host=host,
            workspace=workspace,
            read_only=read_only,
            path_prefix=path_prefix,
        )
