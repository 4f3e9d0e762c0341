"""Promises about what a snapshot lacks."""

from connector_pipeline.sync.absence import absence
from connector_pipeline_tests.catalog.snapshots import item, rejected

LIVE = {"1-1": "1", "1-2": "1", "2-1": "2"}


def test_what_neither_items_nor_rejects_speak_of_is_absent() -> None:
    """With its product; the last item is the witness."""
    found = absence(LIVE, [item("0-1"), item("1-1"), rejected("2-1", product_id="2")])
    assert found.absent == {"1-2": "1"}
    assert found.witness == item("1-1")


def test_a_reject_without_an_id_may_be_any_variant_of_its_product() -> None:
    """So none of them is absent."""
    assert absence(LIVE, [rejected(None, product_id="1")]).absent == {"2-1": "2"}


def test_a_reject_of_an_unknown_product_may_be_any_variant() -> None:
    """So none of the shop is absent."""
    assert absence(LIVE, [rejected(None, product_id=None), item("1-1")]).absent == {}


def test_a_snapshot_without_items_has_no_witness() -> None:
    """Everything is absent then, and nothing vouches for an answer."""
    found = absence(LIVE, [])
    assert (found.absent, found.witness) == (LIVE, None)
