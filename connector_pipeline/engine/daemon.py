"""Dagster's daemon: how to run it, and whether one is running.

Needs: `daemon_controller_from_instance`, which is used as the module `dagster._daemon` uses it, and
which takes the daemons that it runs; the heartbeats that daemons store, and
`DagsterInstance.get_sensor_settings`. Tried with Dagster 1.13.27. The public command
`dagster-daemon` takes a code server's address, but not the name of its location: it would keep the
cursors of sensors under another name than the web server shows. It knows no daemon of ours
(engine/queue_daemon.py). Options for both would replace the first two functions.
"""

import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from dagster import DagsterInstance
from dagster._core.workspace.load_target import WorkspaceLoadTarget
from dagster._utils.interrupts import capture_interrupts, setup_interrupt_handlers

_ALIVE_SECONDS: Final = 90.0
"""A daemon stores a heartbeat every 30 s."""


def daemon_command(workspace: Path) -> tuple[str, ...]:
    """The command that runs the daemon over this workspace file, with the present Python."""
    command = (sys.executable, "-m", "connector_pipeline.cli", "daemon")
    return (*command, "--workspace", str(workspace))


def run(workspace: WorkspaceLoadTarget) -> None:
    """Run the daemon over this workspace until SIGINT or SIGTERM.

    Raises SettingsError if Dagster's storage is not set, StorageUnavailable.
    """
    # Imported here: the commands that only look for a daemon do without.
    from dagster._daemon.controller import (
        daemon_controller_from_instance,  # pyright: ignore[reportUnknownVariableType]  # partly untyped there
    )

    from connector_pipeline.engine.queue_daemon import daemons

    setup_interrupt_handlers()
    with (
        suppress(KeyboardInterrupt),
        capture_interrupts(),
        DagsterInstance.get() as instance,
        daemon_controller_from_instance(
            instance,
            workspace_load_target=workspace,
            gen_daemons=daemons,
            # A code server that the daemon starts would log before it knows of LOG_FORMAT.
            code_server_log_level="warning",
        ) as controller,
    ):
        controller.check_daemon_loop()


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
