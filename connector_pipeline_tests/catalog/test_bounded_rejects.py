"""What strangers send that cannot be normalized takes a bounded place in the database."""

import json
from typing import Any

import pytest

from connector_pipeline.catalog.read import rejects
from connector_pipeline.catalog.staging import LARGEST_RAW, MOST_REJECTS_KEPT
from connector_pipeline.model.catalog_item import RejectedVariant
from connector_pipeline.model.sync_type import SyncType
from connector_pipeline_tests.catalog.snapshots import ACME, Publisher, item, rejected


def kept(publisher: Publisher) -> list[dict[str, Any]]:
    """The shop's rejected variants."""
    with publisher.database.connect() as connection:
        return list(rejects(connection, ACME.partition_key))


def test_a_product_of_a_megabyte_is_not_stored_with_each_of_its_variants(
    publisher: Publisher,
) -> None:
    """A page of 0.9 MB made 301 MB: each variant came with its whole product."""
    product = {"title": "é" * 400_000, "tags": ["tag"] * 100_000, "id": 1}
    raws = [{"variant": {"id": number, "price": "x"}, "product": product} for number in range(330)]
    counts = publisher(
        [item("1")], [rejected(str(number), raw=raw) for number, raw in enumerate(raws)]
    )
    assert counts.rejected == 330
    rows = kept(publisher)
    assert sum(len(row["raw"]) for row in rows) <= 330 * LARGEST_RAW
    for number, row in enumerate(rows):
        cut = json.loads(row["raw"])
        assert cut["variant"] == {"id": number, "price": "x"}
        assert "…" in json.dumps(cut["product"], ensure_ascii=False)


HOSTILE: dict[str, RejectedVariant] = {
    "ids of 4,000 digits": rejected("9" * 4_000, product_id="8" * 4_000),
    "an id of 3,000 bytes that hardly compress": rejected("".join(map(str, range(1_000)))),
    "a reason of a megabyte": RejectedVariant(
        product_id="1", variant_id="2", reason="\x1b[2J\x00" + "e" * 10**6, raw=None
    ),
    "a raw of 300,000 entries": rejected("2", raw=[{}] * 300_000),
    "a raw that is nested 50,000 times": rejected("2", raw=json.loads("[" * 900 + "]" * 900)),
}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_every_column_of_a_reject_is_bounded(publisher: Publisher, hostile: str) -> None:
    """And the items beside it are published."""
    counts = publisher([item("1")], [HOSTILE[hostile]])
    assert (counts.items, counts.rejected) == (1, 1)
    [row] = kept(publisher)
    assert len(row["variant_id"].encode()) <= 255
    assert len(row["product_id"].encode()) <= 255
    assert len(row["reason"].encode()) <= 1_000
    assert row["reason"].isprintable()
    assert len(row["raw"]) <= LARGEST_RAW


def test_so_many_rejects_are_kept_and_all_are_counted(publisher: Publisher) -> None:
    """The sync counts all of them, and the last good row of each of them stays."""
    many = [str(number) for number in range(MOST_REJECTS_KEPT + 50)]
    publisher([item(each) for each in many])
    counts = publisher([item("new")], [rejected(each, product_id=each) for each in many])
    assert (counts.rejected, counts.deleted) == (len(many), 0)
    assert len(kept(publisher)) == MOST_REJECTS_KEPT
    assert publisher.live() == {"new", *many}


def test_increments_do_not_add_rejects_for_ever(publisher: Publisher) -> None:
    """Each of them brings others."""
    for number in range(3):
        publisher(
            [],
            [rejected(f"{number}-{each}") for each in range(MOST_REJECTS_KEPT // 2)],
            sync_type=SyncType.INCREMENTAL,
        )
    assert len(kept(publisher)) == MOST_REJECTS_KEPT
