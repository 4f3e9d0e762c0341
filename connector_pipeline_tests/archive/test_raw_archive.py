"""A raw snapshot exists as a whole or not at all, and has the received bytes."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.archive.page_file import decode_page, encode_page
from connector_pipeline.archive.raw_archive import Erased, RawArchive
from connector_pipeline.model.errors import CurrencyUnknown, SnapshotMissing
from connector_pipeline.model.sync import Sync
from connector_pipeline.model.sync_type import SyncType
from connector_pipeline.platforms.kit.contract import FetchReport, RawPage

SHOP = "shopify/acme.myshopify.com"
STARTED = datetime(2026, 11, 23, 12, tzinfo=UTC)
PAGES = [
    RawPage(kind="products", body=b'{"n": 1}\n\xff\x00', facts={"cursor": "a"}),
    RawPage(kind="variants", body=b"", facts={}),
]


def sync(sync_id: str = "sync-1", shop: str = SHOP) -> Sync:
    return Sync(
        sync_id=sync_id,
        partition_key=shop,
        sync_type=SyncType.FULL,
        correlation_id="c-1",
        started_at=STARTED,
    )


def at(seconds: int) -> Callable[[], datetime]:
    return lambda: STARTED + timedelta(seconds=seconds)


def snapshot(archive: RawArchive, sync_id: str, seconds: int) -> None:
    writer = archive.write(sync(sync_id), clock=at(seconds))
    writer.begin()
    for page in PAGES:
        writer.write(page)
    writer.finish(FetchReport(currency="SEK", complete=True, requests=2))


@pytest.fixture
def archive(archive_url: str) -> RawArchive:
    """An archive in a folder, and one in an object store."""
    return RawArchive(url=archive_url, keep=2)


def test_pages_are_read_back_as_received(archive: RawArchive) -> None:
    """The bodies are equal byte for byte, in the order they were fetched."""
    snapshot(archive, "sync-1", 10)
    found = archive.latest(SHOP)
    assert list(found.pages()) == PAGES
    assert found.manifest.sync == sync()
    assert found.manifest.currency == "SEK"
    assert found.manifest.complete
    assert found.manifest.seconds == 10


@pytest.mark.parametrize("hours", [1, 24 * 365 * 50])
def test_the_last_snapshot_is_the_newest_though_the_clock_went_back(
    tmp_path: Path, hours: int
) -> None:
    """The other machine's clock was ahead, and what was read since must not be passed over."""
    archive = RawArchive(url=str(tmp_path), keep=2)
    snapshot(archive, "ahead", hours * 3600)
    for seconds, sync_id in enumerate(("right-1", "right-2", "right-3"), start=1):
        snapshot(archive, sync_id, seconds)
        archive.retain(SHOP)
        newest = archive.latest(SHOP).manifest
        assert newest.sync.sync_id == sync_id
        assert newest.finished_at == STARTED + timedelta(seconds=seconds)
    assert archive.finished(SHOP, "ahead") is None
    assert archive.finished(SHOP, "right-2") is not None


LONG_IDS = {
    "letters": "a" * 200,
    "slashes": "/" * 200,
    "dots": "." * 200,
    "a URN with parameters": "urn:sync:" + "?shop=a%2Fb&n=1;" * 11,
    "one like it": "urn:sync:" + "?shop=a%2Fb&n=1;" * 10 + "?shop=a%2Fb&n=2;",
}


def test_a_sync_of_any_id_is_archived_and_told_from_the_others(tmp_path: Path) -> None:
    """A file system takes 255 bytes for a name, and the shop must not be read for nothing."""
    archive = RawArchive(url=str(tmp_path), keep=len(LONG_IDS))
    for seconds, sync_id in enumerate(LONG_IDS.values(), start=1):
        snapshot(archive, sync_id, seconds)
        archive.retain(SHOP)
        assert archive.latest(SHOP).manifest.sync.sync_id == sync_id
        assert list(archive.latest(SHOP).pages()) == PAGES
    for sync_id in LONG_IDS.values():
        found = archive.finished(SHOP, sync_id)
        assert found is not None
        assert found.sync.sync_id == sync_id
    interrupted = archive.write(sync("+" * 200), clock=at(60))
    interrupted.begin()
    assert archive.unfinished(SHOP, "+" * 200) == sync("+" * 200)
    assert archive.forget_interrupted(SHOP, but="+" * 200)
    assert all(archive.forget_interrupted(SHOP, but=sync_id) for sync_id in LONG_IDS.values())
    assert not archive.forget_interrupted(SHOP, but="another")
    assert archive.unfinished(SHOP, "+" * 200) is None
    assert len(list((tmp_path / SHOP / "pages").iterdir())) == len(LONG_IDS)


def test_a_snapshot_without_its_manifest_does_not_exist(archive: RawArchive) -> None:
    """A fetch that was killed before its end leaves nothing for readers."""
    writer = archive.write(sync(), clock=at(10))
    writer.begin()
    writer.write(PAGES[0])
    with pytest.raises(SnapshotMissing, match=SHOP):
        archive.latest(SHOP)


def test_a_manifest_that_was_cut_off_does_not_exist(tmp_path: Path) -> None:
    """The snapshot before it is then the newest one."""
    archive = RawArchive(url=str(tmp_path))
    snapshot(archive, "sync-1", 10)
    snapshot(archive, "sync-2", 20)
    newest = max((tmp_path / SHOP / "snapshots").iterdir())
    newest.write_bytes(newest.read_bytes()[:-20])
    assert archive.latest(SHOP).manifest.sync.sync_id == "sync-1"


def test_the_newest_snapshot_is_read(archive: RawArchive) -> None:
    """The newest is the one that was finished last, whatever its id."""
    snapshot(archive, "z", 10)
    snapshot(archive, "a", 20)
    assert archive.latest(SHOP).manifest.sync.sync_id == "a"


def test_shops_do_not_see_each_other(archive: RawArchive) -> None:
    """A snapshot belongs to one shop."""
    snapshot(archive, "sync-1", 10)
    with pytest.raises(SnapshotMissing):
        archive.latest("shopify/other.myshopify.com")


def test_an_erased_shop_has_no_file_left_and_the_others_have_theirs(archive: RawArchive) -> None:
    """Its snapshots and the pages of interrupted syncs. Erased again, there is nothing."""
    other = "shopify/my-acme.myshopify.com"
    for shop in (SHOP, other):
        writer = archive.write(sync("whole", shop), clock=at(10))
        writer.begin()
        writer.write(PAGES[0])
        writer.finish(FetchReport(currency="SEK", complete=True))
    interrupted = archive.write(sync("cut-off"))
    interrupted.begin()
    interrupted.write(PAGES[0])
    size = archive.storage().size(SHOP)
    assert archive.erase(SHOP) == Erased(snapshots=1, bytes=size)
    assert archive.storage().files(SHOP) == []
    assert archive.storage().size(SHOP) == 0
    assert archive.erase(SHOP) == Erased(snapshots=0, bytes=0)
    assert list(archive.latest(other).pages()) == PAGES[:1]


def test_only_the_newest_snapshots_are_kept(archive: RawArchive) -> None:
    """Older ones are deleted, and with them the pages of unfinished syncs."""
    unfinished = archive.write(sync("unfinished"), clock=at(5))
    unfinished.begin()
    unfinished.write(PAGES[0])
    for number in range(4):
        snapshot(archive, f"sync-{number}", 10 + number)
    archive.retain(SHOP)
    storage = archive.storage()
    assert len(storage.files(f"{SHOP}/snapshots")) == 2
    assert len(storage.files(f"{SHOP}/pages")) == 2
    assert list(archive.latest(SHOP).pages()) == PAGES


def test_a_sync_tried_again_leaves_nothing_of_its_first_try(archive: RawArchive) -> None:
    """The pages and the manifest are those of the second try."""
    snapshot(archive, "sync-1", 10)
    writer = archive.write(sync(), clock=at(20))
    writer.begin()
    with pytest.raises(SnapshotMissing):
        archive.latest(SHOP)
    writer.write(PAGES[1])
    writer.finish(FetchReport(currency="SEK"))
    assert list(archive.latest(SHOP).pages()) == [PAGES[1]]


def test_a_shop_read_anew_within_a_sync_leaves_nothing_of_the_first_reading(
    archive: RawArchive,
) -> None:
    """The pages can be read back before the end. After a second `begin` none is left."""
    writer = archive.write(sync(), clock=at(20))
    writer.begin()
    for page in PAGES:
        writer.write(page)
    assert list(writer.written()) == PAGES
    writer.begin()
    assert list(writer.written()) == []
    writer.write(PAGES[1])
    manifest = writer.finish(FetchReport(currency="SEK"), gone=["1", "2"])
    found = archive.latest(SHOP)
    assert list(found.pages()) == [PAGES[1]]
    assert found.manifest == manifest
    assert found.manifest.gone == ("1", "2")


def interrupted(archive: RawArchive, sync_id: str = "sync-1") -> None:
    """Archive two pages of a sync that never ended."""
    writer = archive.write(sync(sync_id), clock=at(10))
    writer.begin()
    for page in PAGES:
        writer.write(page)


def test_an_interrupted_sync_is_found_as_it_began(archive: RawArchive) -> None:
    """The sync has its own start and type. A finished sync, or another one, is not found."""
    assert archive.unfinished(SHOP, "sync-1") is None
    interrupted(archive)
    assert archive.unfinished(SHOP, "sync-1") == sync()
    assert archive.unfinished(SHOP, "sync-2") is None
    assert archive.finished(SHOP, "sync-1") is None
    snapshot(archive, "sync-1", 10)
    assert archive.unfinished(SHOP, "sync-1") is None
    finished = archive.finished(SHOP, "sync-1")
    assert finished is not None
    assert finished.sync == sync()


def test_a_resumed_sync_goes_on_after_its_last_whole_page(archive: RawArchive) -> None:
    """The archived pages are read back and not written a second time; new pages follow them."""
    interrupted(archive)
    writer = archive.write(sync(), clock=at(20))
    third = RawPage(kind="variants", body=b"3", facts={"n": 3})
    for page in writer.resume():
        writer.write(page)
    assert writer.pages == 2
    writer.write(third)
    writer.finish(FetchReport(currency="SEK"))
    assert list(archive.latest(SHOP).pages()) == [*PAGES, third]


def test_a_resumed_sync_that_gets_another_page_drops_all_later_ones(
    archive: RawArchive,
) -> None:
    """A page that differs replaces the archived one and all that follow it."""
    interrupted(archive)
    writer = archive.write(sync(), clock=at(20))
    other = RawPage(kind="other", body=b"{}", facts={})
    list(writer.resume())
    writer.write(other)
    writer.write(PAGES[1])
    writer.finish(FetchReport(currency="SEK"))
    assert list(archive.latest(SHOP).pages()) == [other, PAGES[1]]
    assert len(archive.storage().files(f"{SHOP}/pages/sync-1")) == 3


def test_a_page_cut_off_by_the_interruption_is_not_resumed_from(tmp_path: Path) -> None:
    """The page before it is the last that is believed."""
    archive = RawArchive(url=str(tmp_path))
    interrupted(archive)
    last = max((tmp_path / SHOP / "pages" / "sync-1").glob("*.zst"))
    last.write_bytes(last.read_bytes()[:-3])
    assert list(archive.write(sync(), clock=at(20)).resume()) == PAGES[:1]


def test_increments_are_kept_with_the_full_snapshot_they_follow(archive: RawArchive) -> None:
    """All of them are kept, however many. Those before the newest full snapshot are deleted."""
    increment = SyncType.INCREMENTAL
    for number in range(9):
        full = number in (0, 4)
        made = sync(f"sync-{number}").model_copy(update={} if full else {"sync_type": increment})
        writer = archive.write(made, clock=at(10 + number))
        writer.begin()
        writer.finish(FetchReport(currency="SEK"))
        archive.retain(SHOP)
    kept = [path.split("sync-")[1] for path in archive.storage().files(f"{SHOP}/snapshots")]
    assert kept == ["0.json", "4.json", *(f"{number}.increment.json" for number in range(5, 9))]
    assert archive.finished(SHOP, "sync-8") is not None


def test_an_increment_that_was_read_in_full_is_a_full_snapshot(archive: RawArchive) -> None:
    """A platform that cannot list changes is read as a whole."""
    asked = sync().model_copy(update={"sync_type": SyncType.INCREMENTAL, "since": STARTED})
    writer = archive.write(asked, clock=at(20))
    writer.begin()
    writer.finish(FetchReport(currency="SEK", read_in_full=True))
    assert archive.latest(SHOP).manifest.sync == sync()


def test_a_damaged_page_is_noticed(tmp_path: Path) -> None:
    """Neither half a page nor another page is taken for the received one."""
    archive = RawArchive(url=str(tmp_path))
    snapshot(archive, "sync-1", 10)
    page = tmp_path / SHOP / "pages" / "sync-1" / "0000001-products.zst"
    whole = page.read_bytes()
    for damaged in (whole[:-3], b"", encode_page(PAGES[1])):
        page.write_bytes(damaged)
        with pytest.raises(SnapshotMissing, match="0000001-products"):
            list(archive.latest(SHOP).pages())
    page.unlink()
    with pytest.raises(SnapshotMissing, match="Materialize `raw_products`"):
        list(archive.latest(SHOP).pages())


def test_a_snapshot_without_currency_is_not_finished(archive: RawArchive) -> None:
    """Prices without a currency are not published, and a currency is never guessed."""
    writer = archive.write(sync(), clock=at(10))
    writer.begin()
    with pytest.raises(CurrencyUnknown):
        writer.finish(FetchReport())


@pytest.mark.parametrize("sync_id", ["../../escape", "a/b", "..", "x" * 200, "%2e%2e"])
def test_a_requesters_sync_id_stays_within_the_shops_folder(tmp_path: Path, sync_id: str) -> None:
    """The id is a stranger's text and must not choose where files are written."""
    root = tmp_path / "raw"
    archive = RawArchive(url=str(root))
    snapshot(archive, sync_id, 10)
    assert archive.latest(SHOP).manifest.sync.sync_id == sync_id
    assert {path.name for path in tmp_path.iterdir()} == {"raw"}
    assert {path.name for path in (root / SHOP).iterdir()} == {"pages", "snapshots"}


@given(
    st.builds(
        RawPage,
        kind=st.text(max_size=20),
        body=st.binary(max_size=2000),
        facts=st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.booleans()),
    )
)
def test_every_page_survives_its_file(page: RawPage) -> None:
    """Any body and any facts are read back equal."""
    assert decode_page(encode_page(page)) == page


@given(st.binary(max_size=200))
def test_a_file_that_is_no_page_is_refused(content: bytes) -> None:
    """Garbage in the archive is an error that is handled, not a crash."""
    with pytest.raises(ValueError, match=r"zstd|head|JSON|Expecting"):
        decode_page(content)


@pytest.mark.parametrize("stated", [81 * 1024 * 1024, 2**62])
def test_a_file_of_a_page_too_large_is_refused_before_it_is_decompressed(stated: int) -> None:
    """Its frame says how large it is, and that much memory would be taken at once."""
    # RFC 8878, 3.1.1: a magic number, a descriptor for eight bytes of content size, a window.
    head = b"\x28\xb5\x2f\xfd" + b"\xe0" + stated.to_bytes(8, "little")
    with pytest.raises(ValueError, match="more than"):
        decode_page(head + b"\x01\x00\x00")


def test_a_file_that_does_not_state_its_size_is_refused() -> None:
    """We write none, and it could become any size."""
    packer = zstandard.ZstdCompressor().compressobj()
    content = packer.compress(b'{"kind":"a","facts":{}}\n' + b" " * 1024) + packer.flush()
    with pytest.raises(ValueError, match="frame"):
        decode_page(content)
