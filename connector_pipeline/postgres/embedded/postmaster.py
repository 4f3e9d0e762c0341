"""The pid file of the embedded Postgres, and whether its server still runs."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil

from connector_pipeline.model.errors import DatabaseUnavailable


@dataclass(frozen=True, slots=True)
class ServerLocation:
    """Where a running server's socket is."""

    socket_directory: str
    port: int

    def url(self, database: str, *, scheme: str = "postgresql") -> str:
        """A URL of `database`. It names the port, so that PGPORT in the environment is ignored."""
        host = quote(self.socket_directory, safe="/")
        return f"{scheme}://postgres@/{quote(database)}?host={host}&port={self.port}"


def data_directory(home: Path) -> Path:
    """The data directory of the embedded Postgres of this CONNECTOR_HOME."""
    return home / "postgres"


def running_server(home: Path) -> ServerLocation | None:
    """The embedded server of this CONNECTOR_HOME, if it runs and takes connections.

    Starts nothing. Raises DatabaseUnavailable if the data belongs to another user of the machine.
    """
    lines = _pid_file_lines(home)
    # pid, data directory, start time, port, socket directory, address, memory, status
    if len(lines) < 8 or lines[7].strip() != "ready":
        return None
    return ServerLocation(lines[4].strip(), int(lines[3])) if server_lives(home) else None


def server_lives(home: Path) -> bool:
    """Whether the process of the pid file is a server of this data, ready or not.

    The pid alone proves nothing: another process may have got it after a crash. A server's working
    directory is its data directory.
    """
    lines = _pid_file_lines(home)
    try:
        return Path(psutil.Process(int(lines[0])).cwd()) == data_directory(home).resolve()
    except (IndexError, ValueError, psutil.Error, OSError):
        return False


def orphans_live(home: Path) -> bool:
    """Whether processes of this data's server run, the server itself or children that outlived it.

    After a kill -9 of the server each child notices within moments, or at the end of its statement.
    No new server starts until the last one is gone, because they share the old one's memory.
    """
    data = data_directory(home).resolve()
    for process in psutil.process_iter():
        try:
            if process.name() == "postgres" and Path(process.cwd()) == data:
                return True
        except (psutil.Error, OSError):
            # The process belongs to another user, or has ended meanwhile.
            continue
    return False


def remove_stale_pid_file(home: Path) -> None:
    """Remove a dead server's pid file if it has no pid, or one that another process now has.

    Postgres itself handles a pid that no longer exists, but takes any live one for a server.
    The caller must hold the lock under which servers are started.
    """
    lines = _pid_file_lines(home)
    pid = lines[0].strip() if lines else ""
    if server_lives(home) or (pid.isdigit() and not psutil.pid_exists(int(pid))):
        return
    (data_directory(home) / "postmaster.pid").unlink(missing_ok=True)


def not_ours(home: Path, error: OSError) -> DatabaseUnavailable:
    """The error for a home that cannot be read or written."""
    return DatabaseUnavailable(
        f"the embedded Postgres under {home} cannot be reached: {error.strerror} "
        f"({error.filename}). It may belong to another user of this machine.",
        remedy="Run as its owner, or set CONNECTOR_HOME to a directory of your own.",
    )


def _pid_file_lines(home: Path) -> list[str]:
    try:
        return (data_directory(home) / "postmaster.pid").read_text().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise not_ours(home, error) from None
