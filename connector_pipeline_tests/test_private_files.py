"""Folders and files are for their owner alone, and a file is written whole or not at all."""

import errno
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from connector_pipeline.archive.storage import ArchiveStorage
from connector_pipeline.private_files import (
    bound_log,
    make_private_folder,
    make_private_folders,
    open_private,
    write_private_file,
)


def mode(path: Path) -> int:
    """The rights on a file or folder."""
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def umask(value: int) -> Generator[None]:
    """Work under another umask."""
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.parametrize("value", [0o000, 0o022, 0o077, 0o177])
def test_the_umask_decides_nothing(tmp_path: Path, value: int) -> None:
    """Neither a wide one nor one that takes rights from ourselves."""
    below = tmp_path / "raw"
    with umask(value):
        make_private_folders(below / "a" / "b", below=below)
        write_private_file(below / "a" / "page", b"1")
    assert [mode(below), mode(below / "a"), mode(below / "a" / "b")] == [0o700] * 3
    assert mode(below / "a" / "page") == 0o600


def test_what_is_no_folder_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    """A setting that names /dev/null would take it away from the whole machine."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    pipe.chmod(0o666)
    with pytest.raises(NotADirectoryError):
        make_private_folder(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        open_private(pipe, os.O_WRONLY).close()
    finally:
        os.close(reader)
    assert mode(pipe) == 0o666


def test_what_was_there_with_wider_rights_is_tightened(tmp_path: Path) -> None:
    """An earlier version made it."""
    folder = tmp_path / "logs"
    folder.mkdir()
    folder.chmod(0o755)
    log = folder / "daemon.log"
    log.write_text("before")
    log.chmod(0o644)
    make_private_folder(folder)
    with open_private(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND):
        assert (mode(folder), mode(log)) == (0o700, 0o600)
    make_private_folder(folder, passable=True)
    assert mode(folder) == 0o701


def test_a_folder_that_everybody_writes_to_stays_as_it_is(tmp_path: Path) -> None:
    """An archive at /tmp must not close /tmp."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    make_private_folders(shared / "shop", below=shared)
    assert (mode(shared), mode(shared / "shop")) == (0o1777, 0o700)


def test_a_log_that_grew_too_large_begins_anew(tmp_path: Path) -> None:
    """Its later half is kept, and the process that writes it goes on."""
    log = tmp_path / "daemon.log"
    with open_private(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND) as child:
        child.write(b"a" * 900 + b"b" * 400)
        child.flush()
        assert bound_log(log, most_bytes=1_000)
        child.write(b"later")
    assert log.read_bytes() == b"later"
    assert (tmp_path / "daemon.log.old").read_bytes() == b"a" * 100 + b"b" * 400
    assert not bound_log(log, most_bytes=1_000)
    assert not bound_log(tmp_path / "none.log", most_bytes=1_000)


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.EROFS])
def test_a_file_system_that_knows_no_rights_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """SMB, FAT and some mounts of clouds show rights that nobody can change."""

    def refused(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    (tmp_path / "raw").mkdir(mode=0o755)
    (tmp_path / "raw" / "page").touch(mode=0o644)
    monkeypatch.setattr(os, "chmod", refused)
    monkeypatch.setattr(os, "fchmod", refused)
    storage = ArchiveStorage.at(str(tmp_path / "raw"))
    storage.make_folder("shopify/acme.example")
    for path in ("page", "shopify/acme.example/page"):
        storage.write(path, b"content")
        assert storage.read(path) == b"content"
    with open_private(tmp_path / "raw" / "page", os.O_WRONLY) as file:
        file.write(b"CONTENT")
    assert storage.read("page") == b"CONTENT"
