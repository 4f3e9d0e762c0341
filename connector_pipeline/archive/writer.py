"""Write one sync's pages as they arrive, and make a snapshot of them at the end."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from pydantic import JsonValue

from connector_pipeline.archive.manifest import (
    PageEntry,
    SnapshotManifest,
    finished_at_of,
    is_manifest_of,
    manifest_name,
    manifests_folder,
    pages_folder,
    sync_file,
)
from connector_pipeline.archive.masking import Mask
from connector_pipeline.archive.page_file import decode_page, encode_page
from connector_pipeline.archive.reader import read_pages
from connector_pipeline.archive.storage import ArchiveStorage
from connector_pipeline.model.errors import CurrencyUnknown, SnapshotTooLarge
from connector_pipeline.model.excerpt import bounded_lines, excerpt
from connector_pipeline.model.storable import clipped
from connector_pipeline.model.sync import Sync
from connector_pipeline.model.sync_type import SyncType
from connector_pipeline.platforms.kit.contract import LOOKUP, FetchReport, RawPage


class SnapshotWriter:
    """Writes the pages of one sync in order. All calls block; call from one thread at a time.

    A page that quotes one of the `secrets` of the moment is archived without it.
    """

    def __init__(
        self,
        storage: ArchiveStorage,
        sync: Sync,
        *,
        clock: Callable[[], datetime],
        most_bytes: int,
        secrets: Callable[[], Iterable[str]] = tuple,
    ):
        self._secrets = secrets
        self._masked_for: tuple[str, ...] = ()
        self._mask = Mask(())
        self._storage = storage
        self._sync = sync
        self._clock = clock
        self._most_bytes = most_bytes
        self._stored = 0
        self._folder = pages_folder(sync.partition_key, sync.sync_id)
        self._entries: list[PageEntry] = []
        self._recovered: list[PageEntry] = []
        self._diverged = True

    @property
    def pages(self) -> int:
        """How many pages have been written."""
        return len(self._entries)

    def begin(self, *, over: bool = True) -> None:
        """Delete the pages of an earlier attempt at the same sync, and before them its manifest.

        A second call discards the pages that were written since: the shop is read anew. Where it is
        not begun `over`, the archive has nothing of the sync, and nothing is looked for.
        """
        self._entries.clear()
        self._recovered.clear()
        self._stored = 0
        self._diverged = True
        if over:
            for path in self._storage.files(manifests_folder(self._sync.partition_key)):
                if is_manifest_of(path, self._sync.sync_id):
                    self._storage.delete_file(path)
            self._storage.delete(self._folder)
        self._storage.make_folder(self._folder)
        self._storage.write(
            sync_file(self._sync.partition_key, self._sync.sync_id),
            self._sync.model_dump_json().encode(),
        )

    def resume(self) -> Iterator[RawPage]:
        """Go on with the pages of an interrupted attempt at this sync, instead of `begin`.

        Yields these pages in order, up to the first that is not whole. A page that `write` gets
        again is not written twice; the first page that differs replaces all from there on.
        """
        self._entries.clear()
        self._recovered.clear()
        self._stored = 0
        self._diverged = False
        for number, path in enumerate(self._page_files(), start=1):
            name = path.rsplit("/", 1)[-1]
            try:
                content = self._storage.read(path)
                page = decode_page(content)
            except (FileNotFoundError, ValueError):
                # The interruption cut this page off.
                return
            # The ids that a lookup asked for depend on all the other pages, so it is made anew.
            if page.kind == LOOKUP or name != _page_name(number, page.kind):
                return
            self._recovered.append(_entry(name, page, stored=len(content)))
            yield page

    def write(self, page: RawPage) -> None:
        """Add a page. Raises ArchiveUnavailable, and SnapshotTooLarge past the bound of a shop."""
        page = replace(page, body=self._without_secrets(page.body))
        number = len(self._entries) + 1
        content = encode_page(page)
        entry = _entry(_page_name(number, page.kind), page, stored=len(content))
        self._stored += max(len(content), _LEAST_BYTES)
        if self._stored > self._most_bytes:
            raise SnapshotTooLarge(
                f"its pages take more of the raw archive than RAW_ARCHIVE_SHOP_LIMIT allows: "
                f"{self._most_bytes} bytes, after {number - 1} pages.",
                partition_key=self._sync.partition_key,
            )
        if not self._diverged:
            if number <= len(self._recovered) and self._recovered[number - 1] == entry:
                self._entries.append(entry)
                return
            self._diverged = True
            for path in self._page_files():
                if path.rsplit("/", 1)[-1] >= _page_name(number, ""):
                    self._storage.delete_file(path)
        self._storage.write(f"{self._folder}/{entry.name}", content)
        self._entries.append(entry)

    def written(self) -> Iterator[RawPage]:
        """Read back, page by page, the pages written so far. Raises SnapshotMissing."""
        return read_pages(self._storage, self._sync, tuple(self._entries))

    def finish(
        self,
        report: FetchReport,
        *,
        gone: Iterable[str] = (),
        absences_confirmed: bool = False,
    ) -> SnapshotManifest:
        """Write the manifest, which makes the snapshot exist.

        Raises CurrencyUnknown, ArchiveUnavailable.
        """
        if report.currency is None:
            raise CurrencyUnknown(
                "the platform did not state the shop's currency.",
                partition_key=self._sync.partition_key,
            )
        finished_at = self._clock()
        sync = self._sync
        if report.read_in_full:
            sync = sync.model_copy(update={"sync_type": SyncType.FULL, "since": None})
        learned = report.learned
        if len(json.dumps(learned)) > _MOST_LEARNED:
            learned = {}
            report.warnings.append(
                f"What was learned of the shop takes more than {_MOST_LEARNED} bytes and is not "
                "kept: the next sync learns it anew."
            )
        manifest = SnapshotManifest(
            sync=sync,
            currency=report.currency,
            complete=report.complete,
            all_read=report.complete or report.all_read,
            gone=tuple(gone),
            absences_confirmed=absences_confirmed,
            as_of=report.as_of,
            pages=tuple(self._entries),
            finished_at=finished_at,
            seconds=(finished_at - self._sync.started_at).total_seconds(),
            requests=report.requests,
            retries=report.retries,
            waited_seconds=report.waited_seconds,
            archive_seconds=report.archive_seconds,
            details=_bounded(report.details, most_bytes=_MOST_DETAILS),
            warnings=tuple(
                bounded_lines(
                    (clipped(each, most_bytes=_LONGEST_WARNING) for each in report.warnings),
                    most=_MOST_WARNINGS,
                    most_bytes=_LONGEST_WARNING,
                )
            ),
            learned=learned,
            not_yet=tuple(sorted(report.not_yet)),
        )
        folder = manifests_folder(self._sync.partition_key)
        self._storage.make_folder(folder)
        self._storage.write(
            f"{folder}/{manifest_name(self._later_than_all(finished_at), sync)}",
            manifest.model_dump_json(indent=1).encode(),
        )
        return manifest

    def _without_secrets(self, body: bytes) -> bytes:
        secrets = tuple(self._secrets())
        if secrets != self._masked_for:
            # Credentials are renewed during a long sync.
            self._mask, self._masked_for = Mask(secrets), secrets
        return self._mask.masked(body)

    def _later_than_all(self, time: datetime) -> datetime:
        """The time, or one past those of the shop's manifests, which a wrong clock may have set."""
        folder = manifests_folder(self._sync.partition_key)
        others = (finished_at_of(path) for path in self._storage.files(folder))
        newest = max((other for other in others if other is not None), default=None)
        return time if newest is None or newest < time else newest + timedelta(microseconds=1)

    def _page_files(self) -> list[str]:
        return [path for path in self._storage.files(self._folder) if path.endswith(_SUFFIX)]


_SUFFIX: Final = ".zst"
_LEAST_BYTES: Final = 4_096
"""A file takes a block of the disk at least, so that endless empty pages end as well."""
_MOST_DETAILS: Final = 64 * 1024
_MOST_WARNINGS: Final = 100
_LONGEST_WARNING: Final = 2_000
_MOST_LEARNED: Final = 256 * 1024


def _bounded(details: Mapping[str, JsonValue], *, most_bytes: int) -> dict[str, JsonValue]:
    cut = _shown(excerpt(details, most_bytes=most_bytes))
    return cut if isinstance(cut, dict) else {}


def _shown(value: JsonValue) -> JsonValue:
    """A detail of the report, each text in it as a message may quote it: platforms wrote some."""
    match value:
        case str():
            return clipped(value, most_bytes=_LONGEST_WARNING)
        case list():
            return [_shown(each) for each in value]
        case dict():
            return {
                clipped(name, most_bytes=_LONGEST_WARNING): _shown(each)
                for name, each in value.items()
            }
        case _:
            return value


def _page_name(number: int, kind: str) -> str:
    # Seven digits, so that the names of the largest shop's pages, too, sort in their order.
    return f"{number:07d}-{kind}{_SUFFIX}"


def _entry(name: str, page: RawPage, *, stored: int) -> PageEntry:
    return PageEntry(
        name=name,
        kind=page.kind,
        bytes=len(page.body),
        sha256=hashlib.sha256(page.body).hexdigest(),
        stored=stored,
    )
