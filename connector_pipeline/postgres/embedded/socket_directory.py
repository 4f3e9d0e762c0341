"""The directory of the server's socket: nobody but the server's account may enter it."""

import hashlib
import os
import pwd
import re
import stat
import tempfile
from pathlib import Path
from typing import Final

from connector_pipeline.model.errors import DatabaseUnavailable

# sockaddr_un holds 108 bytes on Linux and 104 elsewhere, its final NUL included.
_LONGEST_SOCKET: Final = 103
# Characters that neither libpq's host list (commas) nor unix_socket_directories reads as syntax.
_PLAIN_PATH: Final = re.compile(r"/[A-Za-z0-9/._ +-]*")


def socket_directory(data: Path, port: int, server_user: pwd.struct_passwd | None) -> Path:
    """The data directory if its path will do, else a directory in the temporary directory.

    A path may be too long for a socket, or hold characters that a list of directories reads as
    syntax. Raises DatabaseUnavailable if the other directory belongs to another account.
    """
    longest = data / f".s.PGSQL.{port}.lock"
    if len(os.fsencode(longest)) <= _LONGEST_SOCKET and _PLAIN_PATH.fullmatch(str(data)):
        return data
    owner = server_user.pw_uid if server_user is not None else os.geteuid()
    name = hashlib.sha256(os.fsencode(data)).hexdigest()[:12]
    directory = Path(tempfile.gettempdir()) / f"connector-{owner}-{name}"
    directory.mkdir(mode=0o700, exist_ok=True)
    if server_user is not None and directory.lstat().st_uid == 0:
        os.chown(directory, owner, -1, follow_symlinks=False)
    status = directory.lstat()
    # The owner of the directory decides which server answers on the socket.
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != owner or status.st_mode & 0o077:
        raise DatabaseUnavailable(
            f"{directory}, where the server's socket would go, belongs to somebody else.",
            remedy="Remove it, or choose a shorter CONNECTOR_HOME of plain letters.",
        )
    return directory
