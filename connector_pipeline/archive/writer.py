"""Write one sync's pages as they arrive, and make them a snapshot at the end."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from connector_pipeline.archive.manifest import (
    PageEntry,
    SnapshotManifest,
    is_manifest_of,
    manifest_name,
    manifests_folder,
    pages_folder,
)
from connector_pipeline.archive.page_file import encode_page
from connector_pipeline.archive.reader import read_pages
from connector_pipeline.archive.storage import ArchiveStorage
from connector_pipeline.model.errors import CurrencyUnknown
from connector_pipeline.model.sync import Sync
from connector_pipeline.platforms.platform import FetchReport, RawPage


class SnapshotWriter:
    """Pages of one sync, in order; blocking calls, from one thread at a time."""

    def __init__(self, storage: ArchiveStorage, sync: Sync, *, clock: Callable[[], datetime]):
        self._storage = storage
        self._sync = sync
        self._clock = clock
        self._folder = pages_folder(sync.partition_key, sync.sync_id)
        self._entries: list[PageEntry] = []

    @property
    def pages(self) -> int:
        """How many pages have been written."""
        return len(self._entries)

    def begin(self) -> None:
        """Clear away what an earlier attempt at the same sync left behind, its manifest first.

        Called again, it discards what was written: the shop is read anew.
        """
        self._entries.clear()
        for path in self._storage.files(manifests_folder(self._sync.partition_key)):
            if is_manifest_of(path, self._sync.sync_id):
                self._storage.delete(path)
        self._storage.delete(self._folder)
        self._storage.make_folder(self._folder)

    def write(self, page: RawPage) -> None:
        """Add a page. Raises OSError when the archive cannot be written."""
        name = f"{len(self._entries) + 1:05d}-{page.kind}.zst"
        self._storage.write(f"{self._folder}/{name}", encode_page(page))
        self._entries.append(
            PageEntry(
                name=name,
                kind=page.kind,
                bytes=len(page.body),
                sha256=hashlib.sha256(page.body).hexdigest(),
            )
        )

    def written(self) -> Iterator[RawPage]:
        """What has been written so far, read back page by page. Raises SnapshotMissing."""
        return read_pages(self._storage, self._sync, tuple(self._entries))

    def finish(
        self,
        report: FetchReport,
        *,
        gone: Iterable[str] = (),
        absences_confirmed: bool = False,
    ) -> SnapshotManifest:
        """Write the manifest: from here on the snapshot exists. Raises CurrencyUnknown, OSError."""
        if report.currency is None:
            raise CurrencyUnknown(
                "the platform did not say the shop's currency.",
                partition_key=self._sync.partition_key,
            )
        finished_at = self._clock()
        manifest = SnapshotManifest(
            sync=self._sync,
            currency=report.currency,
            complete=report.complete,
            gone=tuple(gone),
            absences_confirmed=absences_confirmed,
            pages=tuple(self._entries),
            finished_at=finished_at,
            seconds=(finished_at - self._sync.started_at).total_seconds(),
            requests=report.requests,
            retries=report.retries,
            waited_seconds=report.waited_seconds,
            details=report.details,
            warnings=tuple(report.warnings),
        )
        folder = manifests_folder(self._sync.partition_key)
        self._storage.make_folder(folder)
        self._storage.write(
            f"{folder}/{manifest_name(finished_at, self._sync.sync_id)}",
            manifest.model_dump_json(indent=1).encode(),
        )
        return manifest
