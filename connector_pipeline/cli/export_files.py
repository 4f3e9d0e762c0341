"""The files of an export: in a folder, or in a zip archive; for their owner alone."""

import os
import shutil
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, Protocol

from connector_pipeline.private_files import PART, make_private_folder, open_private

ZIP: Final = ".zip"
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


class ExportFiles(Protocol):
    """A place for files, each of which is written from its beginning to its end."""

    @contextmanager
    def file(self, name: str) -> Generator[IO[bytes]]:
        """Write the file of this name, which may have one folder in it."""
        ...


@contextmanager
def export_files(target: Path) -> Generator[ExportFiles]:
    """The files of an export, a zip archive where the target's name ends in `.zip`.

    The target is there once all is written: a killed export leaves one whose name ends in `.part`.
    Raises OSError.
    """
    part = target.with_name(f"{target.name}{PART}")
    _delete(part)
    try:
        if target.suffix == ZIP:
            with (
                open_private(part, _FLAGS) as file,
                zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
            ):
                yield _Zip(archive)
        else:
            make_private_folder(part)
            yield _Folder(part)
        part.rename(target)
    finally:
        _delete(part)


def _delete(part: Path) -> None:
    if part.is_dir():
        shutil.rmtree(part)
    else:
        part.unlink(missing_ok=True)


class _Zip:
    def __init__(self, archive: zipfile.ZipFile):
        self._archive = archive

    @contextmanager
    def file(self, name: str) -> Generator[IO[bytes]]:
        with self._archive.open(name, "w", force_zip64=True) as file:
            yield file


class _Folder:
    def __init__(self, folder: Path):
        self._folder = folder

    @contextmanager
    def file(self, name: str) -> Generator[IO[bytes]]:
        path = self._folder / name
        make_private_folder(path.parent)
        with open_private(path, _FLAGS) as file:
            yield file
