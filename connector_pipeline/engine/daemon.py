"""Dagster's daemon: the command that runs it, and whether one is running.

Needs: the module `dagster._daemon`, which `python -m` starts, and the heartbeats that daemons
leave. Tried with Dagster 1.13.27. The public command `dagster-daemon` is a script on PATH, which is
another environment's, or missing, where the environment is not activated; a public
`python -m dagster daemon` would replace the first function.
"""

import sys
import time
from pathlib import Path
from typing import Final

from dagster import DagsterInstance

_ALIVE_SECONDS: Final = 90.0
"""A daemon's heart beats every 30 s."""


def daemon_command(workspace: Path) -> tuple[str, ...]:
    """The command that runs the daemon over this workspace file, with this very Python."""
    return (sys.executable, "-m", "dagster._daemon", "run", "--workspace", str(workspace))


def runs_sensors(instance: DagsterInstance) -> bool:
    """Whether a daemon over this storage has lately said that it runs sensors."""
    return any(
        beat.daemon_type == "SENSOR" and time.time() - beat.timestamp < _ALIVE_SECONDS
        for beat in instance.get_daemon_heartbeats().values()
    )
