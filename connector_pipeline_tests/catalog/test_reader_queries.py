"""The queries in docs/contracts.md return what it says, and each uses an index."""

import csv
import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, LiteralString, cast

import psycopg
import pytest
from psycopg.rows import dict_row

from connector_pipeline.postgres.embedded.programs import program_file
from connector_pipeline_tests.catalog.snapshots import ACME, OTHER, Publisher, item

CONTRACTS = Path(__file__).parents[2] / "docs" / "contracts.md"
Row = dict[str, Any]


def documented(language: str) -> dict[str, str]:
    """The five queries as written in SQL for psql, or in Python, by their headings."""
    _, _, part = CONTRACTS.read_text(encoding="utf-8").partition("\n## Five queries")
    part, _, _ = part.partition("\n## ")
    return {
        title: re.findall(rf"```{language}\n(.+?)```", text, re.S)[0]
        for title, text in re.findall(r"^### ([^\n]+)\n(.+?)(?=\n### |\Z)", part, re.M | re.S)
    }


FOR_PSQL = documented("sql")
FOR_PSYCOPG = documented("python")
QUERIES = {
    title: cast("LiteralString", re.sub(r":'(\w+)'", r"%(\1)s", query))
    for title, query in FOR_PSQL.items()
}

# 200 shops of 25 products of 4 variants, changed an hour apart; two shops a merchant. Of each
# shop every tenth variant is deleted and the last product is a draft.
FILL = """
    INSERT INTO catalog.catalog_items (
        merchant_id, platform_name, platform_shop_id, domain, product_id, variant_id,
        product_title, variant_title, price, currency, product_status,
        first_synced_at, changed_at, deleted_at, sync_id
    )
    SELECT
        'm' || shop / 2, 'shopify', shop::text, 'shop-' || shop || '.myshopify.com',
        (shop * 1000 + variant / 4)::text, (shop * 1000 + variant)::text,
        'Product ' || variant / 4, 'Variant ' || variant, 10, 'SEK',
        CASE WHEN variant / 4 = 24 THEN 'draft' ELSE 'active' END,
        changed, changed, CASE WHEN variant % 10 = 0 THEN changed END, 'sync-' || shop
    FROM generate_series(1, 200) AS shop, generate_series(0, 99) AS variant,
        LATERAL (SELECT timestamptz '2026-01-01 00:00Z' - shop * interval '1 hour') AS at (changed)
"""
VALUES = {
    "merchant_id": "m7",
    "platform_name": "shopify",
    "domain": "shop-14.myshopify.com",
    "product_id": "14000",
    "variant_id": "14010",
    "last_seen": "2025-12-31 21:00Z",
}


@pytest.fixture(scope="module")
def reader(
    new_database: Callable[[str | None], str], migrated_template: str
) -> Iterator[psycopg.Connection[Row]]:
    """A reader's connection to a catalog of 20,000 items."""
    url = new_database(migrated_template)
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
        connection.execute(FILL)
        connection.execute("VACUUM ANALYZE catalog.catalog_items")
        connection.execute("SET ROLE catalog_reader")
        yield connection


def plan(reader: psycopg.Connection[Row], title: str) -> list[dict[str, Any]]:
    """Every node of the query's plan."""
    row = reader.execute("EXPLAIN (FORMAT json) " + QUERIES[title], VALUES).fetchone()
    assert row is not None
    nodes = [row["QUERY PLAN"][0]["Plan"]]
    for node in nodes:
        nodes += node.get("Plans", [])
    return nodes


def test_there_are_five_queries() -> None:
    """The document still has all queries that it promises."""
    assert list(QUERIES) == [
        "A merchant's available items",
        "A shop's available items",
        "A product's variants",
        "Changes since",
        "One item",
    ]


@pytest.mark.parametrize("title", QUERIES)
def test_both_forms_of_a_query_run_as_they_are_written(
    reader: psycopg.Connection[Row], title: str, tmp_path: Path
) -> None:
    """psql and psycopg find the same rows, in the same order."""
    expected = reader.execute(QUERIES[title], VALUES).fetchall()
    assert expected
    names: dict[str, Any] = {"connection": reader} | VALUES
    exec(FOR_PSYCOPG[title], names)
    assert names["rows"] == expected
    file = tmp_path / "query.sql"
    file.write_text(FOR_PSQL[title], encoding="utf-8")
    given = [word for name, value in VALUES.items() for word in ("-v", f"{name}={value}")]
    printed = subprocess.run(
        [program_file("psql"), reader.info.dsn, "-X", "--csv", *given, "-f", file],
        env={**os.environ, "PGOPTIONS": "-c role=catalog_reader"},
        check=True,
        capture_output=True,
        text=True,
    )
    found = list(csv.DictReader(printed.stdout.splitlines()))
    texts = ("platform_name", "domain", "variant_id", "variant_title")
    assert [[row.get(name) for name in texts] for row in found] == [
        [row.get(name) for name in texts] for row in expected
    ]


@pytest.mark.parametrize("title", QUERIES)
def test_a_reader_finds_what_it_asks_for_by_an_index(
    reader: psycopg.Connection[Row], title: str
) -> None:
    """No query reads the whole table."""
    nodes = plan(reader, title)
    assert [node for node in nodes if node["Node Type"] == "Seq Scan"] == []
    assert [node for node in nodes if "Index Name" in node]


def test_every_index_serves_a_query(reader: psycopg.Connection[Row]) -> None:
    """Every publish pays for each index, so none may be without use."""
    used = {node.get("Index Name") for title in QUERIES for node in plan(reader, title)} - {None}
    rows = reader.execute("SELECT indexname FROM pg_indexes WHERE tablename = 'catalog_items'")
    assert used == {row["indexname"] for row in rows}


def test_available_items_lack_what_is_deleted_or_a_draft(
    reader: psycopg.Connection[Row],
) -> None:
    """Of a shop's 100 variants 10 are deleted and 4 are drafts."""
    of_merchant = reader.execute(QUERIES["A merchant's available items"], VALUES).fetchall()
    assert len(of_merchant) == 2 * 86
    assert {row["domain"] for row in of_merchant} == {
        "shop-14.myshopify.com",
        "shop-15.myshopify.com",
    }
    of_shop = reader.execute(QUERIES["A shop's available items"], VALUES).fetchall()
    assert len(of_shop) == 86
    assert [row["variant_id"] for row in of_shop] == sorted(row["variant_id"] for row in of_shop)


def test_a_product_has_its_living_variants(reader: psycopg.Connection[Row]) -> None:
    """The first of its four is deleted."""
    rows = reader.execute(QUERIES["A product's variants"], VALUES).fetchall()
    assert {row["variant_id"] for row in rows} == {"14001", "14002", "14003"}


def test_one_item_is_found_even_when_deleted(reader: psycopg.Connection[Row]) -> None:
    """The row has the time of the deletion."""
    (row,) = reader.execute(QUERIES["One item"], VALUES).fetchall()
    assert row["deleted_at"] is not None


def test_changes_come_in_order_with_those_at_the_same_time_and_tombstones(
    reader: psycopg.Connection[Row],
) -> None:
    """The three shops that changed at 21:00 or later, deletions among them."""
    rows = reader.execute(QUERIES["Changes since"], VALUES).fetchall()
    assert {row["domain"] for row in rows} == {f"shop-{n}.myshopify.com" for n in (1, 2, 3)}
    assert len(rows) == 300
    assert sum(row["deleted_at"] is not None for row in rows) == 30
    times = [row["changed_at"] for row in rows]
    assert times == sorted(times)


@dataclass
class Follower:
    """A reader that follows changes as the document says under "Following changes"."""

    url: str
    last_seen: Any = "-infinity"
    items: dict[tuple[str, str], Row] = field(default_factory=dict[tuple[str, str], Row])

    def follow(self) -> None:
        """Read the changes."""
        with psycopg.connect(self.url, row_factory=dict_row) as connection:
            connection.execute("SET ROLE catalog_reader")
            values = {"last_seen": self.last_seen}
            for row in connection.execute(QUERIES["Changes since"], values):
                self.last_seen = row["changed_at"]
                if row["deleted_at"] is None:
                    self.items[row["domain"], row["variant_id"]] = row
                else:
                    self.items.pop((row["domain"], row["variant_id"]), None)

    def prices(self) -> dict[tuple[str, str], Any]:
        """The prices that the follower knows."""
        return {key: row["price"] for key, row in self.items.items()}


def catalog_prices(publisher: Publisher) -> dict[tuple[str, str], Any]:
    """The prices in the catalog."""
    return {
        (shop.domain, key): row["price"]
        for shop in (ACME, OTHER)
        for key, row in publisher.rows(shop).items()
        if row["deleted_at"] is None
    }


def test_a_follower_has_what_the_catalog_has(publisher: Publisher, database_url: str) -> None:
    """They agree after every sync: first items, a new price, a deletion, a return, no change."""
    follower = Follower(database_url)
    first, second = item("1"), item("2")
    dearer = item("1", price=12)
    for items in ([first, second], [dearer, second], [dearer], [dearer, second], [dearer, second]):
        publisher(items)
        follower.follow()
        assert follower.prices() == catalog_prices(publisher)


def test_a_follower_misses_no_sync_that_commits_late(
    publisher: Publisher, database_url: str
) -> None:
    """One sync dates its rows; another one dates its rows later, commits sooner and is read."""
    follower = Follower(database_url)
    with psycopg.connect(database_url) as blocker, psycopg.connect(database_url) as watcher:
        watcher.autocommit = True
        # Publish writes the shop's own row last: it is stopped between its rows and its commit.
        blocker.execute("SELECT FROM connector.shops WHERE domain = %s FOR UPDATE", (ACME.domain,))
        late = threading.Thread(target=publisher, args=([item("1")],))
        late.start()
        blocked = "SELECT count(*) FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted"
        while watcher.execute(blocked).fetchone() == (0,):
            assert late.is_alive()
        publisher([item("2", shop=OTHER)], shop=OTHER)
        follower.follow()
        assert follower.prices().keys() == {(OTHER.domain, "2")}
        blocker.rollback()
        late.join()
    assert publisher.rows(ACME)["1"]["changed_at"] < follower.last_seen
    follower.follow()
    assert follower.prices() == catalog_prices(publisher)
    assert len(follower.items) == 2
