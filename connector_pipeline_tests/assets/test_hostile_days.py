"""A bad request, a bad shop and a full disk harm nobody beside them."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from connector_pipeline.automation.sync_queue import shops_of
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline.state import inbox, queued_runs
from connector_pipeline.state.queued_runs import Capacity
from connector_pipeline_tests.assets.conftest import Pipeline
from connector_pipeline_tests.assets.test_sync_shops import key, sync
from connector_pipeline_tests.full_disk import fill, small_disk
from connector_pipeline_tests.state.test_poison_requests import GOOD, POISON, Requests


@pytest.fixture
def three(pipeline: Pipeline) -> Pipeline:
    """A pipeline with three small shops in its sandbox, of which none is registered yet."""
    for number in range(3):
        pipeline.sandbox.store.put(
            ShopSpec(
                platform="shopify",
                domain=key(number).split("/")[1],
                merchant_id="m-1",
                platform_shop_id=str(number),
                products=3,
                variants=(1, 2),
                seed=number,
                awkward=False,
            )
        )
    return pipeline


def requested(number: int) -> dict[str, Any]:
    """The fields in which the request of a good shop differs."""
    return {"domain": key(number).split("/")[1], "platform_shop_id": str(number)}


def test_good_requests_among_bad_ones_of_each_kind_are_synced(three: Pipeline) -> None:
    """Each bad one has failed with its reason, and the catalog has the good shops as they are."""
    requests = Requests(three.database)
    good = {number: requests.by_sql(requested(number)) for number in range(2)}
    bad = [requests.by_sql(GOOD | changes) for changes in POISON]
    good[2] = requests.by_sql(requested(2))
    with three.database.connect() as connection:
        inbox.accept(connection, limit=1_000)
        queued_runs.take(connection, capacity=Capacity(9, 9, 9), shops_per_run=100)
        [launch] = queued_runs.unseen(connection)
    three.register(*map(key, range(3)))
    assert sync(three, shops_of(launch)).success
    ended = {
        row["sync_id"]: (row["status"], row["error_code"])
        for row in requests.rows("SELECT sync_id, status, error_code FROM connector.syncs")
    }
    assert ended == {
        **dict.fromkeys(good.values(), ("succeeded", None)),
        **dict.fromkeys(bad, ("failed", "InvalidSyncRequest")),
    }
    for number in good:
        assert len(three.rows(key(number))) == len(three.served(key(number))) > 0


@pytest.fixture
def small_archive(
    three: Pipeline, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Generator[Path]:
    """The pipeline's raw archive on a disk of 256 kB."""
    with small_disk(tmp_path / "disk", kilobytes=256) as disk:
        monkeypatch.setenv("RAW_ARCHIVE_URL", str(disk / "raw"))
        yield disk


def test_a_full_disk_of_the_archive_fails_syncs_in_one_clear_line(
    three: Pipeline, small_archive: Path
) -> None:
    """The catalog keeps what it has, and the next sync is good once there is room."""
    three.register(key(0))
    assert three.materialize(key(0)).success
    before = three.rows(key(0))
    filler = fill(small_archive)
    failed = three.materialize(key(0))
    assert not failed.success
    assert three.failure(failed).splitlines()[:2] == [
        f"{key(0)}: the raw archive cannot be written (OSError: No space left on device).",
        "ArchiveUnavailable: Check RAW_ARCHIVE_URL, its permissions and space; the next sync tries "
        "again.",
    ]
    assert three.rows(key(0)).equals(before)
    filler.unlink()
    assert three.materialize(key(0)).success
    assert not list(small_archive.rglob("*.part"))


def test_an_archive_that_cannot_be_read_fails_the_publish_in_one_clear_line(
    three: Pipeline, small_archive: Path
) -> None:
    """It is no defect of the connector."""
    three.register(key(0))
    assert three.materialize(key(0), assets=["raw_products"]).success
    [page, *_] = small_archive.rglob("*-products.zst")
    page.unlink()
    page.mkdir()
    failed = three.materialize(key(0), assets=["catalog_items"])
    assert three.failure(failed).startswith(
        f"{key(0)}: the raw archive cannot be read (IsADirectoryError: "
    )
