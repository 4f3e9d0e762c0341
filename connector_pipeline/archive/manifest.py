"""The manifest of a snapshot, and the paths of all files in the archive.

    {root}/{platform}/{domain}/pages/{sync}/sync.json               the sync that fetched the pages
    {root}/{platform}/{domain}/pages/{sync}/0000001-products.zst
    {root}/{platform}/{domain}/snapshots/{finished}-{sync}.json     the manifest; of an incremental
                                                                    sync it ends in .increment.json,
                                                                    of a hinted one in .hinted.json

The manifest is written after the last page: a snapshot without a manifest does not exist. A
manifest that does not parse, because a crash cut off its write, counts as none.
"""

import hashlib
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, JsonValue

from connector_pipeline.model.sync import Sync
from connector_pipeline.model.sync_type import SyncType


class PageEntry(BaseModel):
    """One archived page: `name` is its file in the sync's folder.

    `bytes` is the size of the body as received, `sha256` its digest. `stored` is the size of the
    file, null where an earlier version of the connector wrote it.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    kind: str
    bytes: int
    sha256: str
    stored: int | None = None


class SnapshotManifest(BaseModel):
    """The description of a finished snapshot. Times are UTC, durations seconds.

    `complete`: the platform's own counts confirm the snapshot; only then does absence mean
    deletion. Otherwise `gone` are the absent variants that the platform, asked by id, says are
    gone; `absences_confirmed` if it said so of all absent variants. `all_read`: all that the
    platform counts was read, or its lack is explained. `as_of` is the time of the data where that
    is earlier than the start of the sync. `learned` is the adapter's memory. `not_yet` are tokens
    of hints, or products, that are to be asked for again.
    """

    model_config = ConfigDict(frozen=True)

    sync: Sync
    currency: str
    complete: bool
    all_read: bool = False
    gone: tuple[str, ...] = ()
    absences_confirmed: bool = False
    as_of: datetime | None = None
    pages: tuple[PageEntry, ...]
    finished_at: datetime
    seconds: float
    requests: int
    retries: int
    waited_seconds: float
    archive_seconds: float = 0.0
    details: dict[str, JsonValue]
    warnings: tuple[str, ...]
    learned: dict[str, JsonValue] = {}
    not_yet: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        """Size of all bodies as received."""
        return sum(page.bytes for page in self.pages)

    @property
    def stored(self) -> int:
        """Size of all pages' files, at most."""
        return sum(page.bytes if page.stored is None else page.stored for page in self.pages)


SYNC_FILE: Final = "sync.json"


def pages_folder(partition_key: str, sync_id: str) -> str:
    """The folder of a sync's pages, below the archive's root."""
    return f"{partition_key}/pages/{_file_name(sync_id)}"


def sync_file(partition_key: str, sync_id: str) -> str:
    """The file that records the sync beside its pages, so that it can be resumed."""
    return f"{pages_folder(partition_key, sync_id)}/{SYNC_FILE}"


def manifests_folder(partition_key: str) -> str:
    """The folder of a shop's manifests, below the archive's root; their names sort by time."""
    return f"{partition_key}/snapshots"


_ENDINGS: Final = {
    SyncType.FULL: ".json",
    SyncType.INCREMENTAL: ".increment.json",
    SyncType.HINTED: ".hinted.json",
}


def manifest_name(finished_at: datetime, sync: Sync) -> str:
    """The manifest's file name: sorts by the time the snapshot was finished."""
    ending = _ENDINGS[sync.sync_type]
    return f"{finished_at:%Y%m%dT%H%M%S%f}Z-{_file_name(sync.sync_id)}{ending}"


def is_manifest_of(path: str, sync_id: str) -> bool:
    """Whether a manifest's path is of this sync."""
    name = _file_name(sync_id)
    return path.endswith(tuple(f"Z-{name}{ending}" for ending in _ENDINGS.values()))


def folder_of(partition_key: str, path: str) -> str:
    """The folder of the pages of a manifest's path, found by its name alone."""
    name = path.rsplit("/", 1)[-1].partition("Z-")[2]
    return f"{partition_key}/pages/{name.removesuffix(_ENDINGS[sync_type_of(path)])}"


def finished_at_of(path: str) -> datetime | None:
    """The time in a manifest's path; None if the file is none."""
    try:
        written = path.rsplit("/", 1)[-1].partition("-")[0]
        return datetime.strptime(written, "%Y%m%dT%H%M%S%fZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def sync_type_of(path: str) -> SyncType:
    """The type of the sync that a manifest's path is of."""
    # A sync's own dots are escaped in its file name.
    for sync_type in (SyncType.INCREMENTAL, SyncType.HINTED):
        if path.endswith(_ENDINGS[sync_type]):
            return sync_type
    return SyncType.FULL


_LONGEST_NAME: Final = 180
"""Bytes. File systems take 255, and 51 are the time and the endings of a manifest being written."""
_KEPT_OF_NAME: Final = 100


def _file_name(sync_id: str) -> str:
    # A requester's sync_id may have slashes and dots, and must not choose another folder.
    name = quote(sync_id, safe="").replace(".", "%2E")
    if len(name) <= _LONGEST_NAME:
        return name
    # No other name has a `=`.
    return f"{name[:_KEPT_OF_NAME]}={hashlib.sha256(sync_id.encode()).hexdigest()}"
