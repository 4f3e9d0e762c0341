"""A bulk operation's result: JSONL in an unnamed file, written line by line and never held."""

import hashlib
import os
import tempfile
import weakref
from typing import Final

_BUFFER: Final = 256 * 1024


class BulkResult:
    """Written by one thread, read by others once `written`. The file ends with its last user."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=_BUFFER)  # noqa: SIM115 - closed below
        # When nobody holds the result any more.
        weakref.finalize(self, self._file.close)
        self._hash = hashlib.md5(usedforsecurity=False)
        self.objects = 0
        self.root_objects = 0
        self.length = 0
        self.written = False

    @property
    def etag(self) -> str:
        """Of the whole content, as storage.googleapis.com quotes it."""
        return f'"{self._hash.hexdigest()}"'

    def add(self, line: bytes, *, root: bool, kept: bool = True) -> None:
        """One more object; one not `kept` is counted only."""
        self.objects += 1
        self.root_objects += root
        if kept:
            self._file.write(line + b"\n")
            self._hash.update(line + b"\n")
            self.length += len(line) + 1

    def finish(self) -> None:
        """From here on it may be read."""
        self._file.flush()
        self.written = True

    def read(self, start: int, size: int) -> bytes:
        """Up to `size` bytes from `start`, whoever else reads."""
        return os.pread(self._file.fileno(), size, start)
