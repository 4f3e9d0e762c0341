"""The processes of a deployment need the folder that holds dagster.yaml."""

import os
from pathlib import Path

from connector_pipeline.settings import SettingsError


def refuse_without_dagster_home() -> None:
    """Raise SettingsError unless DAGSTER_HOME is a folder with a dagster.yaml.

    Without one Dagster keeps its runs in a temporary folder, or launches them in ways of its own.
    """
    home = os.environ.get("DAGSTER_HOME")
    if not home:
        found = "not set; it is the folder that holds dagster.yaml"
    elif not (Path(home) / "dagster.yaml").is_file():
        found = "has no file dagster.yaml; `connector-pipeline init` writes one"
    else:
        return
    raise SettingsError([f"DAGSTER_HOME: {found}. Example: DAGSTER_HOME=/etc/connector"])
