"""The one `connector-pipeline dev` that may run over a home, and what others know of it."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ValidationError


class DevSession(BaseModel):
    """What a running `dev` tells other commands: where its UI and its sandbox are."""

    pid: int
    ui_url: str
    sandbox_url: str | None = None
    sandbox_environment: dict[str, str] = {}


class AlreadyRunning(Exception):
    """Another `dev` holds this home; `session` is None while it is still starting."""

    def __init__(self, session: DevSession | None):
        super().__init__("connector-pipeline dev is already running")
        self.session = session


@contextmanager
def sole_session(home: Path) -> Generator[None]:
    """Be the only `dev` over this home. The lock goes with the process, however it ends.

    Raises AlreadyRunning.
    """
    home.mkdir(parents=True, exist_ok=True)
    with (home / "dev.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(_read(home)) from None
        try:
            yield
        finally:
            _session_file(home).unlink(missing_ok=True)


def announce(home: Path, session: DevSession) -> None:
    """Tell other commands about this session."""
    written = home / f"dev.json.{os.getpid()}"
    written.write_text(session.model_dump_json(indent=1))
    written.replace(_session_file(home))


def running_session(home: Path) -> DevSession | None:
    """The `dev` that runs over this home, if one does and has announced itself."""
    path = home / "dev.lock"
    if not path.exists():
        return None
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _read(home)
    # Nobody holds the lock: what the file says was left behind by a kill.
    return None


def _session_file(home: Path) -> Path:
    return home / "dev.json"


def _read(home: Path) -> DevSession | None:
    try:
        return DevSession.model_validate_json(_session_file(home).read_bytes())
    except (OSError, ValidationError):
        return None
