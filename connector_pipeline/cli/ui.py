"""`connector-pipeline ui`: serves Dagster's UI behind the gate, in a deployment and in `dev`."""

import os
from contextlib import suppress
from pathlib import Path

from connector_pipeline.model.extra import Extra, require
from connector_pipeline.settings import SettingsError, load_settings


def run_ui(*, host: str, port: int, workspace: Path, read_only: bool, path_prefix: str) -> None:
    """Serve the UI until Ctrl-C or SIGTERM.

    Raises ExtraMissing, SettingsError, AddressUnusable.
    """
    require(Extra.UI)
    settings = load_settings()
    if not os.environ.get("DAGSTER_HOME"):
        raise SettingsError(
            [
                "DAGSTER_HOME: not set; it is the folder that holds dagster.yaml. "
                "Example: DAGSTER_HOME=/etc/connector"
            ]
        )
    # Imported here: its packages are an extra.
    from connector_pipeline.ui.server import serve

    # An operator ends it by Ctrl-C, which is no error.
    with suppress(KeyboardInterrupt):
        serve(
            settings,
            host=host,
            port=port,
            workspace=workspace,
            read_only=read_only,
            path_prefix=path_prefix,
        )
