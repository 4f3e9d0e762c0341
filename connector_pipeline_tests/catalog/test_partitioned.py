"""The catalog split by deploy/postgres/partition_catalog_items.sql is the same to everybody."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from connector_pipeline.postgres.migrate import migrate
from connector_pipeline_tests.catalog.publishing_process import publish_version, version_items
from connector_pipeline_tests.catalog.shop_reader import checksum, live_checksum
from connector_pipeline_tests.catalog.snapshots import Publisher
from connector_pipeline_tests.catalog.test_reader_queries import QUERIES, VALUES

RECIPE = Path(__file__).parents[2] / "deploy" / "postgres" / "partition_catalog_items.sql"


@pytest.fixture
def split(publisher: Publisher) -> Publisher:
    """A catalog with a published shop, then split."""
    publish_version(publisher.database, 0, "plain")
    partition(publisher.database.url)
    return publisher


def partition(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(RECIPE.read_bytes())


def shape(url: str) -> list[tuple[Any, ...]]:
    """The catalog's columns, indexes, constraints and rights by name."""
    with psycopg.connect(url) as connection:
        return connection.execute(
            "SELECT attname::text, format_type(atttypid, atttypmod), attnotnull::text,"
            " col_description(attrelid, attnum)"
            " FROM pg_attribute WHERE attrelid = 'catalog.catalog_items'::regclass"
            " AND attnum > 0 AND NOT attisdropped"
            " UNION ALL SELECT indexname, replace(indexdef, ' ON ONLY ', ' ON '), '', ''"
            " FROM pg_indexes WHERE schemaname = 'catalog' AND tablename = 'catalog_items'"
            " UNION ALL SELECT conname, pg_get_constraintdef(oid), '', '' FROM pg_constraint"
            " WHERE conrelid = 'catalog.catalog_items'::regclass AND contype <> 'n'"
            " UNION ALL SELECT grantee::text, privilege_type, '', ''"
            " FROM pg_class, aclexplode(relacl) WHERE oid = 'catalog.catalog_items'::regclass"
            " ORDER BY 1, 2"
        ).fetchall()


def test_it_keeps_its_shape_its_rows_and_its_rights(publisher: Publisher) -> None:
    """A migration finds nothing to do, and the view shows the new table."""
    publish_version(publisher.database, 0, "plain")
    before = shape(publisher.database.url)
    partition(publisher.database.url)
    assert shape(publisher.database.url) == before
    with publisher.database.connect() as connection:
        assert live_checksum(connection) == checksum(each.model_dump() for each in version_items(0))
        connection.execute("DROP TABLE catalog.catalog_items_plain")
        connection.execute("ANALYZE catalog.catalog_items")
        [(rows, estimated)] = connection.execute(
            "SELECT (SELECT count(*) FROM catalog.catalog_items), value FROM connector.metrics"
            " WHERE name = 'connector_catalog_rows_estimate'"
        ).fetchall()
        assert rows == estimated > 0
    migration = migrate(publisher.database.url)
    assert migration.before == migration.after


def test_it_is_published_to(split: Publisher) -> None:
    """New, changed, deleted and returned rows."""
    for version in (1, 2, 3):
        publish_version(split.database, version, "split")
        with split.database.connect() as connection:
            assert live_checksum(connection) == checksum(
                each.model_dump() for each in version_items(version)
            )


@pytest.mark.parametrize("title", QUERIES)
def test_readers_queries_still_use_indexes(split: Publisher, title: str) -> None:
    """In each partition that they look at; a query of one shop looks at one."""
    with split.database.connect() as connection:
        connection.execute("SET LOCAL enable_seqscan = off")
        [(found,)] = connection.execute(
            "EXPLAIN (FORMAT json) " + QUERIES[title], VALUES
        ).fetchall()
    nodes = [found[0]["Plan"]]
    for node in nodes:
        nodes += node.get("Plans", [])
    assert not [node for node in nodes if node["Node Type"] == "Seq Scan"]
