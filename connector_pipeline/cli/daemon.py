"""`connector-pipeline daemon`: runs sensors, schedules, the queue of runs and their retries."""

from pathlib import Path
from typing import Final

from connector_pipeline.cli.dagster_home import refuse_without_dagster_home
from connector_pipeline.engine.storage_server import storage_connection
from connector_pipeline.engine.stored_heartbeats import heartbeat_age
from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.settings import SettingsError, load_settings

_ALIVE_SECONDS: Final = 90.0
"""A daemon stores a heartbeat every 30 s."""


class NoDaemon(ConnectorError):
    """No daemon has stored a heartbeat of late."""

    default_remedy = "Start one, or look at the log of the one that runs."


def run_daemon(*, workspace: Path | None, check: bool) -> None:
    """Run the daemon until Ctrl-C or SIGTERM; or look whether one has run sensors within 90 s.

    It uses the code server at CONNECTOR_CODE_SERVER, or those of the workspace file. Raises
    SettingsError, StorageUnavailable; NoDaemon.
    """
    settings = load_settings()
    if check:
        if settings.dagster_postgres_url is None:
            raise SettingsError(["DAGSTER_POSTGRES_URL: not set, and --check looks there."])
        with storage_connection(settings.dagster_postgres_url.get_secret_value()) as connection:
            age = heartbeat_age(connection)
        if age is None or age >= _ALIVE_SECONDS:
            last = "never" if age is None else f"{age:.0f} s ago"
            raise NoDaemon(f"the last heartbeat of a daemon was {last}.")
        return
    refuse_without_dagster_home()
    # Imported here: it brings Dagster, which --check does without.
    from connector_pipeline.engine.code_location import workspace_target
    from connector_pipeline.engine.daemon import run

    run(workspace_target(workspace, settings.code_server))
