"""The quick way from pages to rows gives the rows of the Normalizer, or leaves a page to it."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector_pipeline.model.catalog_item import CatalogItem, CatalogRow, RejectedVariant, row_of
from connector_pipeline.platforms.kit.contract import RawPage
from connector_pipeline.platforms.woocommerce.adapter import WooCommerceAdapter
from connector_pipeline.platforms.woocommerce.mapping.normalize import (
    ANALYTICS_VARIATIONS,
    READ_WITH_PARENTS,
    Normalizer,
)
from connector_pipeline.platforms.woocommerce.mapping.plain_pages import PlainPages
from connector_pipeline_tests.platforms.woocommerce.mapping.test_normalize import SHOP

PRODUCT: dict[str, Any] = {
    "id": 10,
    "name": "Mugg 😀",
    "type": "simple",
    "status": "publish",
    "sku": "",
    "price": "49.90",
    "manage_stock": True,
    "stock_quantity": -3,
    "images": [{"id": 1, "src": "https://shop.example/mugg.png"}],
    "variations": [],
    "date_created_gmt": "2026-01-01T10:00:00",
    "date_modified_gmt": "2026-02-01T10:00:00",
    "purchasable": True,
    "stock_status": "outofstock",
}
PARENT = {**PRODUCT, "id": 20, "name": "Tröja", "type": "variable", "variations": [21]}
VARIATION: dict[str, Any] = {
    "id": 21,
    "parent_id": 20,
    "name": "Röd, Large",
    "status": "publish",
    "sku": None,
    "price": "199",
    "manage_stock": "parent",
    "stock_quantity": 3,
    "image": None,
    "attributes": [{"name": "Färg", "option": "Röd"}, {"name": "Storlek", "option": "Large"}],
    "date_modified_gmt": "2026-03-01T10:00:00",
    "purchasable": True,
    "stock_status": "instock",
}


def page(kind: str, rows: Any, **facts: Any) -> RawPage:
    """A raw page of these rows."""
    return RawPage(kind, json.dumps(rows).encode(), facts)


class BothWays:
    """Reads the same pages by the Normalizer, and by the quick way wherever that reads a page."""

    def __init__(self) -> None:
        self.long = Normalizer(SHOP, "SEK")
        self.quick = Normalizer(SHOP, "SEK")
        self.plain = PlainPages(SHOP, "SEK", self.quick)
        self.read_at_once = 0

    def read(self, *pages: RawPage) -> None:
        """Read the pages, and compare what both ways make of each, and what they remember."""
        for each in pages:
            expected = [as_row(item) for item in self.long.items(each)]
            found: list[CatalogRow | RejectedVariant] = []
            rows = self.plain.rows(each)
            if rows is None:
                found += [as_row(item) for item in self.quick.items(each)]
            else:
                found += rows
                self.read_at_once += 1
            assert found == expected
            assert self.quick.left_out == self.long.left_out
            assert remembered(self.quick) == remembered(self.long)


def as_row(item: CatalogItem | RejectedVariant) -> CatalogRow | RejectedVariant:
    """An item as the adapter gives it to a publish."""
    return row_of(item) if isinstance(item, CatalogItem) else item


def remembered(normalizer: Normalizer) -> dict[int, str]:
    """The parents that a normalizer remembers."""
    return {number: str(parent) for number, parent in normalizer.parents.items()}


def test_pages_without_oddities_are_read_at_once() -> None:
    """Products, parents, variations of both, of a draft, and of a page that names the product."""
    unnamed = VARIATION | {"id": 22, "name": "", "image": {"src": "https://shop.example/2.png"}}
    both = BothWays()
    both.read(
        page("products", [PRODUCT, PARENT, PRODUCT | {"id": 11, "type": "grouped"}]),
        page("products", [PRODUCT | {"date_created_gmt": "2026-01-01T10:00:00+02:00"}]),
        page("variations", [VARIATION, unnamed, VARIATION | {"id": 23, "attributes": []}]),
        page("variations", [VARIATION | {"parent_id": 999}, VARIATION | {"status": "private"}]),
        page("variations", [{**VARIATION, "parent_id": None}], parent_id=20),
        page("variations", [VARIATION], endpoint=ANALYTICS_VARIATIONS),
        page("variations", [VARIATION], **{READ_WITH_PARENTS: [20]}),
    )
    assert both.read_at_once == 7
    assert both.long.left_out == 1


ODD_VALUES: list[dict[str, Any]] = [
    {"id": 0},
    {"id": True},
    {"id": "21"},
    {"name": "nul \x00"},
    {"name": "half \ud800"},
    {"name": None},
    {"sku": ["a"]},
    {"price": "1_000"},
    {"price": "0.0000001"},
    {"price": 5},
    {"manage_stock": "yes"},
    {"stock_quantity": 2.5},
    {"stock_quantity": 2**31},
    {"stock_quantity": "5"},
    {"date_modified_gmt": "yesterday"},
    {"date_modified_gmt": 5},
    {"status": 5},
    {"status": "archived"},
    {"price": "3746.1360000000004"},
    {"price": 3746.136},
    {"purchasable": "yes"},
    {"stock_status": True},
]


@pytest.mark.parametrize("odd", ODD_VALUES, ids=repr)
def test_a_page_with_an_odd_value_is_left_to_the_normalizer(odd: dict[str, Any]) -> None:
    """It rejects that variant, or reads it in its own way, and keeps the others."""
    both = BothWays()
    both.read(page("products", [PRODUCT, PRODUCT | odd]))
    assert both.read_at_once == 0
    both.read(page("products", [PARENT]), page("variations", [VARIATION, VARIATION | odd]))
    assert both.read_at_once == 1


def test_the_adapter_gives_plain_and_odd_pages_in_their_order() -> None:
    """Variations on a page of one kind know the parents on a page of the other."""
    pages = [
        page("products", [PRODUCT | {"price": "1e1"}, PARENT]),
        page("lookup", {}),
        page("variations", [VARIATION]),
        page("products", [PARENT | {"id": 30}]),
        page("variations", [VARIATION | {"id": 31, "parent_id": 30, "stock_quantity": 5.0}]),
    ]
    rows = list(WooCommerceAdapter().rows(SHOP, "SEK", pages))
    assert rows == [as_row(item) for item in WooCommerceAdapter().normalize(SHOP, "SEK", pages)]
    assert [row.variant_id for row in rows] == ["10_default", "21", "31"]


_TEXT = st.text(st.characters(codec=None), max_size=6)
_NUMBER = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
_ANY = st.none() | st.booleans() | _NUMBER | _TEXT | st.just([]) | st.just({})
_ID = st.sampled_from([10, 20, 21]) | _ANY
_IMAGE = st.fixed_dictionaries({}, optional={"src": _TEXT | _ANY}) | _ANY
_TIME = st.one_of(
    st.datetimes().map(lambda time: time.isoformat()),
    st.sampled_from(
        ["2026-07-08T09:10:11+02:00", "2026-07-08", "0001-01-01T00:00:00+14:00", "20260708T091011Z"]
    ),
    _ANY,
)
_COMMON = {
    "id": _ID,
    "name": _TEXT | _ANY,
    "status": st.sampled_from(["publish", "private", "draft", "trash"]) | _ANY,
    "sku": _TEXT | _ANY,
    "price": st.from_regex(r"-?[0-9]{0,16}(\.[0-9]{0,8})?", fullmatch=True) | _ANY,
    "manage_stock": st.booleans() | st.just("parent") | _ANY,
    "stock_quantity": st.integers(-(2**33), 2**33) | _ANY,
    "date_modified_gmt": _TIME,
    "purchasable": st.booleans() | _ANY,
    "stock_status": st.sampled_from(["instock", "onbackorder", "outofstock", ""]) | _ANY,
}
_PRODUCTS = st.fixed_dictionaries(
    {},
    optional={
        **_COMMON,
        "type": st.sampled_from(["simple", "variable", "grouped", "external", "bundle"]) | _ANY,
        "images": st.lists(_IMAGE, max_size=2) | _ANY,
        "variations": st.lists(_ID, max_size=2) | _ANY,
        "date_created_gmt": _TIME,
    },
)
_VARIATIONS = st.fixed_dictionaries(
    {},
    optional={
        **_COMMON,
        "parent_id": _ID,
        "image": _IMAGE,
        "attributes": st.lists(
            st.fixed_dictionaries({}, optional={"option": _TEXT | _ANY}) | _ANY, max_size=2
        )
        | _ANY,
    },
)
_FACTS = st.fixed_dictionaries(
    {},
    optional={
        "parent_id": _ID,
        "endpoint": st.just(ANALYTICS_VARIATIONS),
        READ_WITH_PARENTS: st.lists(st.sampled_from([10, 20]), max_size=1),
    },
)


@settings(max_examples=500)
@given(
    st.lists(st.tuples(st.sampled_from([PRODUCT, PARENT]), _PRODUCTS), max_size=3),
    st.lists(_VARIATIONS, max_size=3),
    st.sets(st.sampled_from([*VARIATION, *PRODUCT]), max_size=1),
    _FACTS,
)
def test_both_ways_agree_on_every_page(
    products: list[tuple[dict[str, Any], dict[str, Any]]],
    variations: list[dict[str, Any]],
    without: set[str],
    facts: dict[str, Any],
) -> None:
    """The quick way may leave a page to the Normalizer, but it never gives other rows."""

    def complete(row: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in row.items() if name not in without}

    BothWays().read(
        page("products", [PARENT]),
        page("products", [complete(plain | odd) for plain, odd in products]),
        page("variations", [complete(VARIATION | odd) for odd in variations], **facts),
    )
