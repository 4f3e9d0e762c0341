"""Folders and files for their owner alone, whatever the umask is and whatever was there before.

They hold merchants' catalogs, logs and addresses of servers. Everything here is about folders of
this machine.
"""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

_FOLDER: Final = 0o700
_FILE: Final = 0o600

LARGEST_LOG: Final = 20_000_000
"""Bytes of a log, after which its later half is kept as `{name}.old` and it begins anew."""

PART: Final = ".part"
"""The end of the name of a file that is not whole yet. A killed process may leave one."""


def make_private_folder(folder: Path, *, passable: bool = False) -> None:
    """Make the folder with its parents, or take the rights of others to it away.

    `passable`: others may pass through to a folder below whose name they know. Leaves a folder as
    it is that is not ours, that everybody may write to, e.g. /tmp, or whose file system keeps no
    rights. Raises NotADirectoryError for what is no folder, which stays as it is, and OSError.
    """
    wanted = _FOLDER | (stat.S_IXOTH if passable else 0)
    try:
        found = folder.stat()
    except FileNotFoundError:
        try:
            folder.mkdir(mode=_FOLDER)
        except FileNotFoundError:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):
                folder.mkdir(mode=_FOLDER)
        except FileExistsError:
            pass
        found = folder.stat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    mode = stat.S_IMODE(found.st_mode)
    if mode != wanted and found.st_uid == os.geteuid() and not mode & stat.S_ISVTX:
        with suppress(OSError):
            folder.chmod(wanted)


def make_private_folders(folder: Path, *, below: Path) -> None:
    """`make_private_folder` for `below`, and for each folder on the way from there to `folder`."""
    make_private_folder(below)
    part = below
    for name in folder.relative_to(below).parts:
        part /= name
        make_private_folder(part)


def write_private_file(path: Path, content: bytes) -> None:
    """Write a whole file, or none: a reader never finds a part of it. Raises OSError.

    What a full disk leaves of it is deleted.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}{PART}")
    try:
        with open_private(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as file:
            file.write(content)
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def open_private(path: Path, flags: int) -> BinaryIO:
    """Open a file to write bytes, which its owner alone may read, also if it was there before."""
    descriptor = os.open(path, flags | os.O_CLOEXEC, _FILE)
    try:
        found = os.fstat(descriptor)
        # A device, e.g. /dev/null, is everybody's.
        if stat.S_ISREG(found.st_mode) and stat.S_IMODE(found.st_mode) != _FILE:
            with suppress(OSError):
                os.fchmod(descriptor, _FILE)
        return os.fdopen(descriptor, "wb")
    except BaseException:
        os.close(descriptor)
        raise


def bound_log(path: Path, *, most_bytes: int) -> bool:
    """Move the content of a log that has grown too large to `{name}.old`. Returns whether it had.

    The process that writes it goes on with the emptied file, if it opened it to append. Lines that
    it writes meanwhile may be lost.
    """
    try:
        if path.stat().st_size <= most_bytes:
            return False
    except OSError:
        return False
    try:
        with path.open("rb") as grown:
            grown.seek(-(most_bytes // 2), os.SEEK_END)
            write_private_file(path.with_name(f"{path.name}.old"), grown.read(most_bytes // 2))
        os.truncate(path, 0)
    except OSError:
        # A full disk: the log is not worth the end of the process that looks after it.
        with suppress(OSError):
            os.truncate(path, 0)
    return True
