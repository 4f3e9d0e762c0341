"""A bulk operation's result: JSONL in an unnamed file, written line by line."""

import hashlib
import os
import tempfile
import weakref
from typing import Final

_BUFFER: Final = 256 * 1024


class BulkResult:
    """One thread writes it; others read it once it is `written`. Its last user ends the file."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=_BUFFER)  # noqa: SIM115 - closed below
        # This closes the file when nobody holds the result any more.
        weakref.finalize(self, self._file.close)
        self._hash = hashlib.md5(usedforsecurity=False)
        self.objects = 0
        self.root_objects = 0
        self.length = 0
        self.written = False

    @property
    def etag(self) -> str:
        """The ETag of the whole content, quoted as storage.googleapis.com does."""
        return f'"{self._hash.hexdigest()}"'

    def add(self, line: bytes, *, root: bool, kept: bool = True, counted: bool = True) -> None:
        """Add an object. One that is not `kept` is only counted, if it is `counted`."""
        if counted:
            self.objects += 1
            self.root_objects += root
        if kept:
            self._file.write(line + b"\n")
            self._hash.update(line + b"\n")
            self.length += len(line) + 1

    def finish(self) -> None:
        """Let readers begin."""
        self._file.flush()
        self.written = True

    def read(self, start: int, size: int) -> bytes:
        """Up to `size` bytes from `start`. Several threads may read at once."""
        return os.pread(self._file.fileno(), size, start)
