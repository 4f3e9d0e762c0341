"""The metadata that Dagster's UI shows for a fetched shop and for a published shop."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import Any, Final

from dagster import MetadataValue, TableColumn, TableColumnConstraints, TableSchema

from connector_pipeline.archive.manifest import SnapshotManifest
from connector_pipeline.archive.raw_archive import RawArchive
from connector_pipeline.assets.reporting import PartitionMetadata
from connector_pipeline.catalog.read import PREVIEW_COLUMNS
from connector_pipeline.sync.publishing import Published

TABLE_NAME: Final = "catalog.catalog_items"


def snapshot_metadata(manifest: SnapshotManifest, archive: RawArchive) -> PartitionMetadata:
    """Metadata of a fetched shop: the snapshot's URI, the cost of the fetch, and its warnings."""
    return {
        "dagster/uri": MetadataValue.text(archive.snapshot_uri(manifest)),
        "sync_id": MetadataValue.text(manifest.sync.sync_id),
        "sync_type": MetadataValue.text(manifest.sync.sync_type.value),
        "complete": MetadataValue.bool(manifest.complete),
        "currency": MetadataValue.text(manifest.currency),
        "pages": MetadataValue.int(len(manifest.pages)),
        "bytes": MetadataValue.int(manifest.bytes),
        "requests": MetadataValue.int(manifest.requests),
        "retries": MetadataValue.int(manifest.retries),
        "seconds": MetadataValue.float(round(manifest.seconds, 3)),
        "waited_seconds": MetadataValue.float(round(manifest.waited_seconds, 3)),
        "details": MetadataValue.json(manifest.details),
        "warnings": MetadataValue.json(list(manifest.warnings)),
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
        "sync_id": MetadataValue.text(manifest.sync.sync_id),
        "sync_type": MetadataValue.text(manifest.sync.sync_type.value),
        "complete": MetadataValue.bool(manifest.complete),
        "warnings": MetadataValue.json([*manifest.warnings, *published.warnings]),
        "preview": MetadataValue.md(preview_table(published.preview)),
        "dagster/column_schema": MetadataValue.table_schema(column_schema()),
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


def preview_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table of a few rows; titles cannot break out of their cells."""
    lines = [
        "| " + " | ".join(PREVIEW_COLUMNS) + " |",
        "| " + " | ".join("---" for _ in PREVIEW_COLUMNS) + " |",
    ]
    lines += [
        "| " + " | ".join(_cell(row[name]) for name in PREVIEW_COLUMNS) + " |" for row in rows
    ]
    return "\n".join(lines)


_ESCAPED: Final = str.maketrans({character: f"\\{character}" for character in "\\`*_{}[]<>()#+!|~"})


def _cell(value: object) -> str:
    if value is None:
        return "*null*"
    if isinstance(value, Decimal):
        # The column has six decimals, more than any currency.
        value = f"{value.normalize():f}"
    text = " ".join(str(value).split())
    # Merchants write the titles, which could show links and images in the UI without escapes.
    return (text if len(text) <= 60 else text[:59] + "…").translate(_ESCAPED)
