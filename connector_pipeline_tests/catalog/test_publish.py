"""Publish changes a shop's rows all or not at all, and only rows that differ."""

import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from connector_pipeline.catalog import staging
from connector_pipeline.catalog.publish import publish
from connector_pipeline.catalog.publish_lock import LONGEST_PUBLISH
from connector_pipeline.catalog.read import rejects, shop_items
from connector_pipeline.model.catalog_item import CatalogRow, RejectedVariant, row_of
from connector_pipeline.model.errors import ConnectorError, PublishTooSlow, UnknownShop
from connector_pipeline.model.shop import Shop
from connector_pipeline.model.sync_type import SyncType
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline.state.sync_log import PublishCounts
from connector_pipeline.state.sync_records import SyncRecords
from connector_pipeline_tests.catalog.snapshots import (
    ACME,
    LONG_AGO,
    OTHER,
    Publisher,
    item,
    many,
    rejected,
    rows,
)


def test_a_first_snapshot_is_inserted_as_it_is(publisher: Publisher) -> None:
    """Every column comes back equal, with null as null and 0 as 0."""
    given = item(
        "1-1",
        sku="",
        price=Decimal("0.000001"),
        inventory=-3,
        image_url="https://cdn.example.com/1.jpg",
        created_at=LONG_AGO - timedelta(microseconds=1),
        product_status="scheduled",
    )
    counts = publisher([given, item("1-2", price=None)])
    assert counts == PublishCounts(items=2, inserted=2)
    row = publisher.rows()["1-1"]
    assert given.model_dump(mode="python") == {name: row[name] for name in given.model_dump()}
    assert publisher.rows()["1-2"]["price"] is None
    assert row["first_synced_at"] == row["changed_at"]
    assert row["sync_id"] == "sync-1"


@pytest.mark.parametrize(
    "title",
    ["\\N", "tab\there", "line\nbreak\r", "back\\slash", '"quoted",', "\\.", "", "å🧦\u2028"],
)
def test_text_arrives_byte_for_byte(publisher: Publisher, title: str) -> None:
    """Characters that are syntax in COPY's text format are only text."""
    publisher([item("1", product_title=title, sku=title)])
    row = publisher.rows()["1"]
    assert (row["product_title"], row["sku"]) == (title, title)


def test_the_same_snapshot_again_writes_no_row(publisher: Publisher) -> None:
    """Neither a row's ctid nor its transaction changes: no row was updated or even locked."""
    items = [*many(20), item("x", sku="", price=Decimal("1.0"))]
    publisher(items)
    before = publisher.rows()
    again = [*many(20), item("x", sku="", price=Decimal("1.00"))]
    assert publisher(again) == PublishCounts(items=21, unchanged=21)
    assert publisher.rows() == before
    with publisher.database.connect() as connection:
        locked = connection.execute(
            "SELECT count(*) FROM catalog.catalog_items WHERE xmax <> 0"
        ).fetchone()
    assert locked == (0,)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("merchant_id", "m9"),
        ("platform_shop_id", "9"),
        ("product_id", "9"),
        ("product_title", "shirt"),
        ("variant_title", "Small "),
        ("sku", ""),
        ("price", Decimal("10.000001")),
        ("price", None),
        ("currency", "EUR"),
        ("inventory", 0),
        ("image_url", "https://cdn.example.com/1.jpg"),
        ("created_at", None),
        ("updated_at", LONG_AGO + timedelta(microseconds=1)),
        ("product_status", "draft"),
        ("sellable", None),
        ("sellable", False),
    ],
)
def test_a_difference_in_any_column_updates_that_row_alone(
    publisher: Publisher, column: str, value: object
) -> None:
    """`changed_at` and `sync_id` move on the row that differs, `first_synced_at` on none."""
    publisher([item("1", sellable=True), item("2")])
    before = publisher.rows()
    assert publisher([item("1", **{"sellable": True, column: value}), item("2")]) == PublishCounts(
        items=2, updated=1, unchanged=1
    )
    after = publisher.rows()
    assert after["2"] == before["2"]
    assert after["1"][column] == value
    assert after["1"]["changed_at"] > before["1"]["changed_at"]
    assert after["1"]["first_synced_at"] == before["1"]["first_synced_at"]
    assert after["1"]["sync_id"] == "sync-2"


def test_a_duplicate_keeps_the_later_copy(publisher: Publisher) -> None:
    """Earlier copies are counted."""
    copies = [item("1", sku="a"), item("1", sku="b"), item("2"), item("1", sku="c"), item("3")]
    assert publisher(copies) == PublishCounts(items=3, inserted=3, duplicates=2)
    assert publisher.rows()["1"]["sku"] == "c"


def test_a_session_publishes_by_the_same_tables_again(publisher: Publisher) -> None:
    """Tables made for each publish were most of what a sync wrote to Postgres's log."""

    def staged() -> list[tuple[Any, ...]]:
        with publisher.database.connect() as connection:
            return connection.execute(
                "SELECT pg_backend_pid(), staged, pg_relation_size(staged) FROM unnest(ARRAY["
                "to_regclass('pg_temp.staged_items'), to_regclass('pg_temp.staged_rejects')])"
                " AS staged"
            ).fetchall()

    publisher(many(300), [rejected("x")])
    before = staged()
    assert [size for _, _, size in before] == [0, 0]
    publisher(many(200), [rejected("x")])
    assert staged() == before


def test_what_a_publish_left_that_was_rolled_back_is_in_none(publisher: Publisher) -> None:
    """Of the next one's duplicates, too, the later copy is kept."""

    publisher(many(300))
    before = publisher.rows()

    def cut_off() -> Iterator[CatalogRow | RejectedVariant]:
        yield from rows([item("left", sku="left"), *many(200)], [rejected("left")])
        raise LookupError

    with pytest.raises(LookupError):
        publisher.publish_rows(cut_off())
    copies = [item("0-0", sku=str(number)) for number in range(50)]
    assert publisher([*copies, *many(300)[1:]]).duplicates == 49
    assert publisher.rows()["0-0"]["sku"] == "49"
    assert publisher.rows().keys() == before.keys()
    with publisher.database.connect() as connection:
        assert list(rejects(connection, ACME.partition_key)) == []


def test_a_rejected_variant_keeps_its_last_good_row(publisher: Publisher) -> None:
    """It is neither updated nor deleted, and the rest of the shop is published."""
    publisher([item("1"), item("2"), item("3")])
    before = publisher.rows()["2"]
    counts = publisher([item("1", sku="new")], [rejected("2")])
    assert counts == PublishCounts(items=1, updated=1, deleted=1, rejected=1)
    assert publisher.rows()["2"] == before
    assert publisher.live() == {"1", "2"}


def test_a_product_that_cannot_be_read_keeps_all_its_variants(publisher: Publisher) -> None:
    """A reject without a variant id may be any variant of its product, or any of the shop."""
    publisher([item("1-1"), item("1-2"), item("2-1"), item("3-1")])
    publisher([item("3-1")], [rejected(None, product_id="1")])
    assert publisher.live() == {"1-1", "1-2", "3-1"}
    publisher([], [rejected(None, product_id=None)])
    assert publisher.live() == {"1-1", "1-2", "3-1"}


def test_rejects_are_replaced_by_the_next_full_snapshot(publisher: Publisher) -> None:
    """An incremental snapshot replaces the rejects of the variants that it has."""
    publisher([item("9")], [rejected("1"), rejected("2"), rejected("3")])
    publisher([item("1")], [rejected("2")], sync_type=SyncType.INCREMENTAL)
    with publisher.database.connect() as connection:
        kept = [
            (row["variant_id"], row["sync_id"])
            for row in rejects(connection, "shopify/acme.myshopify.com")
        ]
    assert sorted(kept) == [("2", "sync-2"), ("3", "sync-1")]
    publisher([item("1"), item("9")])
    with publisher.database.connect() as connection:
        assert list(rejects(connection, ACME.partition_key)) == []


def test_a_reject_of_any_content_is_kept(publisher: Publisher) -> None:
    """NUL, half surrogates, NaN and Decimals are stored in a form that Postgres and JSON allow."""
    raw = {"id": "\x00", "title": "\ud800", "price": Decimal("1.5"), "weight": float("nan")}
    publisher([item("1")], [rejected("2\x00\ud800", raw=raw), rejected(None, raw=[None])])
    with publisher.database.connect() as connection:
        first, second = rejects(connection, ACME.partition_key)
    assert first["variant_id"] == "2\\x00\\ud800"
    assert first["raw"] == (
        '{"id": "\\u0000", "title": "\\ud800", "price": "1.5", "weight": "nan"}'
    )
    assert second["raw"] == "[null]"


def test_shops_do_not_touch_each_other(publisher: Publisher) -> None:
    """Two shops' variant ids may coincide."""
    publisher([item("1"), item("2")])
    publisher([item("1", shop=OTHER, sku="theirs")], shop=OTHER)
    before = publisher.rows()
    publisher([item("3", shop=OTHER)], shop=OTHER)
    assert publisher.rows() == before
    assert publisher.live(OTHER) == {"3"}


def test_an_exception_in_mid_stream_changes_nothing(publisher: Publisher) -> None:
    """The exception is the caller's, and the catalog, the sync and the shop are as before."""
    publisher([item("1")])
    before = publisher.rows()

    def broken() -> Iterator[CatalogRow | RejectedVariant]:
        yield from rows([item("2")], [rejected("3")])
        raise LookupError("the archive ended early")

    with (
        pytest.raises(LookupError, match="ended early"),
        publisher.database.connect() as connection,
    ):
        publish(connection, shop=ACME, sync=publisher.sync(), complete=True, rows=broken())
    assert publisher.rows() == before
    with publisher.database.connect() as connection:
        assert list(rejects(connection, ACME.partition_key)) == []
        found = connection.execute("SELECT sync_id FROM connector.syncs").fetchall()
    assert found == [("sync-1",)]


@pytest.mark.parametrize(
    "other",
    [{"platform_name": "elsewhere"}, {"domain": "other.myshopify.com"}],
    ids=["platform", "domain"],
)
def test_another_shops_row_is_refused(publisher: Publisher, other: dict[str, str]) -> None:
    """Publish would change it under the wrong shop's lock."""
    with pytest.raises(ValueError, match=r"a row for shopify/acme\.myshopify\.com is of"):
        publisher([item("1"), item("2", **other)])
    assert publisher.rows() == {}


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_rejects_are_kept_however_many_there_are(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """They are copied in groups between the items, and no item is lost by that."""
    monkeypatch.setattr(staging, "REJECTS_AT_ONCE", 2)
    snapshot = [
        row
        for place in range(number)
        for row in rows([item(f"{place}-0")], [rejected(f"r-{place}")])
    ]
    with publisher.database.connect() as connection:
        counts = publish(connection, shop=ACME, sync=publisher.sync(), complete=True, rows=snapshot)
        kept = {row["variant_id"] for row in rejects(connection, ACME.partition_key)}
    assert counts == PublishCounts(items=number, inserted=number, rejected=number)
    assert kept == {f"r-{place}" for place in range(number)}
    assert publisher.live() == {f"{place}-0" for place in range(number)}


@pytest.mark.parametrize("price", [float("nan"), 1.5])
def test_a_price_that_passed_through_a_float_is_never_published(
    publisher: Publisher, price: float
) -> None:
    """Binary COPY refuses a float."""
    broken = row_of(item("1"))._replace(price=price)  # type: ignore[arg-type]
    with publisher.database.connect() as connection, pytest.raises((psycopg.Error, TypeError)):
        publish(connection, shop=ACME, sync=publisher.sync(), complete=True, rows=[broken])
    assert publisher.rows() == {}


def test_a_shop_that_left_the_registry_is_not_published(
    publisher: Publisher, registry: ShopRegistry
) -> None:
    """The shop's rows stay as they were."""
    publisher([item("1")])
    registry.remove(ACME.partition_key)
    with pytest.raises(UnknownShop):
        publisher([item("2")])
    assert publisher.live() == {"1"}


def test_another_shops_sync_id_is_refused(publisher: Publisher) -> None:
    """A sync_id names one sync of one shop, whose record stays."""
    sync = publisher.sync()
    for shop in (ACME, OTHER):
        with publisher.database.connect() as connection:
            if shop is ACME:
                publish(connection, shop=shop, sync=sync, complete=True, rows=[])
            else:
                with pytest.raises(ConnectorError, match="already another shop's"):
                    publish(connection, shop=shop, sync=sync, complete=True, rows=[])


def test_the_sync_and_the_shop_record_the_success(
    publisher: Publisher, registry: ShopRegistry
) -> None:
    """Both are recorded in the publish's transaction. The shop's times are the sync's start."""
    sync = publisher.sync()
    records = SyncRecords(registry.database)
    records.start(sync, ACME, "run-1")
    records.record_progress(sync.sync_id, pages=3, requests=5)
    with publisher.database.connect() as connection:
        publish(
            connection,
            shop=ACME,
            sync=sync,
            complete=True,
            rows=rows([item("1"), item("1")], [rejected("2")]),
        )
        row = connection.execute(
            "SELECT status, items, inserted, rejected, duplicates, pages, requests, run_id,"
            " finished_at >= started_at FROM connector.syncs"
        ).fetchone()
    assert row == ("succeeded", 1, 1, 1, 1, 3, 5, "run-1", True)
    shop = registry.get(ACME.partition_key)
    assert shop.last_successful_sync_at == shop.last_full_sync_at == sync.started_at
    assert shop.consecutive_failures == 0


def test_only_a_full_sync_that_leaves_no_deletion_open_counts_as_one(
    publisher: Publisher, registry: ShopRegistry
) -> None:
    """After any other sync the next full one is as due as before."""
    publisher([item("1"), item("2")], complete=False)
    publisher([item("1")], complete=False, gone=["2"])
    publisher([item("1")], sync_type=SyncType.INCREMENTAL, absences_confirmed=True)
    shop = registry.get(ACME.partition_key)
    assert shop.last_full_sync_at is None
    assert shop.last_successful_sync_at == LONG_AGO + timedelta(minutes=3)
    publisher([item("1")], complete=False, absences_confirmed=True)
    publisher([item("1")], complete=False, all_read=True)
    assert registry.get(ACME.partition_key).last_full_sync_at is None
    publisher([item("1")], complete=False, all_read=True, absences_confirmed=True)
    assert registry.get(ACME.partition_key).last_full_sync_at == LONG_AGO + timedelta(minutes=6)
    publisher([item("1")], complete=True)
    assert registry.get(ACME.partition_key).last_full_sync_at == LONG_AGO + timedelta(minutes=7)


def test_the_high_water_mark_moves_only_with_what_left_nothing_unread(
    publisher: Publisher, registry: ShopRegistry
) -> None:
    """The next sync asks again for an increment that was not whole.

    After a new registration it asks for everything.
    """

    def mark() -> object:
        return registry.get(ACME.partition_key).high_water_mark

    def minute(number: int) -> object:
        return LONG_AGO + timedelta(minutes=number)

    publisher([item("1")], complete=False)
    publisher([item("1")], sync_type=SyncType.INCREMENTAL)
    assert mark() is None
    publisher([item("1")])
    assert mark() == minute(3)
    publisher([item("1")], sync_type=SyncType.INCREMENTAL, complete=False)
    publisher([item("1")], complete=False)
    assert mark() == minute(3)
    publisher([item("1")], sync_type=SyncType.INCREMENTAL)
    assert mark() == minute(6)
    publisher([item("1")], complete=False, absences_confirmed=True)
    assert mark() == minute(6)
    publisher([item("1")], complete=False, all_read=True, absences_confirmed=True)
    assert mark() == minute(8)
    registry.add(ACME.model_copy(update={"merchant_id": "another"}))
    assert mark() is None


def test_a_reader_never_sees_half_a_shop(publisher: Publisher) -> None:
    """While snapshots replace each other, every look at the shop shows exactly one of them."""
    publisher(many(200, sku="0"))
    done = threading.Event()
    seen: set[tuple[Any, ...]] = set()

    def look() -> None:
        with psycopg.connect(publisher.database.url, autocommit=True) as connection:
            while not done.is_set():
                row = connection.execute(
                    "SELECT count(*), count(DISTINCT sku) FROM catalog.catalog_items"
                    " WHERE deleted_at IS NULL"
                ).fetchone()
                assert row is not None
                seen.add(row)

    reader = threading.Thread(target=look)
    reader.start()
    for number in range(1, 11):
        publisher(many(200 - number, sku=str(number)))
    done.set()
    reader.join()
    assert {skus for _, skus in seen} == {1}


def test_two_publishes_of_a_shop_run_one_after_the_other(publisher: Publisher) -> None:
    """The catalog then has one of the two snapshots, whole."""
    publisher(many(100))
    start = threading.Barrier(2)
    errors: list[BaseException] = []

    def run(sku: str) -> None:
        start.wait()
        try:
            publisher(many(80, sku=sku))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(sku,)) for sku in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    rows = publisher.rows().values()
    live = {row["sku"] for row in rows if row["deleted_at"] is None}
    assert live in ({"a"}, {"b"})
    assert sum(row["deleted_at"] is None for row in rows) == 80


def test_two_syncs_at_once_that_differ_in_everything_leave_one_of_them(
    publisher: Publisher,
) -> None:
    """Rows, tombstones and rejects are of the same sync. Neither order of the rows deadlocks."""
    ours = [item(f"{index}-0", sku="ours") for index in range(60)]
    theirs = [item(f"{index}-0", sku="theirs") for index in reversed(range(20, 80))]
    errors: list[BaseException] = []

    def run(items: list[Any], start: threading.Barrier) -> None:
        start.wait()
        try:
            publisher(items, [rejected(f"rejected by {items[0].sku}")])
        except BaseException as error:
            errors.append(error)

    for _ in range(5):
        start = threading.Barrier(2)
        threads = [threading.Thread(target=run, args=(items, start)) for items in (ours, theirs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        live = {key: row["sku"] for key, row in publisher.rows().items() if not row["deleted_at"]}
        winner = live["30-0"]
        expected = ours if winner == "ours" else theirs
        assert live == {each.variant_id: winner for each in expected}
        with publisher.database.connect() as connection:
            kept = [row["variant_id"] for row in rejects(connection, ACME.partition_key)]
        assert kept == [f"rejected by {winner}"]


def test_publish_refuses_a_transaction_of_its_callers(publisher: Publisher) -> None:
    """Publish could not promise that it has committed."""
    with publisher.database.connect() as connection:
        connection.execute("SELECT 1")
        with pytest.raises(RuntimeError, match="without a transaction"):
            publish(connection, shop=ACME, sync=publisher.sync(), complete=True, rows=[])


def test_rows_are_dated_when_the_lock_was_taken(publisher: Publisher) -> None:
    """A long fetch between staging and lock does not make the rows older than they are."""
    staged_at: list[datetime] = []

    def slow() -> Iterator[CatalogRow | RejectedVariant]:
        yield from rows([item("1")])
        staged_at.append(datetime.now(UTC))

    with publisher.database.connect() as connection:
        publish(connection, shop=ACME, sync=publisher.sync(), complete=True, rows=slow())
        frame = shop_items(connection, ACME.partition_key)
    assert frame.loc[0, "changed_at"] > staged_at[0]


def test_rows_never_become_visible_long_after_their_date(
    publisher: Publisher, registry: ShopRegistry
) -> None:
    """A publish that takes too long is undone as a whole, so that no follower misses its rows."""
    publisher([item("1"), item("2")])
    before = publisher.rows()
    sync = publisher.sync()
    records = SyncRecords(registry.database)
    records.start(sync, ACME, "run-1")

    def attempt(**bound: timedelta) -> None:
        with publisher.database.connect() as connection:
            publish(
                connection,
                shop=ACME,
                sync=sync,
                complete=True,
                rows=rows([item("1", sku="new")], [rejected("3")]),
                **bound,
            )

    # A negative limit, so that any publish takes too long.
    with pytest.raises(PublishTooSlow, match="would miss them") as refused:
        attempt(longest=timedelta(seconds=-1))
    assert refused.value.retryable
    assert publisher.rows() == before
    progress = records.progress(sync.sync_id)
    assert progress is not None
    assert progress.status == "running"
    with publisher.database.connect() as connection:
        events = connection.execute("SELECT count(*) FROM connector.outbox").fetchone()
        assert events == (1,)
        assert list(rejects(connection, ACME.partition_key)) == []
    attempt()
    assert publisher.live() == {"1"}


def test_followers_overlap_by_more_than_a_publish_may_take() -> None:
    """The overlap in docs/contracts.md is the longest publish and 5 minutes for the commit."""
    contract = (Path(__file__).parents[2] / "docs" / "contracts.md").read_text()
    [minutes] = set(re.findall(r"interval '(\d+) minutes'", contract))
    assert timedelta(minutes=int(minutes)) >= LONGEST_PUBLISH + timedelta(minutes=5)
    assert f"{LONGEST_PUBLISH // timedelta(minutes=1)} minutes" in contract


def test_an_unregistered_shop_is_not_published(publisher: Publisher) -> None:
    """The error says how to register the shop."""
    stranger = Shop(**{**ACME.model_dump(), "domain": "stranger.myshopify.com"})
    with pytest.raises(UnknownShop, match="shops add"):
        publisher([item("1", shop=stranger)], shop=stranger)
