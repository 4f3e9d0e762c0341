"""Read a finished snapshot back, page by page."""

import hashlib
from collections.abc import Iterable, Iterator

from connector_pipeline.archive.manifest import PageEntry, SnapshotManifest, pages_folder
from connector_pipeline.archive.page_file import decode_page
from connector_pipeline.archive.storage import ArchiveStorage
from connector_pipeline.model.errors import SnapshotMissing
from connector_pipeline.model.sync import Sync
from connector_pipeline.platforms.kit.contract import RawPage


class Snapshot:
    """A finished snapshot: its manifest, and its pages as the platform sent them."""

    def __init__(self, storage: ArchiveStorage, manifest: SnapshotManifest):
        self._storage = storage
        self.manifest = manifest
        self._folder = pages_folder(manifest.sync.partition_key, manifest.sync.sync_id)

    @property
    def uri(self) -> str:
        """The URI of the folder of the pages, for an operator to open."""
        return self._storage.uri(self._folder)

    def pages(self) -> Iterator[RawPage]:
        """The pages in the order they were fetched; one in memory at a time.

        Raises SnapshotMissing for a page that is gone or damaged.
        """
        return read_pages(self._storage, self.manifest.sync, self.manifest.pages)


def read_pages(
    storage: ArchiveStorage, sync: Sync, entries: Iterable[PageEntry]
) -> Iterator[RawPage]:
    """The sync's pages that `entries` name, one in memory at a time. Raises SnapshotMissing."""
    folder = pages_folder(sync.partition_key, sync.sync_id)
    for entry in entries:
        try:
            page = decode_page(storage.read(f"{folder}/{entry.name}"))
        except (FileNotFoundError, ValueError) as error:
            raise _damaged(sync, entry.name) from error
        if hashlib.sha256(page.body).hexdigest() != entry.sha256:
            raise _damaged(sync, entry.name)
        yield page


def _damaged(sync: Sync, name: str) -> SnapshotMissing:
    return SnapshotMissing(
        f"page {name} of the raw snapshot {sync.sync_id} is gone or damaged.",
        partition_key=sync.partition_key,
        remedy="Materialize `raw_products` for this shop again.",
    )
