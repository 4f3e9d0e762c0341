"""The rows that readers of one shop get."""

from datetime import UTC, timedelta
from decimal import Decimal

import pytest

from connector_pipeline.catalog.read import (
    COLUMNS,
    live_variants,
    preview,
    rejects,
    rows,
    shop_items,
)
from connector_pipeline.model.errors import InvalidShop
from connector_pipeline.postgres.catalog_tables import catalog_items
from connector_pipeline_tests.catalog.snapshots import ACME, OTHER, Publisher, item, rejected


def test_readers_know_every_column_of_the_table() -> None:
    """They name the columns without asking the table, and a new column must not be left out."""
    assert tuple(column.name for column in catalog_items.columns) == COLUMNS


def test_a_shop_comes_as_a_frame_of_python_values(publisher: Publisher) -> None:
    """It has Decimal, aware UTC times and None, never float or NaN, in the order of variant ids."""
    publisher([item("2"), item("10", sku="s", price=None, inventory=3)])
    publisher([item("1", shop=OTHER)], shop=OTHER)
    with publisher.database.connect() as connection:
        frame = shop_items(connection, ACME.partition_key)
    assert tuple(frame.columns) == COLUMNS
    assert {str(dtype) for dtype in frame.dtypes} == {"object"}
    assert frame["variant_id"].tolist() == ["10", "2"]
    assert frame["price"].tolist() == [None, Decimal(10)]
    assert frame["inventory"].tolist() == [3, None]
    assert frame["deleted_at"].tolist() == [None, None]
    assert frame.loc[0, "changed_at"].utcoffset() == timedelta(0)
    assert frame.loc[0, "created_at"] == item("1").created_at
    assert item("1").created_at.tzinfo is UTC


def test_an_empty_shop_is_an_empty_frame_with_its_columns(publisher: Publisher) -> None:
    """It can be concatenated with others."""
    with publisher.database.connect() as connection:
        frame = shop_items(connection, ACME.partition_key)
    assert tuple(frame.columns) == COLUMNS
    assert len(frame) == 0


def test_tombstones_are_read_when_asked_for(publisher: Publisher) -> None:
    """They are read as a frame and row by row."""
    publisher([item("1"), item("2")])
    publisher([item("1")])
    with publisher.database.connect() as connection:
        key = ACME.partition_key
        assert [row["variant_id"] for row in rows(connection, key)] == ["1"]
        everything = list(rows(connection, key, include_deleted=True))
        assert [row["deleted_at"] is None for row in everything] == [True, False]
        assert len(shop_items(connection, key)) == 1
        assert len(shop_items(connection, key, include_deleted=True)) == 2


def test_live_variants_are_those_that_are_not_deleted(publisher: Publisher) -> None:
    """Each comes with its product's id, and none of another shop is among them."""
    publisher([item("1-1"), item("1-2"), item("2-1")])
    publisher([item("1-1"), item("2-1")])
    publisher([item("5-1", shop=OTHER)], shop=OTHER)
    with publisher.database.connect() as connection:
        assert live_variants(connection, ACME.partition_key) == {"1-1": "1", "2-1": "2"}


def test_a_preview_is_the_first_live_rows(publisher: Publisher) -> None:
    """It has no more rows than asked for."""
    publisher([item(str(number)) for number in range(5)])
    publisher([item(str(number)) for number in range(1, 5)])
    with publisher.database.connect() as connection:
        found = preview(connection, ACME.partition_key, limit=2)
    assert [row["variant_id"] for row in found] == ["1", "2"]


def test_rejects_have_their_reason_and_their_sync(publisher: Publisher) -> None:
    """They come in the order in which the sync met them."""
    publisher([], [rejected("2", raw={"id": 2}), rejected("1")])
    with publisher.database.connect() as connection:
        first, second = rejects(connection, ACME.partition_key)
    assert (first["variant_id"], second["variant_id"]) == ("2", "1")
    assert (first["reason"], first["raw"]) == ("price is not a number", '{"id": 2}')
    assert first["sync_id"] == "sync-1"


def test_a_malformed_key_is_refused(publisher: Publisher) -> None:
    """It is not taken for a shop without items."""
    with publisher.database.connect() as connection, pytest.raises(InvalidShop):
        shop_items(connection, "acme.myshopify.com")
