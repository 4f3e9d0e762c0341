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
    is_of_increment,
    manifests_folder,
    pages_folder,
)
from connector_pipeline.archive.storage import ArchiveStorage
from connector_pipeline.model.errors import InvalidShop
from connector_pipeline.model.shop import parse_partition_key
from connector_pipeline.model.sync import Sync

MOST_INCREMENTS: Final = 100
"""Increments since the newest full snapshot. There is none to end them while full syncs fail."""

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
    and never the newest. Pages of unfinished or older syncs are deleted, too. Call it right after a
    snapshot was finished, while no other sync of the shop is writing. A manifest is deleted before
    its pages, so a reader never finds a manifest whose pages are being deleted.
    """
    kept_folders: set[str] = set()
    full = increments = stored = 0
    for path in reversed(manifests(storage, partition_key)):
        increment = is_of_increment(path)
        wanted = full == 0 and increments < MOST_INCREMENTS if increment else full < keep
        manifest = _manifest(storage, path) if wanted else None
        stored += 0 if manifest is None else manifest.stored
        if manifest is None or (kept_folders and stored > most_bytes):
            storage.delete_file(path)
            continue
        kept_folders.add(pages_folder(partition_key, manifest.sync.sync_id))
        full += not increment
        increments += increment
    for folder in storage.files(f"{partition_key}/pages"):
        if folder not in kept_folders:
            storage.delete(folder)


def delete_interrupted(storage: ArchiveStorage, partition_key: str, *, but: str) -> None:
    """Delete the pages of the shop's syncs without a manifest, except those of the sync `but`.

    Call it as a sync of the shop begins, while no other one is writing.
    """
    kept = {folder_of(partition_key, path) for path in manifests(storage, partition_key)}
    kept.add(pages_folder(partition_key, but))
    for folder in storage.files(f"{partition_key}/pages"):
        if folder not in kept:
            storage.delete(folder)


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
