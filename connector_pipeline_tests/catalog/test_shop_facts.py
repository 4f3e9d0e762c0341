"""The facts of many shops, read in one query."""

from datetime import timedelta
from decimal import Decimal

import pytest

from connector_pipeline.catalog.shop_facts import ShopFacts, shop_facts
from connector_pipeline.model.errors import InvalidShop
from connector_pipeline.model.sync_type import SyncType
from connector_pipeline_tests.catalog.snapshots import (
    ACME,
    LONG_AGO,
    OTHER,
    Publisher,
    item,
    rejected,
)


def facts(publisher: Publisher, *keys: str) -> dict[str, ShopFacts]:
    """The facts by partition key."""
    with publisher.database.connect() as connection:
        return {found.partition_key: found for found in shop_facts(connection, keys)}


def of_acme(publisher: Publisher) -> ShopFacts:
    """The facts of one shop."""
    return facts(publisher, ACME.partition_key)[ACME.partition_key]


def test_each_shop_is_counted_for_itself(publisher: Publisher) -> None:
    """Prices, titles, currencies and rejects of one shop are not counted for another."""
    publisher(
        [
            item("1", price=Decimal(-1)),
            item("2", price=None, product_title=""),
            item("3", variant_title=" \t\u00a0", currency="XXX"),
            item("4", price=Decimal(0)),
        ],
        [rejected("9"), rejected(None)],
    )
    publisher([item("1", shop=OTHER)], shop=OTHER)
    found = facts(publisher, OTHER.partition_key, ACME.partition_key)
    assert list(found) == [ACME.partition_key, OTHER.partition_key]
    acme = found[ACME.partition_key]
    assert (acme.items, acme.negative_prices, acme.empty_titles, acme.rejected) == (4, 1, 2, 2)
    assert acme.currencies == {"SEK": 3, "XXX": 1}
    other = found[OTHER.partition_key]
    assert (other.items, other.negative_prices, other.empty_titles, other.rejected) == (1, 0, 0, 0)
    assert other.currencies == {"SEK": 1}


def test_tombstones_are_not_counted(publisher: Publisher) -> None:
    """A deleted item misleads no reader."""
    publisher([item("1", price=Decimal(-1)), item("2")])
    publisher([item("2")])
    acme = of_acme(publisher)
    assert (acme.items, acme.negative_prices) == (1, 0)


def test_repeated_variants_are_the_last_snapshots(publisher: Publisher) -> None:
    """After a snapshot without repeated variants there are none."""
    publisher([item("1"), item("1"), item("1")])
    assert of_acme(publisher).duplicates == 2
    publisher([item("1")])
    assert of_acme(publisher).duplicates == 0


def test_a_full_snapshot_that_the_counts_do_not_confirm_is_incomplete(publisher: Publisher) -> None:
    """It is until a complete one is published; an incremental one changes nothing."""
    publisher([item("1")])
    complete = of_acme(publisher)
    assert not complete.incomplete
    assert complete.last_full_sync_at == LONG_AGO + timedelta(minutes=1)
    publisher([item("1")], complete=False)
    incomplete = of_acme(publisher)
    assert incomplete.incomplete
    assert incomplete.last_full_sync_at == complete.last_full_sync_at
    publisher([item("1")], sync_type=SyncType.INCREMENTAL, complete=False)
    assert not of_acme(publisher).incomplete
    publisher([item("1")])
    assert not of_acme(publisher).incomplete
    publisher([item("1")], complete=False, all_read=True, absences_confirmed=True)
    confirmed = of_acme(publisher)
    # Its counts are wrong for a known reason, e.g. it was edited while it was read.
    assert not confirmed.incomplete
    assert confirmed.last_full_sync_at == LONG_AGO + timedelta(minutes=5)


def test_a_shop_never_synced_has_nothing_but_its_registration(publisher: Publisher) -> None:
    """The shop is among the facts all the same."""
    acme = of_acme(publisher)
    assert acme.registered_at.tzinfo is not None
    assert (acme.last_full_sync_at, acme.items, acme.currencies) == (None, 0, None)
    assert not acme.incomplete


def test_shops_that_are_not_registered_are_left_out(publisher: Publisher) -> None:
    """An empty list of shops is no error."""
    assert facts(publisher, "shopify/stranger.myshopify.com") == {}
    assert facts(publisher) == {}


def test_a_malformed_key_is_refused(publisher: Publisher) -> None:
    """It is not taken for a shop without items."""
    with pytest.raises(InvalidShop):
        facts(publisher, "nonsense")
