"""The runs of this home's `dev`, beside which Dagster's storage may hold those of others."""

import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from dagster import DagsterInstance
from sqlalchemy.exc import SQLAlchemyError

from connector_pipeline.engine.code_servers import queued_runs_of_others, runs_in_workers_of
from connector_pipeline.engine.daemon import daemons_alive
from connector_pipeline.settings import SettingsError

# A cancelled run still records how its shops ended, which takes longer on a busy machine.
_CANCEL_PATIENCE: Final = 60.0
_REMEDY: Final = (
    "Set DAGSTER_POSTGRES_URL to a database of its own, e.g. "
    "DAGSTER_POSTGRES_URL=postgresql+psycopg2://dagster@db.internal/dagster_dev"
)


class OwnRuns:
    """The runs that the code servers of this home launched, each known by its socket.

    The sockets of all code servers, and the ids of all daemons, are on record in the home: those of
    a `dev` that was killed are still this home's.
    """

    def __init__(self, instance: DagsterInstance, home: Path):
        self._instance = instance
        self._sockets = home / "dagster" / "code-servers"
        self._daemons = home / "dagster" / "daemons"
        self._daemon_is_known = False

    def refuse_beside_others(self) -> None:
        """Raise SettingsError if another deployment works on Dagster's storage.

        Two daemons would both launch what waits, and each for the other's shops.
        """
        foreign = {
            daemon: age
            for daemon, age in daemons_alive(self._instance).items()
            if daemon not in _lines(self._daemons)
        }
        if foreign:
            age = min(foreign.values())
            raise SettingsError(
                [
                    "DAGSTER_POSTGRES_URL: the daemon of another deployment works on this database "
                    f"of Dagster (heard {age:.0f} s ago), and `dev` would launch its runs. "
                    f"{_REMEDY}; a daemon that has ended counts as one for 90 s."
                ]
            )
        if waiting := queued_runs_of_others(self._instance, _lines(self._sockets)):
            raise SettingsError(
                [
                    f"DAGSTER_POSTGRES_URL: {len(waiting)} runs of another deployment wait in this "
                    f"database of Dagster, and `dev` would launch them. {_REMEDY}"
                ]
            )

    def fail_lost(self) -> None:
        """Report this home's runs in workers as failed, because their workers are dead.

        Dagster retries them. The caller makes sure that no code server of this home runs: a run
        worker is its child.
        """
        for run_id in self._in_workers():
            run = self._instance.get_run_by_id(run_id)
            if run is not None:
                self._instance.report_run_failed(
                    run, "Its worker ended with the connector-pipeline dev that had launched it."
                )

    def begin(self, code_socket: Path) -> None:
        """A code server of this home will listen there."""
        _append(self._sockets, str(code_socket))

    def note_daemon(self) -> None:
        """Keep the id of this home's daemon, once it has stored a heartbeat."""
        if self._daemon_is_known:
            return
        # The storage may be down for a moment: the next call looks again.
        with suppress(SQLAlchemyError):
            for daemon in daemons_alive(self._instance):
                if daemon not in _lines(self._daemons):
                    _append(self._daemons, daemon)
                    self._daemon_is_known = True

    def cancel(self) -> None:
        """Cancel this home's runs in workers. Waits for a minute at most until they have ended."""
        runs = self._in_workers()
        for run_id in runs:
            self._instance.run_launcher.terminate(run_id)
        until = time.monotonic() + _CANCEL_PATIENCE
        while runs and self._in_workers() and time.monotonic() < until:
            time.sleep(0.2)

    def _in_workers(self) -> list[str]:
        return runs_in_workers_of(self._instance, _lines(self._sockets))


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except FileNotFoundError:
        return []


def _append(file: Path, line: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as lines:
        lines.write(f"{line}\n")
