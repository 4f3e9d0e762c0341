"""A publish notes a few of the rows that it changes, and how many are live afterwards."""

from decimal import Decimal

import pytest

from connector_pipeline.catalog import examples
from connector_pipeline.catalog.examples import MOST_EXAMPLES, Examples, ShopAfter
from connector_pipeline.catalog.publish import publish
from connector_pipeline.model.catalog_item import CatalogItem, RejectedVariant
from connector_pipeline_tests.catalog.snapshots import ACME, Publisher, item, many, rows


def noted(
    publisher: Publisher,
    items: list[CatalogItem],
    *rejects: RejectedVariant,
) -> ShopAfter:
    """What a publish of these items notes."""
    found: list[ShopAfter] = []
    with publisher.database.connect() as connection:
        publish(
            connection,
            shop=ACME,
            sync=publisher.sync(),
            complete=True,
            rows=rows(items, rejects),
            allow_shrink=True,
            note=found.append,
        )
    [after] = found
    return after


def test_each_kind_of_change_has_examples(publisher: Publisher) -> None:
    """New, changed from one value to another, returned, deleted and rejected ones; no others."""
    first = noted(publisher, [item("1"), item("2"), item("3")])
    assert first.live == 3
    assert {each["variant_id"] for each in first.examples.new} == {"1", "2", "3"}
    assert (first.examples.changed, first.examples.deleted) == ((), ())
    reject = RejectedVariant(product_id="9", variant_id="9-0", reason="price: odd", raw={})
    second = noted(publisher, [item("1", price=Decimal(7)), item("2")], reject)
    assert second.live == 2
    [changed] = second.examples.changed
    assert (changed.variant_id, changed.returned) == ("1", False)
    assert changed.differences == (("price", item("1").price, Decimal(7)),)
    assert [each["variant_id"] for each in second.examples.deleted] == ["3"]
    assert [each.reason for each in second.examples.rejected] == ["price: odd"]
    assert second.examples.new == ()
    third = noted(publisher, [item("1", price=Decimal(7)), item("2"), item("3")])
    assert third.live == 3
    [returned] = third.examples.changed
    assert (returned.returned, returned.differences) == (True, ())


@pytest.mark.parametrize(
    ("product", "variant", "shown"),
    [
        ("Tea", "Tea", "Tea"),
        ("Tea", "Tea - Large", "Tea - Large"),
        ("Tea", "Large", "Tea · Large"),
        ("Tea", "Teapot", "Tea · Teapot"),
        ("", "Large", "Large"),
    ],
)
def test_a_title_says_nothing_twice(product: str, variant: str, shown: str) -> None:
    """A line that is cut must have room for what tells one variant from the next."""
    assert examples.title({"product_title": product, "variant_title": variant}) == shown


def test_an_unchanged_sync_asks_for_no_example(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its publish costs what it did without examples."""
    noted(publisher, many(3))
    asked: list[str] = []
    monkeypatch.setattr(examples, "_rows", lambda *_: asked.append("rows"))
    assert noted(publisher, many(3)) == ShopAfter(3, Examples())
    assert asked == []


@pytest.mark.parametrize("ids_are_known", [True, False])
def test_examples_are_few(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch, ids_are_known: bool
) -> None:
    """Also where so many changed that the comparison does not name them."""
    if not ids_are_known:
        monkeypatch.setattr("connector_pipeline.catalog.publish.FEW", 5)
    assert len(noted(publisher, many(50)).examples.new) == MOST_EXAMPLES
    changed = noted(publisher, many(50, inventory=4711)).examples.changed
    assert len(changed) == MOST_EXAMPLES
    assert {each.differences[0][2] for each in changed} == {4711}
    assert len(noted(publisher, []).examples.deleted) == MOST_EXAMPLES
