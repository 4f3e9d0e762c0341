"""The raw archive: it opens writers for snapshots and finds the snapshots to read."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from pydantic import ValidationError

from connector_pipeline.archive.manifest import (
    SnapshotManifest,
    is_manifest_of,
    manifests_folder,
    sync_file,
    sync_type_of,
)
from connector_pipeline.archive.reader import Snapshot
from connector_pipeline.archive.retention import (
    delete_interrupted,
    delete_older_hinted,
    delete_older_snapshots,
    manifests,
)
from connector_pipeline.archive.storage import ArchiveStorage
from connector_pipeline.archive.writer import SnapshotWriter
from connector_pipeline.model.errors import SnapshotMissing
from connector_pipeline.model.sync import Sync
from connector_pipeline.model.sync_type import SyncType


@lru_cache(maxsize=4)
def _of_folder(path: str) -> ArchiveStorage:
    return ArchiveStorage.at(path)


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Erased:
    """What was deleted of a shop: its finished snapshots, and the bytes of all its files."""

    snapshots: int
    bytes: int


@dataclass(frozen=True, slots=True)
class RawArchive:
    """Raw snapshots at `url` (any fsspec URL: a folder, s3://, gs://), `keep` of them per shop.

    The snapshots of a shop take `shop_bytes` at most, but for the newest one, which stays, and the
    pages of one sync no more than that either.

    Credentials of a remote store come from its own environment, never from the URL.
    """

    url: str
    keep: int = 3
    shop_bytes: int = 10 * 10**9

    def storage(self) -> ArchiveStorage:
        """The file system behind the URL."""
        # A folder's storage has no state. Others are made for each use: fsspec keeps a client of
        # theirs for each thread.
        return ArchiveStorage.at(self.url) if "://" in self.url else _of_folder(self.url)

    def write(
        self,
        sync: Sync,
        *,
        clock: Callable[[], datetime] = _now,
        secrets: Callable[[], Iterable[str]] = tuple,
    ) -> SnapshotWriter:
        """A writer for this sync's pages. Readers see the snapshot once the writer finished it.

        `secrets` says, whenever a page is written, what must not be archived with it.
        """
        return SnapshotWriter(
            self.storage(), sync, clock=clock, most_bytes=self.shop_bytes, secrets=secrets
        )

    def latest(self, partition_key: str) -> Snapshot:
        """The newest finished snapshot of the whole shop, or of its changes: no hinted one.

        Raises SnapshotMissing.
        """
        storage = self.storage()
        for path in reversed(manifests(storage, partition_key)):
            if sync_type_of(path) is SyncType.HINTED:
                continue
            try:
                manifest = SnapshotManifest.model_validate_json(storage.read(path))
            except ValidationError:
                # A crash cut off the manifest's write; the manifest before it is whole.
                continue
            return Snapshot(storage, manifest)
        raise SnapshotMissing(
            "the raw archive holds no complete snapshot.", partition_key=partition_key
        )

    def snapshot(self, manifest: SnapshotManifest) -> Snapshot:
        """The snapshot of this manifest."""
        return Snapshot(self.storage(), manifest)

    def finished(self, partition_key: str, sync_id: str) -> SnapshotManifest | None:
        """The manifest of this sync's snapshot; None if there is no finished one."""
        storage = self.storage()
        for path in manifests(storage, partition_key):
            if is_manifest_of(path, sync_id):
                try:
                    return SnapshotManifest.model_validate_json(storage.read(path))
                except (FileNotFoundError, ValidationError):
                    return None
        return None

    def unfinished(self, partition_key: str, sync_id: str) -> Sync | None:
        """The sync of this id as an interrupted attempt recorded it; None if none left pages."""
        if self.finished(partition_key, sync_id) is not None:
            return None
        try:
            return Sync.model_validate_json(self.storage().read(sync_file(partition_key, sync_id)))
        except (FileNotFoundError, ValidationError):
            return None

    def snapshot_uri(self, manifest: SnapshotManifest) -> str:
        """The URI of the folder of a snapshot's pages, for an operator to open."""
        return self.snapshot(manifest).uri

    def retain(self, partition_key: str) -> None:
        """Delete all but the `keep` newest full snapshots and the increments since the newest.

        And but the newest hinted snapshots.

        Older ones go sooner where they would take more than `shop_bytes`.
        """
        delete_older_snapshots(
            self.storage(), partition_key, keep=self.keep, most_bytes=self.shop_bytes
        )

    def retain_hinted(self, partition_key: str) -> None:
        """Delete all hinted snapshots but the newest."""
        delete_older_hinted(self.storage(), partition_key)

    def forget_interrupted(self, partition_key: str, *, but: str) -> bool:
        """Delete the pages of all interrupted syncs of the shop but this one.

        Returns whether the archive has anything of this one.
        """
        return delete_interrupted(self.storage(), partition_key, but=but)

    def erase(self, partition_key: str) -> Erased:
        """Delete all that the archive has of the shop, while no sync of it is writing.

        After a kill the rest is deleted by the next call. Raises ArchiveUnavailable.
        """
        storage = self.storage()
        erased = Erased(len(manifests(storage, partition_key)), storage.size(partition_key))
        # A manifest before its pages: a reader finds none whose pages are being deleted.
        storage.delete(manifests_folder(partition_key))
        storage.delete(partition_key)
        return erased
