"""Promises about the variants that a snapshot lacks."""

from connector_pipeline.sync.absence import absence
from connector_pipeline_tests.catalog.snapshots import item, rejected

LIVE = {"1-1": "1", "1-2": "1", "2-1": "2"}


def test_a_variant_that_is_neither_item_nor_reject_is_absent() -> None:
    """It comes with its product's id. The snapshot's last item is the witness."""
    found = absence(LIVE, [item("0-1"), item("1-1"), rejected("2-1", product_id="2")])
    assert found.absent == {"1-2": "1"}
    assert found.witness == item("1-1")


def test_a_reject_without_an_id_may_be_any_variant_of_its_product() -> None:
    """None of the product's variants is absent."""
    assert absence(LIVE, [rejected(None, product_id="1")]).absent == {"2-1": "2"}


def test_a_reject_of_an_unknown_product_may_be_any_variant() -> None:
    """None of the shop's variants is absent."""
    assert absence(LIVE, [rejected(None, product_id=None), item("1-1")]).absent == {}


def test_a_snapshot_without_items_has_no_witness() -> None:
    """Every variant is absent then."""
    found = absence(LIVE, [])
    assert (found.absent, found.witness) == (LIVE, None)
