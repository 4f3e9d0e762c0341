"""Whatever lies in the archive, reading it ends in a snapshot, in none, or in SnapshotMissing."""

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector_pipeline.archive.manifest import manifests_folder, pages_folder, sync_file
from connector_pipeline.archive.raw_archive import RawArchive
from connector_pipeline.model.errors import SnapshotMissing
from connector_pipeline.model.sync import Sync
from connector_pipeline.model.sync_type import SyncType
from connector_pipeline.platforms.kit.contract import FetchReport, RawPage
from connector_pipeline_tests.any_json import near_json

KEY = "shopify/acme.myshopify.com"
SYNC = Sync(
    sync_id="s-1",
    partition_key=KEY,
    sync_type=SyncType.FULL,
    correlation_id="c-1",
    started_at=datetime(2026, 11, 1, tzinfo=UTC),
)
MANIFEST = {
    "sync": SYNC.model_dump(mode="json"), "currency": "SEK", "complete": True, "all_read": True,
    "gone": [], "absences_confirmed": False, "as_of": None,
    "pages": [{"name": "0000001-products.zst", "kind": "products", "bytes": 2, "sha256": "0" * 64}],
    "finished_at": "2026-11-01T00:00:00Z", "seconds": 1.0, "requests": 1, "retries": 0,
    "waited_seconds": 0.0, "details": {}, "warnings": [], "learned": {},
}  # fmt: skip
per_example = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def put(root: Path, path: str, content: bytes) -> None:
    place = root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)


@given(near_json(MANIFEST))
@per_example
def test_any_manifest_is_a_snapshot_or_none(tmp_path: Path, content: bytes) -> None:
    """Its pages are read, or are gone or damaged."""
    put(tmp_path, f"{manifests_folder(KEY)}/20261101T000000000000Z-s-1.json", content)
    archive = RawArchive(url=str(tmp_path))
    assert archive.finished(KEY, "another") is None
    with suppress(SnapshotMissing):
        list(archive.latest(KEY).pages())
    archive.finished(KEY, "s-1")


@given(near_json(SYNC.model_dump(mode="json")))
@per_example
def test_any_record_of_an_interrupted_sync_is_a_sync_or_none(
    tmp_path: Path, content: bytes
) -> None:
    put(tmp_path, sync_file(KEY, "s-1"), content)
    found = RawArchive(url=str(tmp_path)).unfinished(KEY, "s-1")
    assert found is None or isinstance(found, Sync)


@given(st.binary(max_size=200), st.integers(0, 200), st.booleans())
@per_example
def test_any_bytes_in_a_page_end_the_resumption_or_are_a_page(
    tmp_path: Path, noise: bytes, place: int, replaced: bool
) -> None:
    """The pages before it are used."""
    archive = RawArchive(url=str(tmp_path))
    writer = archive.write(SYNC)
    writer.begin()
    writer.write(RawPage("products", b'{"data":{}}', {"after": None}))
    writer.write(RawPage("products", b'{"data":{"a":1}}', {"after": "c"}))
    second = tmp_path / pages_folder(KEY, "s-1") / "0000002-products.zst"
    whole = second.read_bytes()
    second.write_bytes(noise if replaced else whole[:place] + noise + whole[place:])
    resumed = list(archive.write(SYNC).resume())
    assert 1 <= len(resumed) <= 2
    manifest = writer.finish(FetchReport(currency="SEK", complete=True))
    try:
        pages = list(archive.latest(KEY).pages())
    except SnapshotMissing:
        return
    assert [page.body for page in pages] == [b'{"data":{}}', b'{"data":{"a":1}}']
    assert manifest.sync == SYNC
