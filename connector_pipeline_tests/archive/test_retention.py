"""The archive does not grow for ever, whatever shops send and however syncs end."""

import stat
from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from connector_pipeline.archive import retention
from connector_pipeline.archive.raw_archive import RawArchive
from connector_pipeline.model.errors import ArchiveUnavailable, SnapshotTooLarge
from connector_pipeline.model.sync import Sync
from connector_pipeline.model.sync_type import SyncType
from connector_pipeline.platforms.kit.contract import FetchReport, RawPage
from connector_pipeline_tests.full_disk import fill, small_disk

SHOP = "shopify/acme.myshopify.com"
OTHER = "woocommerce/shop.example.com"
STARTED = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def sync(
    sync_id: str,
    *,
    shop: str = SHOP,
    day: float = 0,
    increment: bool = False,
    sync_type: SyncType = SyncType.FULL,
) -> Sync:
    return Sync(
        sync_id=sync_id,
        partition_key=shop,
        sync_type=SyncType.INCREMENTAL if increment else sync_type,
        correlation_id="c-1",
        started_at=STARTED + day * DAY,
    )


def page(kilobytes: int = 1) -> RawPage:
    """A page that zstd cannot make smaller."""
    return RawPage("products", Random(kilobytes).randbytes(kilobytes * 1_000), {})


def interrupted(archive: RawArchive, each: Sync, pages: int = 2) -> None:
    """A sync that ended before its last page."""
    archive.forget_interrupted(each.partition_key, but=each.sync_id)
    writer = archive.write(each)
    writer.begin()
    for _ in range(pages):
        writer.write(page())


def finished(archive: RawArchive, each: Sync, *pages: RawPage) -> None:
    writer = archive.write(each, clock=lambda: each.started_at + timedelta(seconds=5))
    writer.begin()
    for one in pages or (page(),):
        writer.write(one)
    writer.finish(FetchReport(currency="SEK", complete=True))
    archive.retain(each.partition_key)


def held(archive: RawArchive, shop: str = SHOP) -> list[str]:
    """The syncs whose pages the archive holds."""
    return [path.rsplit("/", 1)[-1] for path in archive.storage().files(f"{shop}/pages")]


def prune(archive: RawArchive, *active: str, day: float) -> retention.Pruned:
    return retention.prune(
        archive.storage(),
        is_active=active.__contains__,
        keep=90 * DAY,
        now=STARTED + day * DAY,
    )


@pytest.fixture
def archive(archive_url: str) -> RawArchive:
    """An archive in a folder, and one in an object store."""
    return RawArchive(url=archive_url, keep=2, shop_bytes=100_000)


def test_of_interrupted_syncs_the_newest_is_kept(archive: RawArchive) -> None:
    """However many fail one after another; and the finished snapshot stays."""
    finished(archive, sync("good"))
    for number in range(5):
        interrupted(archive, sync(f"failed-{number}"))
    assert held(archive) == ["failed-4", "good"]
    assert archive.unfinished(SHOP, "failed-4") == sync("failed-4")
    assert [each.kind for each in archive.latest(SHOP).pages()] == ["products"]


def test_a_sync_that_exceeds_the_shops_limit_fails_by_name(archive: RawArchive) -> None:
    """Its message names the variable; pages that a shop repeats endlessly end there, too."""
    for each in (page(30), RawPage("products", b"", {})):
        writer = archive.write(sync("endless"))
        writer.begin()
        endless = (writer.write(each) for _ in range(10_000))
        with pytest.raises(SnapshotTooLarge, match="RAW_ARCHIVE_SHOP_LIMIT"):
            list(endless)
        assert archive.storage().size(f"{SHOP}/pages") <= 100_000


def test_older_snapshots_go_where_the_newer_ones_take_the_shops_limit(archive: RawArchive) -> None:
    """The newest stays even if it takes nearly all."""
    finished(archive, sync("one", day=0), page(30))
    finished(archive, sync("two", day=1), page(40))
    assert held(archive) == ["one", "two"]
    finished(archive, sync("three", day=2), page(90))
    assert held(archive) == ["three"]
    assert archive.latest(SHOP).manifest.sync.sync_id == "three"


def test_increments_are_bounded_while_full_syncs_fail(
    archive: RawArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else they would stay until a full sync succeeds."""
    monkeypatch.setattr(retention, "MOST_INCREMENTS", 7)
    archive = RawArchive(url=archive.url, keep=2)
    finished(archive, sync("full"))
    for number in range(retention.MOST_INCREMENTS + 3):
        finished(archive, sync(f"i-{number:03}", day=number / 24, increment=True))
    assert len(held(archive)) == retention.MOST_INCREMENTS + 1
    assert "full" in held(archive)
    assert "i-000" not in held(archive)


def test_hinted_snapshots_are_bounded_and_push_no_other_out(
    archive: RawArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There may be thousands a day. What is published from the archive is never one of them."""
    monkeypatch.setattr(retention, "MOST_HINTED_SNAPSHOTS", 3)
    for day in range(2):
        finished(archive, sync(f"full-{day}", day=day), page(40))
    interrupted(archive, sync("full-2", day=2))
    for number in range(6):
        each = sync(f"hinted-{number}", day=2 + number / 100, sync_type=SyncType.HINTED)
        writer = archive.write(each, clock=lambda at=each.started_at: at)
        writer.begin()
        writer.write(page(5))
        writer.finish(FetchReport(currency="SEK", complete=True))
        archive.retain_hinted(SHOP)
    newest = ["hinted-3", "hinted-4", "hinted-5"]
    assert held(archive) == ["full-0", "full-1", "full-2", *newest]
    assert archive.latest(SHOP).manifest.sync.sync_id == "full-1"
    # With the next full sync they take a tenth of the shop's bytes at most.
    finished(archive, sync("full-3", day=3), page(40))
    assert held(archive) == ["full-1", "full-3", "hinted-5"]


def test_interrupted_syncs_of_a_day_ago_are_pruned(archive: RawArchive) -> None:
    """Nothing resumes them, and a shop may have no next sync that would delete them."""
    finished(archive, sync("good"))
    interrupted(archive, sync("old"))
    interrupted(archive, sync("young", shop=OTHER, day=1))
    assert prune(archive, SHOP, OTHER, day=1.5) == retention.Pruned(interrupted=1, shops=0)
    assert (held(archive), held(archive, OTHER)) == (["good"], ["young"])


def test_a_shop_that_is_not_active_for_long_is_pruned_as_a_whole(archive: RawArchive) -> None:
    """An active one never is, nor one that somebody else syncs into the same archive."""
    finished(archive, sync("gone"))
    finished(archive, sync("kept", shop=OTHER))
    finished(archive, sync("theirs", shop="woocommerce/theirs.example.com", day=80))
    assert prune(archive, OTHER, day=89) == retention.Pruned(interrupted=0, shops=0)
    assert prune(archive, OTHER, day=91) == retention.Pruned(interrupted=0, shops=1)
    assert archive.storage().files(SHOP) == []
    assert held(archive, OTHER) == ["kept"]
    assert held(archive, "woocommerce/theirs.example.com") == ["theirs"]


def test_files_of_others_in_the_archive_are_left_alone(archive: RawArchive) -> None:
    """Somebody may keep a note beside the shops."""
    archive.storage().make_folder("notes/2026")
    archive.storage().write("notes/2026/read-me.txt", b"1")
    finished(archive, sync("gone"))
    assert prune(archive, day=400).shops == 1
    assert archive.storage().read("notes/2026/read-me.txt") == b"1"


def test_what_a_manifest_repeats_of_a_shop_is_bounded(tmp_path: Path) -> None:
    """Warnings and details end up in Dagster's events, too."""
    archive = RawArchive(url=str(tmp_path / "raw"))
    writer = archive.write(sync("talkative"))
    writer.begin()
    report = FetchReport(currency="SEK", complete=True)
    report.warnings = [f"{number}: " + "w" * 12_000 for number in range(500)]
    report.details = {"odd": ["x" * 1_000] * 5_000}
    manifest = writer.finish(report)
    assert len(manifest.model_dump_json()) < 1_000_000
    assert manifest.warnings[-1] == "… and 401 more of these."
    assert "…" in str(manifest.details["odd"])


def test_everything_in_the_archives_folder_is_its_owners(tmp_path: Path) -> None:
    """Also what an earlier version made with more rights."""
    root = tmp_path / "raw"
    (root / "shopify" / "acme.myshopify.com").mkdir(parents=True)
    for folder in (root, root / "shopify", root / "shopify" / "acme.myshopify.com"):
        folder.chmod(0o755)
    finished(RawArchive(url=str(root)), sync("good"))
    rights = {
        stat.S_IMODE(path.stat().st_mode) for path in (root, *root.rglob("*")) if path.is_dir()
    }
    files = {stat.S_IMODE(path.stat().st_mode) for path in root.rglob("*") if path.is_file()}
    assert (rights, files) == ({0o700}, {0o600})


@pytest.fixture
def small(tmp_path: Path) -> Generator[Path]:
    """A disk of 256 kB."""
    with small_disk(tmp_path / "disk", kilobytes=256) as disk:
        yield disk


def write_page(archive: RawArchive) -> None:
    writer = archive.write(sync("next"))
    list(writer.resume())
    writer.write(page())
    writer.write(page(9))


def write_manifest(archive: RawArchive) -> None:
    writer = archive.write(sync("next"), clock=lambda: STARTED)
    list(writer.resume())
    writer.finish(FetchReport(currency="SEK", complete=True))


def begin(archive: RawArchive) -> None:
    archive.write(sync("next", shop=OTHER)).begin()


@pytest.mark.parametrize("step", [write_page, write_manifest, begin])
def test_a_full_disk_is_one_clear_line_and_leaves_no_half_a_file(
    small: Path, step: Callable[[RawArchive], None]
) -> None:
    """And the next sync is good when there is room again."""
    archive = RawArchive(url=str(small / "raw"))
    finished(archive, sync("good"))
    interrupted(archive, sync("next"), pages=1)
    before = {path for path in small.rglob("*") if path.is_file()}
    filler = fill(small)
    with pytest.raises(ArchiveUnavailable) as full:
        step(archive)
    assert full.value.retryable
    assert str(full.value) == (
        "the raw archive cannot be written (OSError: No space left on device). Check "
        "RAW_ARCHIVE_URL, its permissions and space; the next sync tries again."
    )
    assert {path for path in small.rglob("*") if path.is_file()} == {*before, filler}
    assert archive.latest(SHOP).manifest.sync.sync_id == "good"
    filler.unlink()
    assert archive.unfinished(SHOP, "next") == sync("next")
    step(archive)
    finished(archive, sync("last", day=1))
    assert archive.latest(SHOP).manifest.sync.sync_id == "last"
    assert held(archive) == ["good", "last"] or held(archive) == ["good", "last", "next"]
