"""The view `catalog.available_items` has the items that may be sold."""

import psycopg
import pytest

from connector_pipeline.model.catalog_item import ProductStatus
from connector_pipeline_tests.catalog.snapshots import OTHER, Publisher, item, rejected

DESCRIBE = """
    SELECT attname, format_type(atttypid, atttypmod), col_description(attrelid, attnum)
    FROM pg_attribute
    WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped
    ORDER BY attnum
"""
# In the view the first is always active and the second always null.
LEFT_OUT = {"product_status", "deleted_at"}


def available(url: str) -> set[str]:
    """The variant ids that a reader finds in the view."""
    with psycopg.connect(url) as connection:
        connection.execute("SET ROLE catalog_reader")
        rows = connection.execute("SELECT variant_id FROM catalog.available_items").fetchall()
    return {row[0] for row in rows}


def test_only_active_items_are_available(publisher: Publisher, database_url: str) -> None:
    """Items of every other product status are left out."""
    publisher([item(status.value, product_status=status) for status in ProductStatus])
    assert available(database_url) == {"active"}


@pytest.mark.parametrize(("sellable", "shown"), [(True, {"1"}), (None, {"1"}), (False, set[str]())])
def test_what_the_platform_does_not_sell_is_not_available(
    publisher: Publisher, database_url: str, sellable: bool | None, shown: set[str]
) -> None:
    """An active product may be out of stock or not published. Null: the platform does not tell."""
    publisher([item("1", sellable=sellable)])
    assert available(database_url) == shown


@pytest.mark.parametrize("status", ["unknown", "draft"])
@pytest.mark.parametrize("variant_id", ["1-2", None])
def test_a_rejected_variant_is_not_available_against_its_status(
    publisher: Publisher, database_url: str, status: ProductStatus, variant_id: str | None
) -> None:
    """Its row keeps its content, and returns to the view when it can be read again."""
    items = [item("1-1"), item("1-2"), item("2-1")]
    publisher(items)
    lost = rejected(variant_id, product_id="1", product_status=ProductStatus(status))
    readable = [one for one in items if one.product_id == "2" or variant_id == "1-2"]
    readable = [one for one in readable if one.variant_id != variant_id]
    counts = publisher(readable, [lost])
    withdrawn = {"1-1", "1-2", "2-1"} - {one.variant_id for one in readable}
    assert (counts.updated, counts.deleted) == (len(withdrawn), 0)
    assert available(database_url) == {one.variant_id for one in readable}
    rows = publisher.rows()
    assert {rows[key]["product_status"] for key in withdrawn} == {status}
    assert {rows[key]["price"] for key in withdrawn} == {items[0].price}
    assert publisher(readable, [lost]).updated == 0
    assert publisher.rows() == rows
    publisher(items)
    assert available(database_url) == {"1-1", "1-2", "2-1"}


def test_deleted_items_are_not_available_until_they_return(
    publisher: Publisher, database_url: str
) -> None:
    """A tombstone leaves the view, and a variant that comes back is in it again."""
    publisher([item("1"), item("2")])
    publisher([item("1")])
    assert available(database_url) == {"1"}
    publisher([item("1"), item("2")])
    assert available(database_url) == {"1", "2"}


def test_items_of_every_shop_are_available(publisher: Publisher, database_url: str) -> None:
    """Items without a price or without stock are in it: the reader decides whether to sell them."""
    publisher([item("1", price=None, inventory=0)])
    publisher([item("2", shop=OTHER)], shop=OTHER)
    assert available(database_url) == {"1", "2"}


def test_the_view_describes_its_columns_as_the_table_does(database_url: str) -> None:
    """The same columns in the same order with the same types and comments, and one of its own."""
    with psycopg.connect(database_url) as connection:
        table, view = (
            connection.execute(DESCRIBE, (name,)).fetchall()
            for name in ("catalog.catalog_items", "catalog.available_items")
        )
        row = connection.execute(
            "SELECT obj_description('catalog.available_items'::regclass)"
        ).fetchone()
    assert view == [column for column in table if column[0] not in LEFT_OUT]
    assert all(comment for _, _, comment in view)
    assert row is not None
    assert row[0]
