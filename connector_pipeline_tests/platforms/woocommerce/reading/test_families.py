"""Promises about the variations that products list: those that did not come are known."""

from typing import Any

import pytest

from connector_pipeline.platforms.kit.compact_ids import CompactIds
from connector_pipeline.platforms.woocommerce.reading.families import Families, children_of


def variable(product_id: int, *children: Any) -> dict[str, Any]:
    """A product with variations."""
    return {"id": product_id, "type": "variable", "variations": [*children]}


def test_the_variations_that_did_not_come_are_known_by_their_products() -> None:
    """A product without variations has none, and one that lists all that came lacks none."""
    families = Families()
    assert not families
    for product in (variable(1, 2, 3), {"id": 4, "type": "simple", "variations": []}):
        families.add(product)
    families.add(variable(5, 6, 7))
    assert families.parents == [1, 5]
    assert families.children == 4
    assert (1 in families, 4 in families) == (True, False)
    assert families.unread(CompactIds([2, 3, 6, 99])) == {5: [7]}
    assert families.unread(CompactIds([2, 3, 6, 7])) == {}


@pytest.mark.parametrize(
    "listed", [[11, 12], ["11", "12"], [{"id": 11}, {"id": "12"}], {"0": 11, "1": 12}]
)
def test_any_form_of_the_list_gives_the_ids(listed: Any) -> None:
    """Snippets make objects or a dictionary of it (docs/facts/woocommerce.md, Other JSON types)."""
    assert list(children_of({"variations": listed})) == [11, 12]


@pytest.mark.parametrize("listed", [None, "11", 11, [11, None]])
def test_a_list_that_cannot_be_understood_has_none(listed: Any) -> None:
    """It is the mapping's to judge."""
    assert list(children_of({"variations": listed})) == []
