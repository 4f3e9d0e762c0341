"""Delete the snapshots that a shop no longer needs."""

from pydantic import ValidationError

from connector_pipeline.archive.manifest import (
    SnapshotManifest,
    is_of_increment,
    manifests_folder,
    pages_folder,
)
from connector_pipeline.archive.storage import ArchiveStorage


def delete_older_snapshots(storage: ArchiveStorage, partition_key: str, *, keep: int) -> None:
    """Keep the shop's newest `keep` full snapshots and the increments since the newest of them.

    Pages of unfinished or older syncs are deleted, too. Call it right after a snapshot was
    finished, while no other sync of the shop is writing. A manifest is deleted before its pages, so
    a reader never finds a manifest whose pages are being deleted.
    """
    kept_folders: set[str] = set()
    kept = 0
    for path in reversed(storage.files(manifests_folder(partition_key))):
        increment = is_of_increment(path)
        if kept == 0 if increment else kept < keep:
            try:
                manifest = SnapshotManifest.model_validate_json(storage.read(path))
            except ValidationError:
                storage.delete(path)
                continue
            kept_folders.add(pages_folder(partition_key, manifest.sync.sync_id))
            kept += not increment
        else:
            storage.delete(path)
    for folder in storage.files(f"{partition_key}/pages"):
        if folder not in kept_folders:
            storage.delete(folder)
