"""A file system for the raw archive that plays troubles of disks and object stores as data.

`troubled:///folder` is a folder of this machine, under the trouble that is set just then.
"""

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import fsspec
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

PROTOCOL: Final = "troubled"


@dataclass
class Trouble:
    """What happens to one operation on files and folders whose path has a part like `place`.

    `number`: the operation fails with this errno, `times` times (None: always). `cut`: half of the
    file is written before that. `then` is called after the operation, in place of an error.
    """

    operation: str
    place: str
    number: int = 0
    times: int | None = None
    cut: bool = False
    then: Callable[[str], Any] | None = None
    hits: int = 0

    def hit(self, operation: str, path: str) -> bool:
        """Count an operation. Returns whether the trouble comes to it."""
        if operation != self.operation or self.place not in path:
            return False
        if self.times is not None and self.hits >= self.times:
            return False
        self.hits += 1
        return True

    def error(self, path: str) -> OSError:
        """The error of the operating system."""
        return OSError(self.number, os.strerror(self.number), path)


class TroubledFiles(AbstractFileSystem):
    """The files of this machine under `trouble`, to the archive a store like any other."""

    protocol = PROTOCOL
    cachable = False
    trouble: ClassVar[Trouble | None] = None

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._files = LocalFileSystem()

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **more: Any) -> None:
        """Write a file."""
        found = self._found("write", path)
        if found is None or found.then is not None:
            self._files.pipe_file(path, value, mode=mode, **more)
        elif found.cut:
            self._files.pipe_file(path, value[: len(value) // 2], mode=mode, **more)
        self._play(found, path)

    def cat_file(self, path: str, start: Any = None, end: Any = None, **more: Any) -> bytes:
        """Read a file."""
        self._play(self._found("read", path), path)
        return self._files.cat_file(path, start, end, **more)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Make a folder."""
        self._play(self._found("folder", path), path)
        self._files.makedirs(path, exist_ok=exist_ok)

    def ls(self, path: str, detail: bool = True, **more: Any) -> Any:
        """List a folder."""
        self._play(self._found("list", path), path)
        return self._files.ls(path, detail=detail, **more)

    def rm(self, path: str, recursive: bool = False, maxdepth: int | None = None) -> None:
        """Delete a file or a folder."""
        self._files.rm(path, recursive=recursive, maxdepth=maxdepth)

    def rm_file(self, path: str) -> None:
        """Delete a file."""
        self._files.rm_file(path)

    def info(self, path: str, **more: Any) -> Any:
        """What a path is."""
        return self._files.info(path, **more)

    def _found(self, operation: str, path: str) -> Trouble | None:
        found = self.trouble
        return found if found is not None and found.hit(operation, path) else None

    def _play(self, found: Trouble | None, path: str) -> None:
        if found is None:
            return
        if found.then is None:
            raise found.error(path)
        found.then(path)


fsspec.register_implementation(PROTOCOL, TroubledFiles, clobber=True)


@contextmanager
def under(trouble: Trouble) -> Generator[Trouble]:
    """The trouble is there while the block runs."""
    TroubledFiles.trouble = trouble
    try:
        yield trouble
    finally:
        TroubledFiles.trouble = None
