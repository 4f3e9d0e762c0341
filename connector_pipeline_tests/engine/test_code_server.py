"""The code server's command, its address, and the one name of the code location."""

import subprocess
import tomllib
from pathlib import Path

import pytest
from dagster import Definitions
from dagster._core.definitions.repository_definition import SINGLETON_REPOSITORY_NAME
from dagster._core.workspace.load_target import WorkspaceFileTarget

from connector_pipeline.engine.code_location import workspace_target
from connector_pipeline.engine.code_server import LOCATION_NAME, code_server_command
from connector_pipeline.model.code_server_address import parse_code_server

PROJECT = Path(__file__).parents[2]


@pytest.mark.parametrize("address", ["127.0.0.1:4266", "/run/connector/code"])
def test_the_installed_dagster_has_the_command(address: str) -> None:
    """Its help names the options that the project gives it; none of them asks for a heartbeat."""
    command = code_server_command(parse_code_server(address))
    options = [word for word in command[5:] if word.startswith("--")]
    found = subprocess.run(
        [*command[:5], "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert all(option in found for option in options)
    assert "--heartbeat" not in options


def test_a_file_and_the_setting_make_the_same_workspace() -> None:
    """The daemon keeps the cursors of sensors under this name, and the UI shows them."""
    [by_file] = WorkspaceFileTarget([str(PROJECT / "workspace.yaml")]).create_origins()
    [by_setting] = workspace_target(None, parse_code_server("127.0.0.1:4266")).create_origins()
    assert by_file == by_setting
    assert by_file.location_name == LOCATION_NAME


def test_the_tools_of_dagster_call_the_location_the_same() -> None:
    """`dg dev` would name it after the folder."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    assert project["tool"]["dg"]["project"]["code_location_name"] == LOCATION_NAME


def test_the_repository_has_the_name_that_origins_give_it() -> None:
    """Dagster names that of a Definitions object itself."""
    assert Definitions().get_repository_def().name == SINGLETON_REPOSITORY_NAME
