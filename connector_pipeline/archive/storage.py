"""Read and write whole files by their paths below the archive's root, on any file system."""

from typing import Any, Protocol, Self, cast

import fsspec  # pyright: ignore[reportMissingTypeStubs]  # ships none; the Protocol below types it

from connector_pipeline.model.errors import ArchiveUnavailable


class FileSystem(Protocol):
    """The methods that the archive uses of an fsspec file system (fsspec is only partly typed)."""

    def unstrip_protocol(self, name: str) -> str: ...
    def makedirs(self, path: str, exist_ok: bool = False) -> None: ...
    def pipe_file(self, path: str, value: bytes) -> None: ...
    def cat_file(self, path: str) -> bytes: ...
    def invalidate_cache(self, path: str | None = None) -> None: ...
    def ls(self, path: str, detail: bool = True) -> list[str]: ...
    def rm(self, path: str, recursive: bool = False) -> None: ...


class ArchiveStorage:
    """Whole files in folders below `root`, on any fsspec file system."""

    def __init__(self, file_system: FileSystem, root: str):
        self._file_system = file_system
        self._root = root.rstrip("/")

    @classmethod
    def at(cls, url: str) -> Self:
        """The storage at an fsspec URL. Raises ArchiveUnavailable for one that nothing can read."""
        try:
            file_system, root = cast("Any", fsspec).core.url_to_fs(url)
        except (ValueError, ImportError) as error:
            # `from None`, because fsspec quotes URLs, and they may hold credentials.
            raise ArchiveUnavailable(f"the raw archive cannot be opened: {error}.") from None
        return cls(file_system, root)

    def uri(self, path: str) -> str:
        """The URI of the path, for an operator to open."""
        return self._file_system.unstrip_protocol(self._path(path))

    def make_folder(self, path: str) -> None:
        """Make a folder if there is none; object stores need none."""
        self._file_system.makedirs(self._path(path), exist_ok=True)

    def write(self, path: str, content: bytes) -> None:
        """Write a whole file."""
        self._file_system.pipe_file(self._path(path), content)

    def read(self, path: str) -> bytes:
        """Read a whole file. Raises FileNotFoundError."""
        return self._file_system.cat_file(self._path(path))

    def files(self, folder: str) -> list[str]:
        """The sorted paths of a folder's files and folders; empty if there is no such folder."""
        # fsspec caches the listings of remote stores, and another process may just have written.
        self._file_system.invalidate_cache(self._path(folder))
        try:
            entries = self._file_system.ls(self._path(folder), detail=False)
        except FileNotFoundError:
            return []
        return sorted(f"{folder}/{entry.rstrip('/').rsplit('/', 1)[-1]}" for entry in entries)

    def delete(self, path: str) -> None:
        """Delete a file, or a folder with all its content, if it exists."""
        try:
            self._file_system.rm(self._path(path), recursive=True)
        except FileNotFoundError:
            return

    def _path(self, path: str) -> str:
        return f"{self._root}/{path}"
