"""Delete the pages and snapshots that nobody needs any more, so that the archive does not grow."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pydantic import ValidationError

from connector_pipeline.archive.manifest import (
    SYNC_FILE,
    SnapshotManifest,
    finished_at_of,
    folder_of,
    manifests_folder,
    pages_folder,
    sync_type_of,
)
from connector_pipeline.archive.storage import ArchiveStorage
from connector_pipeline.model.errors import InvalidShop
from connector_pipeline.model.shop import parse_partition_key
from connector_pipeline.model.sync import Sync
from connector_pipeline.model.sync_type import SyncType

MOST_INCREMENTS: Final = 100
"""Increments since the newest full snapshot. There is none to end them while full syncs fail."""

MOST_HINTED_SNAPSHOTS: Final = 20
"""Snapshots of hinted syncs, to look at what the platform said of late. Nothing is made of them
again: a sync of the whole shop has the same products."""

OLDEST_INTERRUPTED: Final = timedelta(days=1)
"""An interrupted sync is not resumed after six hours, and no sync takes a day."""


def manifests(storage: ArchiveStorage, partition_key: str) -> list[str]:
    """The paths of the shop's manifests, the oldest first."""
    found = storage.files(manifests_folder(partition_key))
    return [path for path in found if finished_at_of(path) is not None and path.endswith(".json")]


def delete_older_snapshots(
    storage: ArchiveStorage, partition_key: str, *, keep: int, most_bytes: int
) -> None:
    """Keep the shop's newest `keep` full snapshots and the increments since the newest of them.

    Of these, the older ones that would take more than `most_bytes` with the newer ones are deleted,
    and never the newest. The newest hinted snapshots stay beside them, and push none of them out;
    together they take a tenth of `most_bytes`. Pages of unfinished or older syncs are deleted, too.
    Call it right after a snapshot was finished, while no other sync of the shop is writing. A
    manifest is deleted before its pages, so a reader never finds a manifest whose pages are being
    deleted.
    """
    kept = dict.fromkeys(SyncType, 0)
    kept_folders: set[str] = set()
    stored = stored_of_hinted = 0
    for path in reversed(manifests(storage, partition_key)):
        sync_type = sync_type_of(path)
        wanted = {
            SyncType.FULL: kept[SyncType.FULL] < keep,
            SyncType.INCREMENTAL: kept[SyncType.FULL] == 0
            and kept[SyncType.INCREMENTAL] < MOST_INCREMENTS,
            SyncType.HINTED: kept[SyncType.HINTED] < MOST_HINTED_SNAPSHOTS,
        }[sync_type]
        manifest = _manifest(storage, path) if wanted else None
        if manifest is not None and sync_type is SyncType.HINTED:
            stored_of_hinted += manifest.stored
            too_much = stored_of_hinted > most_bytes // _SHARE_OF_HINTED
        else:
            stored += 0 if manifest is None else manifest.stored
            others = kept[SyncType.FULL] + kept[SyncType.INCREMENTAL]
            too_much = others > 0 and stored > most_bytes
        if manifest is None or too_much:
            storage.delete_file(path)
            continue
        kept_folders.add(pages_folder(partition_key, manifest.sync.sync_id))
        kept[sync_type] += 1
    for folder in storage.files(f"{partition_key}/pages"):
        if folder not in kept_folders:
            storage.delete(folder)


def delete_older_hinted(storage: ArchiveStorage, partition_key: str) -> None:
    """Keep the shop's newest hinted snapshots, and leave all others as they are.

    Call it right after a hinted snapshot was finished. It reads no file: there may be thousands of
    hinted syncs a day. An interrupted sync of the whole shop keeps its pages.
    """
    hinted = [
        path for path in manifests(storage, partition_key) if sync_type_of(path) is SyncType.HINTED
    ]
    for path in hinted[:-MOST_HINTED_SNAPSHOTS]:
        storage.delete_file(path)
        storage.delete(folder_of(partition_key, path))


def delete_interrupted(storage: ArchiveStorage, partition_key: str, *, but: str) -> bool:
    """Delete the pages of the shop's syncs without a manifest, except those of the sync `but`.

    Returns whether there are pages or a manifest of the sync `but`. Call it as a sync of the shop
    begins, while no other one is writing.
    """
    own = pages_folder(partition_key, but)
    finished = {folder_of(partition_key, path) for path in manifests(storage, partition_key)}
    folders = storage.files(f"{partition_key}/pages")
    for folder in folders:
        if folder not in finished and folder != own:
            storage.delete(folder)
    return own in finished or own in folders


_SHARE_OF_HINTED: Final = 10


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many interrupted syncs were deleted, and how many shops with all that they had."""

    interrupted: int
    shops: int


def prune(
    storage: ArchiveStorage,
    *,
    is_active: Callable[[str], bool],
    keep: timedelta,
    now: datetime,
) -> Pruned:
    """Delete what no sync will look at again, of all shops that the archive has.

    Those are interrupted syncs older than OLDEST_INTERRUPTED, and all of a shop that is not active
    (removed, paused, disconnected) and had its last sync longer than `keep` ago. Another deployment
    may share the archive: a shop that it syncs is younger than that. Raises ArchiveUnavailable.
    """
    interrupted = shops = 0
    for key in _shops(storage):
        finished = manifests(storage, key)
        kept = {folder_of(key, path) for path in finished}
        times = [time for path in finished if (time := finished_at_of(path)) is not None]
        for folder in storage.files(f"{key}/pages"):
            if folder in kept:
                continue
            began = _began(storage, folder)
            if began is None or now - began > OLDEST_INTERRUPTED:
                # Without the file of its sync nothing resumes it, and a sync writes that first.
                storage.delete(folder)
                interrupted += 1
            if began is not None:
                times.append(began)
        if not is_active(key) and times and now - max(times) > keep:
            # A manifest before its pages, as above.
            storage.delete(manifests_folder(key))
            storage.delete(key)
            shops += 1
    return Pruned(interrupted, shops)


def _shops(storage: ArchiveStorage) -> list[str]:
    keys: list[str] = []
    for platform_name in storage.files(""):
        for key in storage.files(platform_name):
            try:
                parse_partition_key(key)
            except InvalidShop:
                # Not ours: somebody else's files may lie here, too.
                continue
            keys.append(key)
    return keys


def _began(storage: ArchiveStorage, folder: str) -> datetime | None:
    try:
        return Sync.model_validate_json(storage.read(f"{folder}/{SYNC_FILE}")).started_at
    except (FileNotFoundError, ValidationError):
        return None


def _manifest(storage: ArchiveStorage, path: str) -> SnapshotManifest | None:
    try:
        return SnapshotManifest.model_validate_json(storage.read(path))
    except (FileNotFoundError, ValidationError):
        return None
