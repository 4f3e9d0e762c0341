"""The command that runs Dagster's daemon, and its heartbeat."""

import subprocess
import time
from pathlib import Path

import pytest
from dagster import DagsterInstance
from dagster._daemon.types import DaemonHeartbeat

from connector_pipeline.engine.daemon import daemon_command, runs_sensors


def test_the_command_is_one_that_this_dagster_has() -> None:
    """Asked for help it tells of the option that it is given."""
    *command, option, workspace = daemon_command(Path("workspace.yaml"))
    assert (option, workspace) == ("--workspace", "workspace.yaml")
    found = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True)
    assert "--workspace" in found.stdout


@pytest.mark.parametrize(
    ("daemon_type", "age", "runs"),
    [("SENSOR", 0, True), ("SENSOR", 600, False), ("SCHEDULER", 0, False)],
)
def test_a_daemon_runs_sensors_while_its_heart_beats(
    daemon_type: str, age: float, runs: bool
) -> None:
    """That of another daemon says nothing of sensors."""
    with DagsterInstance.ephemeral() as instance:
        assert not runs_sensors(instance)
        instance.add_daemon_heartbeat(
            DaemonHeartbeat(time.time() - age, daemon_type, daemon_id="d-1", errors=[])
        )
        assert runs_sensors(instance) == runs
