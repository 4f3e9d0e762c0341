"""The metadata that Dagster's UI shows for a fetched shop and for a published shop."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import Any, Final

from dagster import (
    MetadataValue,
    TableColumn,
    TableColumnConstraints,
    TableMetadataValue,
    TableRecord,
    TableSchema,
    TextMetadataValue,
)

from connector_pipeline.archive.manifest import SnapshotManifest
from connector_pipeline.archive.raw_archive import RawArchive
from connector_pipeline.assets.reporting import PartitionMetadata
from connector_pipeline.catalog.read import PREVIEW_COLUMNS
from connector_pipeline.model.storable import clipped
from connector_pipeline.state.freshness import Freshness
from connector_pipeline.sync.publishing import Published

TABLE_NAME: Final = "catalog.catalog_items"

_LONGEST_CELL: Final = 100
_LONGEST_TEXT: Final = 1_000
_LONGEST_WARNING: Final = 2_000


def snapshot_metadata(manifest: SnapshotManifest, archive: RawArchive) -> PartitionMetadata:
    """Metadata of a fetched shop: the snapshot's URI, the cost of the fetch, and its warnings."""
    return {
        "dagster/uri": _text(archive.snapshot_uri(manifest)),
        "sync_id": _text(manifest.sync.sync_id),
        "sync_type": MetadataValue.text(manifest.sync.sync_type.value),
        "complete": MetadataValue.bool(manifest.complete),
        "currency": _text(manifest.currency),
        "pages": MetadataValue.int(len(manifest.pages)),
        "bytes": MetadataValue.int(manifest.bytes),
        "requests": MetadataValue.int(manifest.requests),
        "retries": MetadataValue.int(manifest.retries),
        "seconds": MetadataValue.float(round(manifest.seconds, 3)),
        "waited_seconds": MetadataValue.float(round(manifest.waited_seconds, 3)),
        "details": MetadataValue.json(manifest.details),
        "warnings": MetadataValue.json([_line(each) for each in manifest.warnings]),
    }


def publish_metadata(published: Published) -> PartitionMetadata:
    """Metadata of a published shop: counts, the cost of the fetch, a preview, the columns."""
    manifest, counts = published.manifest, published.counts
    return {
        "dagster/partition_row_count": MetadataValue.int(counts.items),
        "dagster/table_name": MetadataValue.text(TABLE_NAME),
        "inserted": MetadataValue.int(counts.inserted),
        "updated": MetadataValue.int(counts.updated),
        "unchanged": MetadataValue.int(counts.unchanged),
        "revived": MetadataValue.int(counts.revived),
        "deleted": MetadataValue.int(counts.deleted),
        "rejected": MetadataValue.int(counts.rejected),
        "duplicates": MetadataValue.int(counts.duplicates),
        "pages": MetadataValue.int(len(manifest.pages)),
        "requests": MetadataValue.int(manifest.requests),
        "seconds": MetadataValue.float(round(manifest.seconds, 3)),
        "sync_id": _text(manifest.sync.sync_id),
        "sync_type": MetadataValue.text(manifest.sync.sync_type.value),
        "complete": MetadataValue.bool(manifest.complete),
        **_freshness(published.freshness),
        "warnings": MetadataValue.json(
            [_line(each) for each in (*manifest.warnings, *published.warnings)]
        ),
        "preview": preview_table(published.preview),
        "dagster/column_schema": MetadataValue.table_schema(column_schema()),
    }


def _freshness(found: Freshness | None) -> PartitionMetadata:
    """The seconds as numbers, of which the UI makes plots, and in words; none where none is known.

    A 0 in place of a missing number would be plotted as a fresh shop.
    """
    if found is None:
        return {}
    return {
        "freshness": MetadataValue.text(str(found)),
        "freshness_seconds": MetadataValue.float(round(found.median, 3)),
        "freshness_worst_seconds": MetadataValue.float(round(found.worst, 3)),
    }


@cache
def column_schema() -> TableSchema:
    """The columns of the table with their types and comments."""
    # Imported here: it brings SQLAlchemy, which a look at the definitions does not need.
    from connector_pipeline.postgres.catalog_tables import catalog_items

    return TableSchema(
        columns=[
            TableColumn(
                name=column.name,
                type=str(column.type).lower(),
                description=column.comment,
                constraints=TableColumnConstraints(nullable=bool(column.nullable)),
            )
            for column in catalog_items.columns
        ]
    )


def preview_table(rows: Sequence[Mapping[str, Any]]) -> TableMetadataValue:
    """A few rows as a table.

    Merchants write the titles. As Markdown, whatever is escaped in them, the UI would make links of
    the addresses in them; the values of a table it shows as text.
    """
    return MetadataValue.table(
        records=[TableRecord({name: _cell(row[name]) for name in PREVIEW_COLUMNS}) for row in rows],
        schema=TableSchema(columns=[TableColumn(name) for name in PREVIEW_COLUMNS]),
    )


def _cell(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, Decimal):
        # The column has six decimals, more than any currency.
        value = f"{value.normalize():f}"
    return clipped(" ".join(str(value).split()), most_bytes=_LONGEST_CELL)


def _line(warning: str) -> str:
    return clipped(warning, most_bytes=_LONGEST_WARNING)


def _text(value: str) -> TextMetadataValue:
    """A text that others wrote: a platform its currency, a requester his sync_id."""
    return MetadataValue.text(clipped(value, most_bytes=_LONGEST_TEXT))
