"""What a shop's materialization shows, and how large it gets."""

import base64
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from dagster import AssetMaterialization
from dagster._serdes import serialize_value
from markdown_it import MarkdownIt

from connector_pipeline.archive.manifest import SnapshotManifest
from connector_pipeline.archive.raw_archive import RawArchive
from connector_pipeline.assets.metadata import preview_table, publish_metadata, snapshot_metadata
from connector_pipeline.assets.sync_report import (
    SHOWN_AT_ONCE,
    code_span,
    summary,
    sync_report,
    time_report,
)
from connector_pipeline.assets.time_chart import time_chart
from connector_pipeline.catalog.examples import ChangedItem, Examples, Rejected
from connector_pipeline.catalog.read import PREVIEW_COLUMNS
from connector_pipeline.model.sync import Sync
from connector_pipeline.model.sync_type import SyncType
from connector_pipeline.state.sync_log import PublishCounts
from connector_pipeline.sync.publishing import Published

KEY = "shopify/acme.myshopify.com"
LONG = "`|<b>\U0001f600 https://x.example " * 500
ORDINARY = "Shirt"


def published(text: str, *, warnings: int, each: int, sync_type: SyncType) -> Published:
    """A sync that changed `each` rows of every kind, with this text wherever others write."""
    row: dict[str, Any] = {
        "product_title": text,
        "variant_title": f"Blue {text}",
        "sku": text,
        "variant_id": text[:200],
        "price": None,
        "currency": "EUR",
        "inventory": 1,
    }
    changed = ChangedItem(text[:200], text, (("sku", text, None),) * 9, returned=True)
    return Published(
        manifest=SnapshotManifest(
            sync=Sync(
                sync_id="sync-1",
                partition_key=KEY,
                sync_type=sync_type,
                correlation_id="c-1",
                started_at=datetime(2026, 1, 1, tzinfo=UTC),
                hinted=3 if sync_type is SyncType.HINTED else None,
            ),
            currency="EUR",
            complete=True,
            pages=(),
            finished_at=datetime(2026, 1, 1, tzinfo=UTC),
            seconds=75.0,
            requests=1,
            retries=0,
            waited_seconds=30.0,
            archive_seconds=5.0,
            details={f"{number} {text}": [text] for number in range(warnings)},
            warnings=(text,) * warnings,
        ),
        counts=PublishCounts(items=4 * each, inserted=each, updated=each, deleted=each),
        preview=[dict.fromkeys(PREVIEW_COLUMNS, text)] * 5,
        examples=Examples(
            new=[row] * min(each, 10),
            changed=[changed] * min(each, 10),
            deleted=[row] * min(each, 10),
            rejected=[Rejected(text[:200], None, text)] * min(each, 10),
        ),
        live=768,
        seconds=2.5,
        admin_url="https://acme.myshopify.com/admin",
    )


@pytest.mark.parametrize(
    ("text", "warnings", "each", "most_kilobytes"),
    [(ORDINARY, 0, 0, 8), (ORDINARY, 2, 100, 16), (LONG, 500, 10_000, 100)],
)
def test_a_materialization_is_small(
    text: str, warnings: int, each: int, most_kilobytes: int
) -> None:
    """The event log keeps one for each sync of each shop, whatever others write."""
    found = published(text, warnings=warnings, each=each, sync_type=SyncType.FULL)
    archive = RawArchive(url="memory://bounds", keep=1, shop_bytes=1)
    for metadata in (publish_metadata(found), snapshot_metadata(found.manifest, archive)):
        event = AssetMaterialization("catalog_items", partition=KEY, metadata=metadata)
        assert len(serialize_value(event)) < most_kilobytes * 1_000


def drawn(url: str) -> str:
    """The SVG in a `data:` URL."""
    return base64.b64decode(url.partition("base64,")[2]).decode()


@pytest.mark.parametrize("sync_type", SyncType)
def test_the_report_says_what_was_read_and_where_the_time_went(sync_type: SyncType) -> None:
    """Waiting and archiving are parts of the reading, and the live items are the shop's."""
    found = published(ORDINARY, warnings=0, each=12, sync_type=sync_type)
    report, changes = sync_report(found)
    assert report.startswith("**")
    assert "768 live items" in report
    assert "More examples are in `changes`" in report
    assert changes is not None
    assert "- and 2 more" in changes
    assert changes.count("Shirt") > report.count("Shirt") > 0
    assert "reading the platform 40.0 s" in time_report(found)


def test_a_part_of_the_time_that_took_none_has_no_bar() -> None:
    """Most syncs wait for nothing. The other parts keep their colours."""
    parts = {"waiting": 30.0, "reading": 2.0, "publishing": 1.0}
    whole, calm = drawn(time_chart(parts)), drawn(time_chart(parts | {"waiting": 0.0}))
    assert whole.count("<rect") == 3
    assert calm.count("<rect") == 2
    assert "waiting" not in calm
    colours = [re.findall(r'fill="(#\w+)"/>', picture)[-2:] for picture in (whole, calm)]
    assert colours[0] == colours[1]


@pytest.mark.parametrize(
    ("text", "each"), [(ORDINARY, 0), (ORDINARY, 1), (ORDINARY, 12), (LONG, 10**9)]
)
def test_a_person_sees_the_report_without_a_click(text: str, each: int) -> None:
    """The UI hides longer Markdown behind a link. Whatever has no room is in `changes`."""
    found = published(text, warnings=0, each=each, sync_type=SyncType.INCREMENTAL)
    report, changes = sync_report(found)
    assert len(report.encode()) <= SHOWN_AT_ONCE
    assert len(time_report(found).encode()) <= SHOWN_AT_ONCE
    assert (changes is None) == (each in (0, 1))


def test_what_happened_comes_first() -> None:
    """Then the report and the rows, then numbers; no number is there in words besides."""
    found = published(ORDINARY, warnings=1, each=1, sync_type=SyncType.FULL)
    assert summary(found) == (
        "768 live items; 1 inserted, 1 updated, 1 deleted; read in 1 min 15 s, published in 2.50 s"
    )
    report, _ = sync_report(found)
    # One word for one thing: those of the columns of `connector.syncs`.
    assert "| inserted | updated | revived | deleted | unchanged | rejected |" in report
    assert re.findall(r"^\*\*(\w+)\*\*$", report, re.MULTILINE) == [
        "Updated", "Deleted", "Inserted"
    ]  # fmt: skip
    metadata = publish_metadata(found)
    assert list(metadata)[:5] == [
        "summary", "report", "warnings", "preview", "where_the_time_went",
    ]  # fmt: skip
    assert (metadata["dagster/partition_row_count"].value, metadata["items_read"].value) == (768, 4)
    assert (metadata["read_seconds"].value, metadata["publish_seconds"].value) == (75.0, 2.5)
    archive = RawArchive(url="memory://order", keep=1, shop_bytes=1)
    raw = snapshot_metadata(found.manifest, archive)
    assert list(raw)[:2] == ["summary", "warnings"]
    assert raw["summary"].value == (
        "full sync: 0 pages, 0 bytes; read in 1 min 15 s, 30.0 s of it waiting for the platform"
    )


def test_the_preview_fits_the_page() -> None:
    """The UI cuts a table that is wider than its column; a long word is made breakable."""
    row = {
        "variant_id": "44100000000000",
        "product_title": "W" * 200,
        "variant_title": "Small",
        "price": Decimal("556.860000"),
        "currency": "SEK",
        "inventory": None,
    }
    table = preview_table([row])
    assert len(table.schema.columns) <= 4
    [record] = table.records
    assert record.data["variant_id"] == "44100000000000"
    assert record.data["price"] == "556.86 SEK"
    assert record.data["inventory"] is None
    assert max(map(len, str(record.data["title"]).split("\u200b"))) <= 24


@pytest.mark.parametrize(
    "text", ["a`b", "``", "`", "a | b", "<b>x</b>", "[x](javascript:1)", "https://x.example", "\\"]
)
def test_a_code_span_shows_a_text_as_it_is(text: str) -> None:
    """Whatever it holds, it is one span of code and nothing else."""
    [block] = [
        token
        for token in MarkdownIt("commonmark").parse(f"- {code_span(text)}")
        if token.type == "inline"
    ]
    assert [(each.type, each.content) for each in block.children or ()] == [("code_inline", text)]
