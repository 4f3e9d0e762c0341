"""`connector-pipeline init DIR`: writes the folder of a deployment."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from connector_pipeline.cli.env_file import env_file
from connector_pipeline.cli.json_output import print_json
from connector_pipeline.cli.local_services import instance_config
from connector_pipeline.cli.output import out
from connector_pipeline.engine.code_server import workspace_file
from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.postgres.roles import roles_sql
from connector_pipeline.private_files import write_private_file
from connector_pipeline.settings import Settings, load_settings

_README: Final = """\
# A deployment of connector-pipeline

`connector-pipeline init` wrote this folder. It is Dagster's DAGSTER_HOME, so it stays where it is.

1. As a superuser of Postgres: `createdb --template=template0 --encoding=UTF8 catalog` and
   `psql -v ON_ERROR_STOP=1 -f roles.sql catalog`. Give `connector_owner` a password, make a user
   in `connector_pipeline` and a database for Dagster that this user owns; the head of the file has
   the statements.
2. Fill in `connector.env`: at least CONNECTOR_DATABASE_URL, DAGSTER_POSTGRES_URL and
   TOKEN_SERVICE_URL.
3. In each shell, and in the service of each process: `set -a; . ./connector.env; set +a`
   (systemd: `EnvironmentFile=`).
4. As `connector_owner`, before each new version:
   `CONNECTOR_DATABASE_URL=postgresql://connector_owner:…@…/… connector-pipeline migrate`
5. `connector-pipeline doctor` looks whether everything can be reached.
6. Three processes, each by a supervisor that starts it again:
   `connector-pipeline code-server`, `connector-pipeline daemon`, `connector-pipeline ui`;
   with `RUN_LAUNCHER=celery` also `connector-pipeline worker`, at least one.
   The UI has no authentication: leave it on loopback, behind a proxy that has.
7. `connector-pipeline shops add SHOP --merchant-id M`, then
   `connector-pipeline sync SHOP --request`, and see the run in the UI.

SIGTERM ends each process. The code server first lets its runs end.
"""


class WouldOverwrite(ConnectorError):
    """The folder has files of the names that would be written."""

    default_remedy = "Name another folder, or move these files away. Nothing was written."


def run_init(folder: Path, *, as_json: bool) -> None:
    """Write the files, all or none. Raises SettingsError, WouldOverwrite, and OSError."""
    folder = folder.expanduser().absolute()
    files = deployment_files(folder, load_settings())
    if there := [name for name in files if os.path.lexists(folder / name)]:
        raise WouldOverwrite(f"{folder} has {', '.join(there)}.")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        if name == "connector.env":
            write_private_file(folder / name, text.encode())
        else:
            (folder / name).write_text(text)
    if as_json:
        print_json({"folder": str(folder), "files": list(files)})
    else:
        line = f"Wrote {', '.join(files)} to {folder}. README.md says what comes next."
        out.print(line, soft_wrap=True)


def deployment_files(folder: Path, settings: Settings) -> Mapping[str, str]:
    """The files of a deployment in this folder, by their names. They hold no secret."""
    known = {
        "connector_home": str(folder / "data"),
        "connector_code_server": settings.connector_code_server,
    }
    return {
        "README.md": _README,
        "connector.env": env_file(str(folder), known),
        "dagster.yaml": instance_config().read_text(),
        "roles.sql": roles_sql(),
        "workspace.yaml": workspace_file(settings.code_server),
    }
