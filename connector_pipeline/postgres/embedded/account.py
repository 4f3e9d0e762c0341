"""The account of the embedded Postgres when we are root: Postgres refuses to run as root."""

import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from connector_pipeline.model.errors import DatabaseUnavailable

_ACCOUNT: Final = "pgserver"
_SYSTEM_FOLDERS: Final = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def program(name: str) -> str | None:
    """The file of a program of the system, None if it is not installed.

    The search goes beyond PATH: an ordinary user's PATH has no folder of root's programs, and a
    process of root may have inherited such a PATH.
    """
    path = os.environ.get("PATH", os.defpath)
    return shutil.which(name, path=os.pathsep.join([path, *_SYSTEM_FOLDERS]))


def server_user_account() -> pwd.struct_passwd | None:
    """The account that the server runs as if we are root; None if it runs as we do.

    The account is made if it does not exist. Raises DatabaseUnavailable if that fails.
    """
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(_ACCOUNT)
    except KeyError:
        pass
    useradd = program("useradd")
    if useradd is None:
        raise _no_account("useradd is not installed")
    command = [useradd, "--system", "--no-create-home", "--shell", "/bin/false", _ACCOUNT]
    made = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
    if made.returncode != 0:
        raise _no_account(made.stderr.strip() or f"useradd ended with {made.returncode}")
    return pwd.getpwnam(_ACCOUNT)


def _no_account(why: str) -> DatabaseUnavailable:
    return DatabaseUnavailable(
        f"Postgres does not run as root, and the account {_ACCOUNT!r} for it could not be made: "
        f"{why}.",
        remedy=f"Make it (`useradd --system {_ACCOUNT}`), run as an ordinary user, or "
        "set CONNECTOR_DATABASE_URL.",
    )


def refuse_unreachable(path: Path, server_user: pwd.struct_passwd | None) -> None:
    """Raise DatabaseUnavailable if the account has no way to get to the path."""
    closed = _closed_directory(path, server_user)
    if server_user is not None and closed is not None and program("setpriv") is None:
        raise DatabaseUnavailable(
            f"Postgres does not run as root but as {server_user.pw_name!r}, which may not enter "
            f"{closed} on the way to {path}.",
            remedy="Run as an ordinary user, set CONNECTOR_HOME (or install) elsewhere, e.g. "
            f"/var/lib/connector, or `chmod o+x {closed}`.",
        )


def through_closed_directories(
    paths: Iterable[Path], server_user: pwd.struct_passwd | None
) -> list[str]:
    """The words to put before a command so that it runs as the account and gets to the paths.

    The list is empty if the account may enter all directories on the way. In a directory of root's
    own (`/root`, one that mktemp made) the command keeps one right of root: to pass through
    directories and to read. To open root's directories to everybody would be worse.
    `no_setuid_fixup` is there because access(2), which Postgres calls, ignores capabilities
    without it.
    """
    # setpriv is a part of util-linux, which nearly every Linux has.
    setpriv = program("setpriv")
    if server_user is None or setpriv is None:
        return []
    if all(_closed_directory(path, server_user) is None for path in paths):
        return []
    return [
        setpriv,
        f"--reuid={server_user.pw_uid}",
        f"--regid={server_user.pw_gid}",
        "--clear-groups",
        "--securebits=+no_setuid_fixup",
        "--inh-caps=-all,+dac_read_search",
        "--ambient-caps=-all,+dac_read_search",
        "--no-new-privs",
    ]


def _closed_directory(path: Path, server_user: pwd.struct_passwd | None) -> Path | None:
    """The first directory on the way to the path that the account may not enter."""
    if server_user is None:
        return None
    for directory in reversed(path.parents):
        status = directory.stat()
        if status.st_uid != server_user.pw_uid and not status.st_mode & stat.S_IXOTH:
            return directory
    return None
