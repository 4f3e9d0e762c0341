"""Promises of finding the fields that Shopify could not read."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.model.catalog_item import CatalogItem, RejectedVariant
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.http.json_body import parse_json
from connector_pipeline.platforms.kit.contract import RawPage
from connector_pipeline.platforms.shopify.failed_fields import failed_fields
from connector_pipeline.platforms.shopify.mapping.normalize import normalize
from connector_pipeline.platforms.shopify.mapping.plain_pages import plain_rows
from connector_pipeline_tests.platforms.shopify.scripted import (
    Said,
    product,
    products_body,
    variant,
    variants_body,
)


def error(*path: Any, message: Any = "oops") -> dict[str, Any]:
    return {"message": message, "path": list(path)}


PRODUCTS = ("products", "nodes")


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ((*PRODUCTS, 7, "featuredMedia"), (7, None, "featuredMedia")),
        ((*PRODUCTS, 7), (7, None, "product")),
        ((*PRODUCTS, 0, "variants"), (0, None, "variants")),
        (
            (*PRODUCTS, 3, "variants", "nodes", 2, "image", "url"),
            (3, 2, "image.url"),
        ),
        (("product", "title"), (None, None, "title")),
        (("product", "variants", "nodes", 5, "price"), (None, 5, "price")),
    ],
)
def test_an_error_leads_to_its_field(path: tuple[Any, ...], place: tuple[Any, ...]) -> None:
    """The field may be a product's or a variant's, on either kind of page."""
    (found,) = failed_fields({"data": None, "errors": [error(*path)]})
    assert (found.product, found.variant) == place[:2]
    assert found.reason == f"{place[2]}: Shopify could not read it (oops)"


@pytest.mark.parametrize(
    "body",
    [
        {"errors": [error(*PRODUCTS, 1, "title")]},
        {"data": None, "errors": "Internal error"},
        {"data": None, "errors": []},
        {"data": None, "errors": [{"message": "no path"}]},
        {"data": None, "errors": [error("products")]},
        {"data": None, "errors": [error("products", "pageInfo", "endCursor")]},
        {"data": None, "errors": [error(*PRODUCTS, "7", "title")]},
        {"data": None, "errors": [error(*PRODUCTS, -1, "title")]},
        {"data": None, "errors": [error("query Products", *PRODUCTS, 1, "x")]},
        {"data": None, "errors": [error("product")]},
        {"data": None, "errors": [error("product", "variants")]},
        {"data": None, "errors": [error(*PRODUCTS, 1, "title"), {"message": "no path"}]},
        {"data": None, "errors": [error(*PRODUCTS, 1, "title"), "text"]},
        {"data": None, "errors": [error(*PRODUCTS, place, "title") for place in range(11)]},
    ],
)
def test_an_error_of_more_than_a_product_is_none_of_a_field(body: Any) -> None:
    """Such an answer is no page, whatever data it has."""
    assert failed_fields(body) == ()


def test_more_than_ten_products_may_fail_if_the_page_is_large() -> None:
    """A page of which half is good is worth reading around the rest."""
    good = products_body([product(number, [variant(number)]) for number in range(1, 41)])
    errors = [error(*PRODUCTS, place, "featuredMedia") for place in range(20)]
    assert len(failed_fields({**good, "errors": errors})) == 20
    assert failed_fields({**good, "errors": [*errors, error(*PRODUCTS, 20, "featuredMedia")]}) == ()


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["message", "path", "nodes", "x"]), inner, max_size=3)
    ),
)
_PATH = st.lists(
    st.sampled_from(["products", "product", "nodes", "variants", "title"]) | st.integers(-1, 9),
    max_size=6,
)


@given(
    errors=_ANY | st.lists(st.fixed_dictionaries({"path": _PATH, "message": _ANY}), max_size=3),
    data=_ANY,
)
def test_no_errors_break_the_search(errors: Any, data: Any) -> None:
    """Any JSON may stand in any place."""
    for each in failed_fields({"data": data, "errors": errors}):
        assert "\n" not in each.reason
        assert len(each.reason) < 300


def page(kind: str, body: dict[str, Any], **facts: Any) -> RawPage:
    sent = Said(body).wire().partition(b"\r\n\r\n")[2]
    assert parse_json(sent)
    return RawPage(kind, sent, facts)


def normalized(shop: Shop, raw: RawPage) -> tuple[list[str], list[RejectedVariant]]:
    """The ids of the items, and the rejects. The fast path leaves the page alone."""
    assert plain_rows(shop, "EUR", raw) is None
    found = list(normalize(shop, "EUR", [raw]))
    items = [each.variant_id for each in found if isinstance(each, CatalogItem)]
    return items, [each for each in found if isinstance(each, RejectedVariant)]


def test_a_null_that_the_shop_does_not_have_is_never_published(shop: Shop) -> None:
    """All variants of the product are rejected, though they look good."""
    products = [product(1, [variant(11), variant(12)]), product(2, [variant(21)])]
    body = products_body(products, errors=[error(*PRODUCTS, 0, "featuredMedia")])
    items, rejects = normalized(shop, page("products", body, after=None))
    assert items == ["21"]
    assert [reject.variant_id for reject in rejects] == ["11", "12"]
    assert "featuredMedia: Shopify could not read it (oops)" in rejects[0].reason


def test_a_variants_own_field_rejects_the_variant_alone(shop: Shop) -> None:
    """On a page of products and on one of variants."""
    one = product(1, [variant(11, image=None), variant(12)])
    failing = error(*PRODUCTS, 0, "variants", "nodes", 0, "image")
    items, (reject,) = normalized(
        shop, page("products", products_body([one], errors=[failing]), after=None)
    )
    assert (items, reject.variant_id) == (["12"], "11")
    failing = error("product", "variants", "nodes", 1, "image")
    body = {**variants_body(one), "errors": [failing]}
    items, (reject,) = normalized(shop, page("variants", body, product_id="1", after="c"))
    assert (items, reject.variant_id) == (["11"], "12")


def test_a_product_without_its_variants_is_one_reject_of_the_product(shop: Shop) -> None:
    """So all rows of the product stay as they are."""
    body = products_body(
        [{**product(1, []), "variants": None}, product(2, [variant(21)])],
        errors=[error(*PRODUCTS, 0, "variants")],
    )
    items, (reject,) = normalized(shop, page("products", body, after=None))
    assert items == ["21"]
    assert (reject.product_id, reject.variant_id) == ("1", None)


def test_a_variants_page_without_its_product_is_no_deletion(shop: Shop) -> None:
    """Without the error, a product that is null was deleted."""
    body = {**variants_body(None), "errors": [error("product", "title")]}
    items, (reject,) = normalized(shop, page("variants", body, product_id="7", after="c"))
    assert items == []
    assert (reject.product_id, reject.variant_id) == ("7", None)
    deleted = page("variants", variants_body(None), product_id="7", after="c")
    assert list(normalize(shop, "EUR", [deleted])) == []
