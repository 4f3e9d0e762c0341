"""The items that a publish deletes and those that it keeps: tombstones, revival, the guard."""

import pytest

from connector_pipeline.catalog.read import rejects
from connector_pipeline.model.errors import SnapshotShrank
from connector_pipeline.model.sync_type import SyncType
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline.state.sync_log import PublishCounts
from connector_pipeline_tests.catalog.snapshots import (
    ACME,
    Publisher,
    item,
    many,
    rejected,
)


def test_an_item_that_a_complete_full_snapshot_lacks_becomes_a_tombstone(
    publisher: Publisher,
) -> None:
    """The row stays, with the time of its deletion, which a later publish does not move."""
    publisher([item("1"), item("2")])
    before = publisher.rows()
    assert publisher([item("1")]) == PublishCounts(items=1, unchanged=1, deleted=1)
    buried = publisher.rows()["2"]
    assert buried["deleted_at"] == buried["changed_at"] > before["2"]["changed_at"]
    assert buried["sync_id"] == "sync-2"
    assert publisher([item("1")]) == PublishCounts(items=1, unchanged=1)
    assert publisher.rows()["2"] == buried


def test_a_variant_that_returns_is_revived(publisher: Publisher) -> None:
    """It is live again, and `first_synced_at` stays."""
    publisher([item("1"), item("2")])
    first = publisher.rows()["2"]
    publisher([item("1")])
    assert publisher([item("1"), item("2")]) == PublishCounts(items=2, unchanged=1, revived=1)
    row = publisher.rows()["2"]
    assert row["deleted_at"] is None
    assert row["first_synced_at"] == first["first_synced_at"]
    assert row["sync_id"] == "sync-3"


@pytest.mark.parametrize(
    ("sync_type", "complete"),
    [(SyncType.FULL, False), (SyncType.INCREMENTAL, True), (SyncType.INCREMENTAL, False)],
)
def test_absence_means_nothing_unless_full_and_complete(
    publisher: Publisher, sync_type: SyncType, complete: bool
) -> None:
    """Such a snapshot adds and updates items and deletes none, even if it is empty."""
    publisher(many(60))
    counts = publisher([item("0-0", sku="new")], sync_type=sync_type, complete=complete)
    assert counts == PublishCounts(items=1, updated=1)
    assert publisher([], sync_type=sync_type, complete=complete) == PublishCounts()
    assert len(publisher.live()) == 60


def test_an_incomplete_snapshot_deletes_the_variants_that_the_platform_says_are_gone(
    publisher: Publisher,
) -> None:
    """It deletes no other absent variant, and none that the snapshot has or could not read."""
    publisher(many(60))
    gone = ["0-0", "1-0", "2-0", "elsewhere"]
    counts = publisher(many(1), [rejected("2-0")], complete=False, gone=gone)
    assert counts == PublishCounts(items=1, unchanged=1, deleted=1, rejected=1)
    assert publisher.live() == {f"{index}-0" for index in range(60)} - {"1-0"}


def test_an_increment_deletes_the_variants_that_the_platform_says_are_gone(
    publisher: Publisher,
) -> None:
    """Also if nothing else changed. An absence alone says nothing in an increment."""
    publisher(many(3))
    publisher(many(1), sync_type=SyncType.INCREMENTAL, gone=["1-0", "0-0", "elsewhere"])
    assert publisher.live() == {"0-0", "2-0"}
    assert publisher([], sync_type=SyncType.INCREMENTAL, gone=["2-0"]).deleted == 1
    assert publisher.live() == {"0-0"}


def test_an_increment_never_deletes_most_of_a_shop(
    publisher: Publisher, registry: ShopRegistry
) -> None:
    """Its changes are published, and the shop keeps the refusal until a full sync counts."""
    publisher(many(60))
    gone = [f"{index}-0" for index in range(20, 60)]
    changed = publisher(many(1, sku="new"), sync_type=SyncType.INCREMENTAL, gone=gone)
    assert changed == PublishCounts(items=1, updated=1)
    assert len(publisher.live()) == 60
    kept = registry.get(ACME.partition_key)
    assert kept.full_sync_error_code == "SnapshotShrank"
    publisher([], sync_type=SyncType.INCREMENTAL)
    assert registry.get(ACME.partition_key).full_sync_error_code == "SnapshotShrank"
    publisher(many(20), gone=gone, allow_shrink=True)
    assert registry.get(ACME.partition_key).full_sync_error_code is None
    assert len(publisher.live()) == 20


def test_an_increment_never_empties_a_shop(publisher: Publisher) -> None:
    publisher(many(2))
    publisher([], sync_type=SyncType.INCREMENTAL, gone=["0-0", "1-0"])
    assert len(publisher.live()) == 2


def test_the_guard_also_counts_variants_that_the_platform_says_are_gone(
    publisher: Publisher,
) -> None:
    """A shop never loses most of its items unless an operator confirms it."""
    publisher(many(60))
    gone = [f"{index}-0" for index in range(20, 60)]
    with pytest.raises(SnapshotShrank, match="lacks 40"):
        publisher(many(20), complete=False, gone=gone)
    assert len(publisher.live()) == 60
    publisher(many(20), complete=False, gone=gone, allow_shrink=True)
    assert len(publisher.live()) == 20


def test_an_incomplete_snapshot_keeps_the_rejects_that_it_lacks(
    publisher: Publisher,
) -> None:
    """That some variants are gone says nothing about the others."""
    publisher(many(3), [rejected("9-0", product_id="9")])
    publisher(many(2), complete=False, gone=["2-0"])
    with publisher.database.connect() as connection:
        assert [row["variant_id"] for row in rejects(connection, ACME.partition_key)] == ["9-0"]


def test_an_increment_deletes_no_variant_because_its_product_lacks_it(
    publisher: Publisher,
) -> None:
    """A list of variants that ended too early looks the same: the platform is asked by id first."""
    publisher([item("1-1"), item("1-2"), item("2-1")])
    snapshot = [item("1-1"), item("2-1", sku="new")]
    for whole_products in (False, True):
        increment = {"sync_type": SyncType.INCREMENTAL, "whole_products": whole_products}
        assert publisher(snapshot, **increment).deleted == 0
    assert publisher(snapshot, gone=["1-2"], **increment).deleted == 1


def test_an_incremental_snapshot_keeps_variants_that_it_could_not_read(
    publisher: Publisher,
) -> None:
    """A rejected variant keeps its row.

    One without an id keeps its product's rows or the shop's.
    """
    publisher([item("1-1"), item("1-2"), item("1-3"), item("2-1"), item("2-2")])
    for unread, live in (
        ([rejected(None, product_id=None)], {"1-1", "1-2", "1-3", "2-1", "2-2"}),
        ([rejected(None, product_id="1")], {"1-1", "1-2", "1-3", "2-1", "2-2"}),
        # No variant of product 2 could be read, so nobody knows which ones it lacks.
        ([rejected("1-2"), rejected("2-1", product_id="2")], {"1-1", "1-2", "2-1", "2-2"}),
    ):
        publisher(
            [item("1-1")],
            unread,
            sync_type=SyncType.INCREMENTAL,
            gone=["1-2", "1-3"],
            whole_products=True,
        )
        assert publisher.live() == live


def test_an_incremental_snapshot_of_whole_products_replaces_their_rejects(
    publisher: Publisher,
) -> None:
    """A rejected variant that its product no longer has is no longer listed."""
    publisher([item("1-1")], [rejected("1-2", product_id="1"), rejected("2-1", product_id="2")])
    publisher([item("1-1")], sync_type=SyncType.INCREMENTAL, whole_products=True)
    with publisher.database.connect() as connection:
        kept = [row["variant_id"] for row in rejects(connection, ACME.partition_key)]
    assert kept == ["2-1"]


def test_an_incomplete_full_snapshot_of_whole_products_deletes_nothing(
    publisher: Publisher,
) -> None:
    """Its counts contradict its pages, so no part of it is trusted."""
    publisher([item("1-1"), item("1-2")])
    assert publisher([item("1-1")], complete=False, whole_products=True).deleted == 0


def test_a_snapshot_that_shrank_past_the_guard_changes_nothing(publisher: Publisher) -> None:
    """It is refused with the numbers, and not even its new items are published."""
    publisher(many(60))
    before = publisher.rows()
    with pytest.raises(SnapshotShrank, match="lacks 31 of the catalog's 60") as refused:
        publisher([*many(29), item("new")])
    assert refused.value.partition_key == ACME.partition_key
    assert publisher.rows() == before


def test_an_operator_confirms_that_a_shop_shrank(publisher: Publisher) -> None:
    """With `allow_shrink` even an empty snapshot is published."""
    publisher(many(60))
    assert publisher(many(10), allow_shrink=True).deleted == 50
    with pytest.raises(SnapshotShrank, match="is empty"):
        publisher([])
    assert publisher([], allow_shrink=True).deleted == 10
    assert publisher.live() == set()


def test_tombstones_do_not_count_for_the_guard(publisher: Publisher) -> None:
    """A shop cannot lose an item again that is deleted already."""
    publisher(many(60))
    publisher(many(31))
    assert publisher(many(16)).deleted == 15
