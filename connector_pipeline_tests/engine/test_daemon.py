"""The command that runs Dagster's daemon, and the daemon's heartbeat."""

import subprocess
import time
from pathlib import Path

import pytest
from dagster import DagsterInstance
from dagster._daemon.types import DaemonHeartbeat

from connector_pipeline.engine.daemon import daemon_command, runs_sensors


def test_the_installed_dagster_has_the_command() -> None:
    """Its help names the option that the project gives it."""
    *command, option, workspace = daemon_command(Path("workspace.yaml"))
    assert (option, workspace) == ("--workspace", "workspace.yaml")
    found = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True)
    assert "--workspace" in found.stdout


@pytest.mark.parametrize(
    ("daemon_type", "age", "runs"),
    [("SENSOR", 0, True), ("SENSOR", 600, False), ("SCHEDULER", 0, False)],
)
def test_a_daemon_runs_sensors_while_it_stores_heartbeats(
    daemon_type: str, age: float, runs: bool
) -> None:
    """The heartbeat of another daemon says nothing about sensors."""
    with DagsterInstance.ephemeral() as instance:
        assert not runs_sensors(instance)
        instance.add_daemon_heartbeat(
            DaemonHeartbeat(time.time() - age, daemon_type, daemon_id="d-1", errors=[])
        )
        assert runs_sensors(instance) == runs
