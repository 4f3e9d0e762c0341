"""The quick way from a page to rows gives the same rows as `normalize`, or none."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector_pipeline.model.catalog_item import (
    ITEM_COLUMNS,
    CatalogItem,
    CatalogRow,
    row_of,
)
from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.kit.contract import RawPage
from connector_pipeline.platforms.shopify.adapter import ShopifyAdapter
from connector_pipeline.platforms.shopify.mapping.normalize import normalize
from connector_pipeline.platforms.shopify.mapping.plain_pages import plain_rows

SHOP = Shop(
    merchant_id="m-1",
    platform_name="shopify",
    platform_shop_id="1",
    domain="acme.myshopify.com",
)
VARIANT: dict[str, Any] = {
    "id": "gid://shopify/ProductVariant/11",
    "title": "Röd / 😀",
    "sku": "",
    "price": "129.00",
    "inventoryQuantity": -3,
    "inventoryItem": {"tracked": True},
    "availableForSale": True,
    "updatedAt": "2026-07-08T09:10:11Z",
    "image": None,
}
PRODUCT: dict[str, Any] = {
    "id": "gid://shopify/Product/1",
    "title": "Grönt te",
    "status": "ACTIVE",
    "publishedAt": "2024-03-05T09:30:00Z",
    "createdAt": "2024-03-05T09:30:00Z",
    "updatedAt": "2026-06-07T08:09:10Z",
    "featuredMedia": {"preview": {"image": {"url": "https://cdn.shopify.com/1.jpg"}}},
}


def page(*products: dict[str, Any]) -> RawPage:
    """A page of products with their variants."""
    return RawPage("products", json.dumps({"data": {"products": {"nodes": products}}}).encode())


def product(variants: list[Any], **changes: Any) -> dict[str, Any]:
    """A product with these variants."""
    return PRODUCT | {"variants": {"nodes": variants}} | changes


def the_long_way(given_page: RawPage) -> list[CatalogRow] | None:
    """The rows that `normalize` makes of the page; None if it rejects any of it."""
    try:
        made = list(normalize(SHOP, "SEK", [given_page]))
    except InvalidResponse:
        return None
    rows = [row_of(item) for item in made if isinstance(item, CatalogItem)]
    return rows if len(rows) == len(made) else None


def test_a_rows_columns_are_an_items() -> None:
    """They are in the same order."""
    assert CatalogRow._fields == ITEM_COLUMNS


def test_a_page_without_oddities_is_read_at_once() -> None:
    """Its rows are those of `normalize`."""
    other = VARIANT | {"id": "gid://shopify/ProductVariant/12", "title": None, "price": None}
    pictured = VARIANT | {"image": {"url": "https://cdn.shopify.com/2.jpg"}, "updatedAt": None}
    plain = page(product([VARIANT, other, pictured]), product([]))
    rows = plain_rows(SHOP, "SEK", plain)
    assert rows == the_long_way(plain)
    assert rows is not None
    assert len(rows) == 3


ODD_VARIANTS = [
    {"id": "gid://shopify/Product/11"},
    {"id": "gid://shopify/ProductVariant/¹"},
    {"id": "gid://shopify/ProductVariant/" + "1" * 21},
    {"title": "nul \x00"},
    {"title": "half \ud800"},
    {"title": 5},
    {"sku": ["a"]},
    {"price": "1_000"},
    {"price": "0.0000001"},
    {"price": "NaN"},
    {"price": 5},
    {"inventoryQuantity": 5.0},
    {"inventoryQuantity": True},
    {"inventoryQuantity": "5"},
    {"inventoryQuantity": 2**31},
    {"inventoryItem": {"tracked": "no"}},
    {"inventoryItem": 5},
    {"availableForSale": 1},
    {"updatedAt": "2026-07-08T09:10:11"},
    {"updatedAt": "yesterday"},
    {"updatedAt": 5},
    {"image": {}},
    {"image": []},
]


@pytest.mark.parametrize("odd", ODD_VARIANTS, ids=repr)
def test_a_page_with_an_odd_value_is_left_to_normalize(odd: dict[str, Any]) -> None:
    """`normalize` rejects that variant and keeps the others."""
    odd_page = page(product([VARIANT, VARIANT | odd]))
    assert plain_rows(SHOP, "SEK", odd_page) is None
    expected = list(normalize(SHOP, "SEK", [odd_page]))
    found = list(ShopifyAdapter().rows(SHOP, "SEK", [odd_page]))
    assert [row_of(each) if isinstance(each, CatalogItem) else each for each in expected] == found
    assert len(found) == 2


def test_pages_of_both_kinds_come_in_their_order() -> None:
    """They may alternate in any way."""
    variants = [VARIANT | {"id": f"gid://shopify/ProductVariant/{number}"} for number in range(6)]
    odd = {"price": "0.0000001"}
    pages = [
        page(product([variant | odd if n in (1, 2, 5) else variant]))
        for n, variant in enumerate(variants)
    ]
    rows = list(ShopifyAdapter().rows(SHOP, "SEK", [RawPage("shop", b"{}"), *pages]))
    assert [row.variant_id for row in rows] == [str(number) for number in range(6)]


_TEXT = st.text(st.characters(codec=None), max_size=6)
_ANY = st.none() | st.booleans() | st.integers() | st.floats() | _TEXT | st.just([]) | st.just({})
_MONEY = st.from_regex(r"-?[0-9]{0,16}(\.[0-9]{0,8})?", fullmatch=True)
_TIME = st.one_of(
    st.datetimes().map(lambda time: time.isoformat() + "Z"),
    st.sampled_from(
        [
            "2026-07-08T09:10:11.123456789Z",
            "2026-07-08T09:10:11+02:00",
            "2026-07-08T09:10Z",
            "20260708T091011Z",
            "2026-07-08 09:10:11z",
            "0001-01-01T00:00:00+14:00",
            "2026-W28-3T09:10:11Z",
        ]
    ),
)
_IMAGE = st.none() | _ANY | st.fixed_dictionaries({}, optional={"url": _TEXT})


def _gid(kind: str) -> st.SearchStrategy[Any]:
    return st.integers(-5, 10**21).map(lambda number: f"gid://shopify/{kind}/{number}") | _ANY


ODD_VARIANT_FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "id": _gid("ProductVariant"),
        "title": _TEXT | _ANY,
        "sku": _TEXT | _ANY,
        "price": _MONEY | _ANY,
        "inventoryQuantity": st.integers(-(2**33), 2**33) | _ANY,
        "inventoryItem": _ANY
        | st.fixed_dictionaries({}, optional={"tracked": st.booleans() | _ANY}),
        "availableForSale": st.booleans() | _ANY,
        "updatedAt": _TIME | _ANY,
        "image": _IMAGE,
    },
).map(lambda odd: VARIANT | odd)
ODD_PRODUCT_FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "id": _gid("Product"),
        "title": _TEXT | _ANY,
        "status": st.sampled_from(["ACTIVE", "DRAFT", "UNLISTED", "GONE"]) | _ANY,
        "publishedAt": _TIME | _ANY,
        "createdAt": _TIME | _ANY,
        "updatedAt": _TIME | _ANY,
        "featuredMedia": _ANY
        | st.fixed_dictionaries(
            {}, optional={"preview": _ANY | st.fixed_dictionaries({}, optional={"image": _IMAGE})}
        ),
    },
)


_ASKED_LATER = ["publishedAt", "inventoryItem", "availableForSale"]


def _without(names: set[str], fields: Any) -> Any:
    """The object as a page had it before these fields were asked for."""
    if not isinstance(fields, dict):
        return fields
    return {name: value for name, value in fields.items() if name not in names}


@settings(max_examples=500)
@given(
    st.lists(
        st.tuples(ODD_PRODUCT_FIELDS, st.lists(ODD_VARIANT_FIELDS | _ANY, max_size=2)), max_size=2
    ),
    st.sets(st.sampled_from(_ASKED_LATER)),
)
def test_both_ways_agree_on_every_page(
    products: list[tuple[dict[str, Any], list[Any]]], without: set[str]
) -> None:
    """The quick way may leave a page to `normalize`, but it never gives other rows."""
    given_page = page(
        *(
            _without(without, product([_without(without, each) for each in variants], **odd))
            for odd, variants in products
        )
    )
    rows = plain_rows(SHOP, "SEK", given_page)
    if rows is not None:
        assert rows == the_long_way(given_page)
