"""Read and write whole files by their paths below the archive's root, on any file system."""

from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Protocol, Self, cast
from urllib.parse import urlsplit

import fsspec  # pyright: ignore[reportMissingTypeStubs]  # ships none; the Protocol below types it
import fsspec.implementations.local as local_files  # pyright: ignore[reportMissingTypeStubs]

from connector_pipeline.archive.object_store import ObjectStore, lacks_bucket, reason_of
from connector_pipeline.model.errors import ArchiveUnavailable
from connector_pipeline.private_files import make_private_folders, write_private_file

_LocalFileSystem: Final[type] = cast("Any", local_files).LocalFileSystem


class FileSystem(Protocol):
    """The methods that the archive uses of an fsspec file system (fsspec is only partly typed)."""

    def unstrip_protocol(self, name: str) -> str: ...
    def makedirs(self, path: str, exist_ok: bool = False) -> None: ...
    def pipe_file(self, path: str, value: bytes) -> None: ...
    def cat_file(self, path: str) -> bytes: ...
    def invalidate_cache(self, path: str | None = None) -> None: ...
    def ls(self, path: str, detail: bool = True) -> list[str]: ...
    def rm(self, path: str, recursive: bool = False) -> None: ...
    def rm_file(self, path: str) -> None: ...
    def exists(self, path: str) -> bool: ...
    def du(self, path: str) -> int: ...


class ArchiveStorage:
    """Whole files in folders below `root`, on any fsspec file system.

    Folders and files of this machine are for their owner alone. Each method raises
    ArchiveUnavailable if the file system does not do what it is asked to.
    """

    def __init__(
        self,
        file_system: FileSystem,
        root: str,
        *,
        local: bool = False,
        store: ObjectStore | None = None,
    ):
        self._file_system = file_system
        self._root = root.rstrip("/")
        self._local = local
        self._store = store

    @classmethod
    def at(cls, url: str) -> Self:
        """The storage at an fsspec URL. Raises ArchiveUnavailable for one that nothing can read.

        A process may fork afterwards: fsspec keeps a client for each process, and none of a store
        is connected before its first use.
        """
        store = ObjectStore.of(url)
        if store is not None:
            _refuse_password(url)
        try:
            options = {} if store is None else store.options()
            file_system, root = cast("Any", fsspec).core.url_to_fs(url, **options)
        except ImportError as error:
            if store is None:
                raise ArchiveUnavailable(f"the raw archive cannot be opened: {error}.") from None
            raise ArchiveUnavailable(
                f"the raw archive cannot be opened: the extra `{store.extra.label}` is not "
                "installed.",
                remedy=store.missing_extra,
            ) from None
        except ValueError as error:
            # `from None`, because fsspec quotes URLs, and they may hold credentials.
            raise ArchiveUnavailable(f"the raw archive cannot be opened: {error}.") from None
        if store is not None:
            store.bound(file_system)
            if not root.partition("/")[0]:
                raise ArchiveUnavailable("the raw archive cannot be opened: no bucket is named.")
        return cls(file_system, root, local=isinstance(file_system, _LocalFileSystem), store=store)

    def uri(self, path: str) -> str:
        """The URI of the path, for an operator to open."""
        return self._file_system.unstrip_protocol(self._path(path))

    def make_folder(self, path: str) -> None:
        """Make a folder if there is none; object stores need none."""
        with self._reported("written"):
            if self._local:
                make_private_folders(Path(self._path(path)), below=Path(self._root))
            elif self._store is None:
                # In an object store it would make the bucket, wherever and open to whomever.
                self._file_system.makedirs(self._path(path), exist_ok=True)

    def write(self, path: str, content: bytes) -> None:
        """Write a whole file, or none."""
        with self._reported("written"):
            if self._local:
                write_private_file(Path(self._path(path)), content)
            else:
                # One request: s3fs uploads less than 100 MB at once, and no page is so large.
                self._file_system.pipe_file(self._path(path), content)

    def read(self, path: str) -> bytes:
        """Read a whole file. Raises FileNotFoundError."""
        with self._reported("read", may_lack=True):
            return self._file_system.cat_file(self._path(path))

    def files(self, folder: str) -> list[str]:
        """The sorted paths of a folder's files and folders; empty if there is no such folder."""
        with self._reported("read"):
            # fsspec caches the listings of remote stores, and another process may just have
            # written.
            self._file_system.invalidate_cache(self._path(folder))
            try:
                entries = self._file_system.ls(self._path(folder), detail=False)
            except (FileNotFoundError, NotADirectoryError) as error:
                if lacks_bucket(error):
                    raise
                return []
        names = (entry.rstrip("/").rsplit("/", 1)[-1] for entry in entries)
        return sorted(f"{folder}/{name}" if folder else name for name in names)

    def size(self, folder: str) -> int:
        """The bytes of all files in a folder and below it; 0 if there is no such folder."""
        with self._reported("read"):
            try:
                return self._file_system.du(self._path(folder))
            except FileNotFoundError as error:
                if lacks_bucket(error):
                    raise
                return 0

    def delete_file(self, path: str) -> None:
        """Delete a file, if it exists. Of an object store it is one request."""
        with suppress(FileNotFoundError), self._reported("written", may_lack=True):
            self._file_system.rm_file(self._path(path))

    def delete(self, path: str) -> None:
        """Delete a folder with all its content, if it exists.

        Raises ArchiveUnavailable, also if a store has not done what it was asked to.
        """
        with suppress(FileNotFoundError):
            with self._reported("written", may_lack=True):
                self._file_system.rm(self._path(path), recursive=True)
            if self._store is not None:
                self._refuse_left(path, self._store)

    def _refuse_left(self, path: str, store: ObjectStore) -> None:
        # s3fs does not look for errors in the answer to a request that deletes many objects.
        self._file_system.invalidate_cache(self._path(path))
        with self._reported("read"):
            left = self._file_system.exists(self._path(path))
        if left:
            raise ArchiveUnavailable(
                f"the raw archive has not deleted {self.uri(path)}.",
                remedy=f"Allow the credentials in use {store.rights}, and see whether the bucket "
                "locks its objects; the next sync or erasure tries again.",
            )

    def _path(self, path: str) -> str:
        return f"{self._root}/{path}"

    @contextmanager
    def _reported(self, done: str, *, may_lack: bool = False) -> Generator[None]:
        """Report errors by name. `may_lack`: a file that is not there is the caller's matter."""
        try:
            yield
        except FileNotFoundError as error:
            if self._store is None or (may_lack and not lacks_bucket(error)):
                raise
            raise self._unusable(self._store, done, error) from error
        except Exception as error:
            if self._store is not None:
                raise self._unusable(self._store, done, error) from error
            if isinstance(error, OSError):
                raise ArchiveUnavailable(
                    f"the raw archive cannot be {done} ({type(error).__name__}: {error.strerror})."
                ) from error
            if self._local:
                raise
            # The libraries of remote file systems have errors of their own, whose texts may hold
            # more than an operator should see.
            raise ArchiveUnavailable(
                f"the raw archive cannot be {done} ({type(error).__name__})."
            ) from error

    def _unusable(self, store: ObjectStore, done: str, error: Exception) -> ArchiveUnavailable:
        reason = reason_of(error)
        bucket = self._root.partition("/")[0]
        return ArchiveUnavailable(
            f"the raw archive in bucket {bucket} cannot be {done} ({reason}).",
            remedy=store.remedy(reason),
        )


def _refuse_password(url: str) -> None:
    try:
        held = urlsplit(url).password is not None
    except ValueError:
        held = False
    if held:
        raise ArchiveUnavailable(
            "the raw archive cannot be opened: RAW_ARCHIVE_URL holds a password.",
            remedy="Give credentials in the store's own variables (docs/deploying.md, Object "
            "storage), and replace those that the URL showed.",
        )
