"""The session of `connector-pipeline dev`: one per CONNECTOR_HOME, known to other commands."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ValidationError

from connector_pipeline.private_files import (
    make_private_folder,
    open_private,
    write_private_file,
)


class DevSession(BaseModel):
    """The addresses of a running `dev`: its UI, its sandbox, its receiver of webhooks, and its
    Postgres if that is embedded."""

    pid: int
    ui_url: str
    database_url: str | None = None
    sandbox_url: str | None = None
    sandbox_environment: dict[str, str] = {}
    webhooks_url: str | None = None


class AlreadyRunning(Exception):
    """Another `dev` runs over this home; `session` is None while it is still starting."""

    def __init__(self, session: DevSession | None):
        super().__init__("connector-pipeline dev is already running")
        self.session = session


@contextmanager
def sole_session(home: Path) -> Generator[None]:
    """Hold the lock of this home's only `dev`. The kernel drops it when the process ends.

    Raises AlreadyRunning.
    """
    make_private_folder(home, passable=os.geteuid() == 0)
    with open_private(home / "dev.lock", os.O_WRONLY | os.O_CREAT | os.O_APPEND) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(_read(home)) from None
        try:
            yield
        finally:
            _session_file(home).unlink(missing_ok=True)


def announce(home: Path, session: DevSession) -> None:
    """Write the session where other commands find it."""
    write_private_file(_session_file(home), session.model_dump_json(indent=1).encode())


def running_session(home: Path) -> DevSession | None:
    """The session of the `dev` that runs over this home, None if none runs or has announced it."""
    # If nobody holds the lock, the file is left from a `dev` that was killed.
    return _read(home) if _is_held(home) else None


def refuse_while_starting(home: Path) -> None:
    """Raise AlreadyRunning while a `dev` over this home has not announced its sandbox yet.

    A command that went on would begin a sandbox of its own over the same database.
    """
    if _is_held(home) and _read(home) is None:
        raise AlreadyRunning(None)


def _session_file(home: Path) -> Path:
    return home / "dev.json"


def _is_held(home: Path) -> bool:
    path = home / "dev.lock"
    if not path.exists():
        return False
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _read(home: Path) -> DevSession | None:
    try:
        return DevSession.model_validate_json(_session_file(home).read_bytes())
    except (OSError, ValidationError):
        return None
