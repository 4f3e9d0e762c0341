"""Dagster's daemon: the command that runs it, and whether one is running.

Needs: the module `dagster._daemon`, which `python -m` starts, the heartbeats that daemons store,
and `DagsterInstance.get_sensor_settings`. Tried with Dagster 1.13.27. The public command
`dagster-daemon` is a script on PATH. If the environment is not activated, that script is missing or
another environment's. A public `python -m dagster daemon` would replace the first function.
"""

import sys
import time
from pathlib import Path
from typing import Final

from dagster import DagsterInstance

_ALIVE_SECONDS: Final = 90.0
"""A daemon stores a heartbeat every 30 s."""


def daemon_command(workspace: Path) -> tuple[str, ...]:
    """The command that runs the daemon over this workspace file, with the present Python."""
    return (sys.executable, "-m", "dagster._daemon", "run", "--workspace", str(workspace))


def gives_each_sensor_a_thread(instance: DagsterInstance) -> bool:
    """Whether dagster.yaml has the daemon tick sensors in threads, so that none delays another."""
    return bool((instance.get_sensor_settings() or {}).get("use_threads"))


def runs_sensors(instance: DagsterInstance) -> bool:
    """Whether a daemon that runs sensors has stored a heartbeat in the last 90 s."""
    return any(
        beat.daemon_type == "SENSOR" and time.time() - beat.timestamp < _ALIVE_SECONDS
        for beat in instance.get_daemon_heartbeats().values()
    )


def daemons_alive(instance: DagsterInstance) -> dict[str, float]:
    """The ids of the daemons that have stored a heartbeat in the last 90 s, and how old it is, in
    seconds. A daemon has another id at each start."""
    ages: dict[str, float] = {}
    for beat in instance.get_daemon_heartbeats().values():
        age = max(0.0, time.time() - beat.timestamp)
        if beat.daemon_id is not None and age < _ALIVE_SECONDS:
            ages[beat.daemon_id] = min(age, ages.get(beat.daemon_id, age))
    return ages
