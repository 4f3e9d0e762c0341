"""Promises about values in other JSON types: one meaning is taken, none or two are rejected."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.model.catalog_item import CatalogItem, RejectedVariant
from connector_pipeline.platforms.kit.rejects import FieldError
from connector_pipeline.platforms.woocommerce.adapter import WooCommerceAdapter
from connector_pipeline.platforms.woocommerce.mapping import forms
from connector_pipeline.platforms.woocommerce.mapping.normalize import has_variations
from connector_pipeline_tests.platforms.woocommerce.mapping.test_normalize import (
    PARENT,
    PRODUCT,
    SHOP,
    VARIATION,
    page,
    rows_of,
)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (196, 196), ("196", 196), (Decimal("196.0"), 196), ("196.0", 196),
        (Decimal("1.96E+2"), 196),
        (0, None), (-3, None), ("-3", None), (Decimal("1.5"), None), ("1.5", None), ("12a", None),
        (True, None), (None, None), ("", None), (" 12", None), ("0", None), ("007", None),
        ([12], None), ({"id": 12}, None), ("١٢", None), (Decimal("1E+400"), None), ("9" * 40, None),
    ],
)  # fmt: skip
def test_an_id_has_one_meaning_or_none(written: Any, meant: int | None) -> None:
    """In Python, true is an int; in JSON it is no id."""
    assert forms.own_id(written) == meant


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ([12, 13], (12, 13)),
        (["12", "13"], (12, 13)),
        ([Decimal("12.0")], (12,)),
        ([{"id": 12, "name": "Röd"}, {"id": "13"}], (12, 13)),
        ({"0": 12, "1": 13}, (12, 13)),
        ({"0": 12, "2": "13"}, (12, 13)),
        ({"12": {"id": 12}}, (12,)),
        ([], ()),
        ({}, ()),
    ],
)
def test_variations_have_one_meaning(written: Any, meant: tuple[int, ...]) -> None:
    """Snippets of shops write them in many forms (docs/facts/woocommerce.md, Other JSON types)."""
    assert forms.variation_ids(written) == meant
    assert has_variations(PARENT | {"variations": written}) is bool(meant)


UNREADABLE: list[Any] = [
    None, False, True, "", "12", "12,13", 12, 0, [None], [0], [-3], [12, None], [True], [1.5],
    ["12a"], [[12]], [{}], [{"name": "Röd"}], [{"id": None}], {"12": {}}, {"12": {"sku": "a"}},
    {"id": 12}, {"red": 12}, {"0": None},
]  # fmt: skip


@pytest.mark.parametrize("written", UNREADABLE, ids=repr)
def test_variations_without_a_meaning_are_not_an_absence_of_variations(written: Any) -> None:
    """The product is rejected with all its variants, so what the catalog has of it stays."""
    odd = PARENT | {"variations": written}
    assert has_variations(odd)
    product, variation = rows_of(page("products", [odd]), page("variations", [VARIATION]))
    assert isinstance(product, RejectedVariant)
    assert (product.product_id, product.variant_id) == ("20", None)
    assert product.reason.startswith("variations: ")
    assert isinstance(variation, RejectedVariant)
    assert variation.variant_id == "21"
    simple = rows_of(page("products", [PRODUCT | {"variations": written}]))
    assert [type(each) for each in simple] == [CatalogItem]


@pytest.mark.parametrize("sku", [1.5, True, False, ["a"], {}])
def test_a_sku_of_another_type_is_rejected(sku: Any) -> None:
    """1.5 may have been "1.50", and true is no text."""
    (row,) = rows_of(page("products", [PRODUCT | {"sku": sku}]))
    assert isinstance(row, RejectedVariant)
    assert row.reason.startswith("sku: ")
    assert (row.product_id, row.variant_id) == ("10", "10_default")


@pytest.mark.parametrize("parent", [-3, 1.5, "12a", True, [20], {"id": 20}])
def test_a_parent_without_a_meaning_loses_no_variation_silently(parent: Any) -> None:
    """An orphan says 0, and only that is left out."""
    rows = rows_of(
        page("products", [PARENT]), page("variations", [VARIATION | {"parent_id": parent}])
    )
    assert [type(each) for each in rows] == [RejectedVariant]
    assert rows[0].variant_id == "21"
    of_page = page("variations", [VARIATION | {"parent_id": parent}], parent_id=20)
    assert [type(each) for each in rows_of(page("products", [PARENT]), of_page)] == [CatalogItem]


def texts(value: int) -> st.SearchStrategy[Any]:
    """An id in the forms that have one meaning."""
    return st.sampled_from([value, str(value), float(value), f"{value}.0"])


def lists(ids: list[int]) -> st.SearchStrategy[Any]:
    """Ids of variations in the forms that have one meaning."""
    one = st.tuples(*map(texts, ids)).map(list)
    objects = one.map(lambda found: [{"id": each, "sku": "x"} for each in found])
    keyed = one.map(
        lambda found: {str(place): each for place, each in zip(ids, found, strict=True)}
    )
    gaps = objects.map(lambda found: {str(3 * place): each for place, each in enumerate(found)})
    empty: list[Any] = [[], {}]
    return st.one_of(one, objects, keyed, gaps) if ids else st.sampled_from(empty)


def numbers(written: str) -> st.SearchStrategy[Any]:
    """Text of digits, as PHP writes it with JSON_NUMERIC_CHECK."""
    return st.sampled_from([written, int(written)])


FLAGS = {True: [True, "yes", "true", "1", 1], False: [False, "no", "false", "0", 0]}
IMAGE = {"id": 2, "src": "https://shop.example/2.png"}


@st.composite
def products(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """A product as documented, and the same in other JSON types."""
    ids = draw(st.lists(st.integers(21, 10**9), max_size=3, unique=True))
    own, sku, name = draw(st.integers(1, 10**12)), *draw(st.tuples(*[st.integers(1, 10**9)] * 2))
    managed, quantity = draw(st.booleans()), draw(st.integers(-99, 99))
    images = draw(st.sampled_from([[], [IMAGE]]))
    documented = {
        **PRODUCT, "id": own, "sku": str(sku), "name": str(name), "type": "variable",
        "manage_stock": managed, "stock_quantity": quantity, "images": images, "variations": ids,
    }  # fmt: skip
    absent: list[Any] = [[], {}, None, False, ""]
    present: list[Any] = [[IMAGE], {"0": IMAGE}, IMAGE]
    changed = {
        "id": draw(texts(own)),
        "sku": draw(numbers(str(sku))),
        "name": draw(numbers(str(name))),
        "manage_stock": draw(st.sampled_from(FLAGS[managed])),
        "stock_quantity": draw(st.sampled_from([quantity, str(quantity), float(quantity)])),
        "images": draw(st.sampled_from(present if images else absent)),
        "variations": draw(lists(ids)),
    }
    return documented, documented | changed


@st.composite
def variations(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """A variation as documented, and the same in other JSON types."""
    own, sku, name = draw(st.tuples(*[st.integers(21, 10**9)] * 3))
    managed: Any = draw(st.sampled_from([True, False]))
    image = draw(st.sampled_from([None, IMAGE]))
    named = draw(st.booleans())
    documented = {
        **VARIATION, "id": own, "sku": str(sku), "name": str(name) if named else "",
        "manage_stock": managed, "image": image, "attributes": [{"option": "42"}],
    }  # fmt: skip
    absent: list[Any] = [None, [], {}, False, ""]
    changed = {
        "id": draw(texts(own)),
        "parent_id": draw(texts(20)),
        "sku": draw(numbers(str(sku))),
        "name": draw(numbers(str(name))) if named else "",
        "manage_stock": draw(st.sampled_from(FLAGS[managed])),
        "image": draw(st.sampled_from([IMAGE, [IMAGE], {"0": IMAGE}] if image else absent)),
        "attributes": draw(st.sampled_from([[{"option": 42}], {"0": {"option": "42"}}])),
    }
    return documented, documented | changed


def as_rows(product: dict[str, Any], variation: dict[str, Any]) -> list[Any]:
    """The rows of a snapshot of the parent 20, this product and this variation."""
    pages = [page("products", [PARENT, product]), page("variations", [variation])]
    return list(WooCommerceAdapter().rows(SHOP, "SEK", pages))


@given(products(), variations())
def test_another_type_with_one_meaning_changes_no_item(
    product: tuple[dict[str, Any], dict[str, Any]],
    variation: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    """For every documented object, and every field of it that changes its type."""
    assert as_rows(product[1], variation[1]) == as_rows(product[0], variation[0])


garbage = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 30) | st.floats(-5, 30) | st.text(max_size=3)
    | st.sampled_from(["12a", "-3", "1.5", "", "20", "21"]),
    lambda inner: st.lists(inner, max_size=2)
    | st.dictionaries(st.sampled_from(["id", "0", "12", "src"]), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip


@given(
    st.dictionaries(st.sampled_from(sorted(PRODUCT)), garbage, max_size=3),
    st.dictionaries(st.sampled_from(sorted(VARIATION)), garbage, max_size=3),
)
def test_nothing_is_lost_without_a_word(
    of_product: dict[str, Any], of_variation: dict[str, Any]
) -> None:
    """Every object is an item, a reject or a parent that was read, or an orphan by its own word."""
    product, variation = PARENT | {"id": 30} | of_product, VARIATION | of_variation
    found = rows_of(page("products", [product]), page("products", [PARENT]))
    assert len(found) == 1 or _is_a_parent(product)
    last = rows_of(
        page("products", [PARENT]), page("products", [PARENT | {"id": 30}]),
        page("variations", [variation]),
    )  # fmt: skip
    parent = forms.parent_id(json.loads(json.dumps(variation), parse_float=Decimal)["parent_id"])
    assert len(last) == (1 if parent in (None, 20, 30) else 0)


def _is_a_parent(product: dict[str, Any]) -> bool:
    parsed = json.loads(json.dumps(product), parse_float=Decimal)
    try:
        return bool(forms.variation_ids(parsed["variations"]))
    except FieldError:
        return False
