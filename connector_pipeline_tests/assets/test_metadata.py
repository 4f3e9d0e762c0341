"""What a shop's materialization shows, and how large it gets."""

from datetime import UTC, datetime
from typing import Any

import pytest
from dagster import AssetMaterialization
from dagster._serdes import serialize_value
from markdown_it import MarkdownIt

from connector_pipeline.archive.manifest import SnapshotManifest
from connector_pipeline.archive.raw_archive import RawArchive
from connector_pipeline.assets.metadata import publish_metadata, snapshot_metadata
from connector_pipeline.assets.sync_report import code_span, sync_report
from connector_pipeline.catalog.examples import ChangedItem, Examples, Rejected
from connector_pipeline.catalog.read import PREVIEW_COLUMNS
from connector_pipeline.model.sync import Sync, SyncType
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


@pytest.mark.parametrize("sync_type", SyncType)
def test_the_report_says_what_was_read_and_where_the_time_went(sync_type: SyncType) -> None:
    """Waiting and archiving are parts of the reading, and the live rows are the shop's."""
    report = sync_report(published(ORDINARY, warnings=0, each=12, sync_type=sync_type))
    assert report.startswith("**")
    assert "768 live items" in report
    assert "1 min 18 s" in report
    assert "reading the platform 40.0 s" in report
    assert "- and 2 more" in report


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
