"""The temporary folder for the code server's socket, and those of sessions that were killed.

A socket's path may have about a hundred bytes, so it cannot be in CONNECTOR_HOME. A session that
ends by itself removes its folder; after `kill -9` the next session does.
"""

import fcntl
import os
import socket
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

_PREFIX: Final = "connector-"
_LOCK: Final = "session"
_SOCKET: Final = "code-server"


class SocketFolder:
    """A folder of this process. It is marked by a lock, which the kernel drops with the process."""

    def __init__(self) -> None:
        _remove_abandoned()
        self._folder = tempfile.TemporaryDirectory(prefix=_PREFIX)
        self.socket = Path(self._folder.name) / _SOCKET
        self._lock = (Path(self._folder.name) / _LOCK).open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def remove(self) -> None:
        """Remove the folder with the socket. It may be removed already."""
        self._lock.close()
        self._folder.cleanup()


def answers(path: Path) -> bool:
    """Whether somebody listens on a socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1)
        return connection.connect_ex(str(path)) == 0


def _remove_abandoned() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        # Somebody else's, or changed under our eyes: it is not worth an error.
        with suppress(OSError):
            if _is_ours(folder):
                _remove_if_abandoned(folder)


def _is_ours(folder: Path) -> bool:
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def _remove_if_abandoned(folder: Path) -> None:
    """Remove the folder if its session is over, and its code server too: it may outlive it."""
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if answers(folder / _SOCKET):
            return
        # By name: a folder that holds anything else is not one of these, and stays.
        (folder / _SOCKET).unlink(missing_ok=True)
        if [each.name for each in folder.iterdir()] == [_LOCK]:
            (folder / _LOCK).unlink()
            folder.rmdir()
    finally:
        os.close(lock)
