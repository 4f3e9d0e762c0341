"""The metadata that Dagster's UI shows for a fetched shop and for a published shop."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from itertools import islice
from typing import Any, Final

from dagster import (
    FloatMetadataValue,
    MetadataValue,
    TableColumn,
    TableMetadataValue,
    TableRecord,
    TableSchema,
    TextMetadataValue,
)
from pydantic import JsonValue

from connector_pipeline.archive.manifest import SnapshotManifest
from connector_pipeline.archive.raw_archive import RawArchive
from connector_pipeline.assets.reporting import PartitionMetadata
from connector_pipeline.assets.sizes import size
from connector_pipeline.assets.sync_report import (
    summary,
    sync_report,
    time_report,
)
from connector_pipeline.catalog.examples import title
from connector_pipeline.model.duration import in_words
from connector_pipeline.model.excerpt import bounded_lines
from connector_pipeline.model.storable import clipped
from connector_pipeline.state.freshness import Freshness
from connector_pipeline.sync.publishing import Published

_PREVIEW: Final = ("variant_id", "title", "price", "inventory")
_LONGEST_CELL: Final = 100
_LONG_WORD: Final = re.compile(r"\S{24}(?=\S)")
_MAY_BREAK: Final = "\u200b"
_LONGEST_TEXT: Final = 1_000
_MOST_WARNINGS: Final = 20
_LONGEST_WARNING: Final = 1_000
_MOST_DETAILS: Final = 40
_LONGEST_DETAIL: Final = 500


def snapshot_metadata(manifest: SnapshotManifest, archive: RawArchive) -> PartitionMetadata:
    """Metadata of a fetched shop: what was read, its warnings, its URI, the cost as numbers."""
    return {
        "summary": MetadataValue.text(_fetch_summary(manifest)),
        **_warnings(manifest.warnings),
        **_details(manifest.details),
        "dagster/uri": _text(archive.snapshot_uri(manifest)),
        "pages": MetadataValue.int(len(manifest.pages)),
        "bytes": MetadataValue.int(manifest.bytes),
        "requests": MetadataValue.int(manifest.requests),
        "retries": MetadataValue.int(manifest.retries),
        "read_seconds": _seconds(manifest.seconds),
        "waited_seconds": _seconds(manifest.waited_seconds),
        "archive_seconds": _seconds(manifest.archive_seconds),
        "currency": _text(manifest.currency),
        **_sync(manifest),
    }


def publish_metadata(published: Published) -> PartitionMetadata:
    """Metadata of a published shop: what happened in a line, a report, a preview, then numbers.

    The table's name and columns are metadata of the definition: the event log keeps these for each
    sync of each shop. `dagster/partition_row_count` is the number of the shop's live items,
    `items_read` that of the items which this sync read, whatever the shop has.
    """
    manifest, counts = published.manifest, asdict(published.counts)
    read = counts.pop("items")
    admin, (report, changes) = published.admin_url, sync_report(published)
    return {
        "summary": MetadataValue.text(summary(published)),
        "report": MetadataValue.md(report),
        **({} if changes is None else {"changes": MetadataValue.md(changes)}),
        **_warnings((*manifest.warnings, *published.warnings)),
        "preview": preview_table(published.preview),
        "where_the_time_went": MetadataValue.md(time_report(published)),
        **({} if admin is None else {"shop_admin": MetadataValue.url(admin)}),
        "dagster/partition_row_count": MetadataValue.int(published.live),
        "items_read": MetadataValue.int(read),
        **{name: MetadataValue.int(number) for name, number in counts.items()},
        "pages": MetadataValue.int(len(manifest.pages)),
        "requests": MetadataValue.int(manifest.requests),
        "read_seconds": _seconds(manifest.seconds),
        "publish_seconds": _seconds(published.seconds),
        **_freshness(published.freshness),
        **_sync(manifest),
    }


def _sync(manifest: SnapshotManifest) -> PartitionMetadata:
    hinted = manifest.sync.hinted
    return {
        "sync_id": _text(manifest.sync.sync_id),
        "sync_type": MetadataValue.text(manifest.sync.sync_type.value),
        **({} if hinted is None else {"hinted": MetadataValue.int(hinted)}),
        "complete": MetadataValue.bool(manifest.complete),
    }


def _fetch_summary(manifest: SnapshotManifest) -> str:
    waited = manifest.waited_seconds
    of_it = f", {in_words(waited)} of it waiting for the platform" if waited >= 0.1 else ""
    pages = f"{len(manifest.pages):,} page{'' if len(manifest.pages) == 1 else 's'}"
    whole = "" if manifest.complete else ", not complete"
    return (
        f"{manifest.sync.sync_type.value} sync: {pages}, {size(manifest.bytes)}{whole}; "
        f"read in {in_words(manifest.seconds)}{of_it}"
    )


def _seconds(seconds: float) -> FloatMetadataValue:
    return MetadataValue.float(round(seconds, 3))


def _warnings(warnings: Sequence[str]) -> PartitionMetadata:
    """A row for each of the first warnings; nothing where there are none."""
    if not warnings:
        return {}
    lines = bounded_lines(warnings, most=_MOST_WARNINGS, most_bytes=_LONGEST_WARNING)
    return {
        "warnings": MetadataValue.table(
            records=[TableRecord({"warning": line}) for line in lines],
            schema=TableSchema(columns=[TableColumn("warning")]),
        )
    }


def _details(details: Mapping[str, JsonValue]) -> PartitionMetadata:
    """What the adapter says of the fetch, a row for each particular; nothing where it is silent."""
    if not details:
        return {}
    records = [
        TableRecord({"detail": _cut(name, _LONGEST_CELL), "value": _cut(_words(value))})
        for name, value in islice(details.items(), _MOST_DETAILS)
    ]
    return {
        "details": MetadataValue.table(
            records=records,
            schema=TableSchema(columns=[TableColumn("detail"), TableColumn("value")]),
        )
    }


def _words(value: JsonValue) -> str:
    match value:
        case str():
            return value
        case list() if all(isinstance(each, str | int) for each in value):
            return ", ".join(map(str, value))
        case _:
            return json.dumps(value, ensure_ascii=False)


def _cut(text: str, most_bytes: int = _LONGEST_DETAIL) -> str:
    return clipped(text, most_bytes=most_bytes)


def _freshness(found: Freshness | None) -> PartitionMetadata:
    """The seconds, of which the UI makes plots; nothing where none is known.

    A 0 in place of a missing number would be plotted as a fresh shop.
    """
    if found is None:
        return {}
    return {
        "freshness_seconds": MetadataValue.float(round(found.median, 3)),
        "freshness_worst_seconds": MetadataValue.float(round(found.worst, 3)),
    }


def preview_table(rows: Sequence[Mapping[str, Any]]) -> TableMetadataValue:
    """A few rows as a table, of as many columns as the UI has room for.

    Merchants write the titles. As Markdown, whatever is escaped in them, the UI would make links of
    the addresses in them; the values of a table it shows as text.
    """
    return MetadataValue.table(
        records=[
            TableRecord(
                {
                    "variant_id": _cell(row["variant_id"]),
                    "title": _cell(title(row)),
                    "price": _cell(_price(row)),
                    "inventory": _cell(row["inventory"]),
                }
            )
            for row in rows
        ],
        schema=TableSchema(columns=[TableColumn(name) for name in _PREVIEW]),
    )


def _price(row: Mapping[str, Any]) -> str | None:
    price = row["price"]
    if isinstance(price, Decimal):
        # The column has six decimals, more than any currency.
        price = f"{price.normalize():f}"
    return None if price is None else f"{price} {row['currency']}"


def _cell(value: object) -> str | None:
    """A value in one line, cut, with places at which the UI may break a long word."""
    if value is None:
        return None
    text = clipped(" ".join(str(value).split()), most_bytes=_LONGEST_CELL)
    return _LONG_WORD.sub(f"\\g<0>{_MAY_BREAK}", text)


def _text(value: str) -> TextMetadataValue:
    """A text that others wrote: a platform its currency, a requester his sync_id."""
    return MetadataValue.text(clipped(value, most_bytes=_LONGEST_TEXT))
