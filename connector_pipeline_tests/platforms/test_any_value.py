"""A shop may write any JSON into any field: only what it concerns is rejected."""

import json
from collections.abc import Sequence
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.adapters import build_adapters
from connector_pipeline.platforms.kit.contract import RawPage
from connector_pipeline.settings import load_settings
from connector_pipeline_tests.catalog.snapshots import ACME, OTHER, Publisher
from connector_pipeline_tests.platforms.shopify.mapping.test_plain_pages import (
    PRODUCT as SHOPIFY_PRODUCT,
)
from connector_pipeline_tests.platforms.shopify.mapping.test_plain_pages import VARIANT
from connector_pipeline_tests.platforms.woocommerce.mapping.test_plain_pages import (
    PARENT,
    PRODUCT,
    VARIATION,
)

_HERE: Final = "<the value>"

VALUES: Final = (
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(), max_size=30)
        | st.sampled_from(["", "0", "publish", "ACTIVE", "2026-01-01T00:00:00", "1e99", "-5"]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=5,
    )
    .map(json.dumps)
    .filter(lambda written: _HERE not in written)
)
"""Values as they are written in a body."""

LARGE: Final = {
    "a number of 100,000 digits": "9" * 100_000,
    "an id of 4,000 digits": "1" * 4_000,
    "an id of 4,000 digits as text": json.dumps("1" * 4_000),
    "a fraction of 100,000 digits": "0." + "3" * 100_000,
    "an exponent out of reach": "1e999999999999999999999",
    "ten to the 30th": str(10**30),
    "a text of 10 MB": json.dumps("é" * 5_000_000, ensure_ascii=False),
    "a text of 66,000 bytes": json.dumps("a" * 66_000),
    "3,000 bytes that hardly compress": json.dumps("".join(map(str, range(1_000)))),
    "NUL and half of a surrogate pair": '"\\u0000\\ud800"',
    "the year 0": '"0000-01-01T00:00:00Z"',
    "the year 10000": '"10000-01-01T00:00:00Z"',
    "the first day, east of Greenwich": '"0001-01-01T00:00:00+14:00"',
    "the last day, west of Greenwich": '"9999-12-31T23:59:59-12:00"',
    "an offset out of range": '"2026-01-01T00:00:00+99:99"',
    "90 levels": "[" * 90 + "]" * 90,
    "100,000 entries": json.dumps([{"id": 5}] * 100_000),
}

Page = tuple[str, Any]


def with_placeholder(field: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The object with the placeholder in a field."""
    return fields | {field: _HERE}


def shopify_page(product: dict[str, Any], *variants: dict[str, Any]) -> Page:
    """One product beside a good one."""
    other = VARIANT | {"id": "gid://shopify/ProductVariant/99"}
    good = SHOPIFY_PRODUCT | {"id": "gid://shopify/Product/9", "variants": {"nodes": [other]}}
    odd = product | {"variants": {"nodes": [*variants]}}
    return "products", {"data": {"products": {"nodes": [odd, good]}}}


def woocommerce_pages(
    product: dict[str, Any], parent: dict[str, Any], variation: dict[str, Any]
) -> list[Page]:
    """A simple product and one with a variation, beside good ones."""
    return [
        ("products", [product, parent, PRODUCT | {"id": 90}, PARENT | {"id": 91}]),
        ("variations", [variation, VARIATION | {"id": 99, "parent_id": 91}]),
    ]


CASES: Final[dict[str, tuple[Shop, Sequence[Page], set[str]]]] = {
    **{
        f"shopify product.{field}": (
            ACME,
            [shopify_page(with_placeholder(field, SHOPIFY_PRODUCT), VARIANT)],
            {"99"},
        )
        for field in SHOPIFY_PRODUCT
    },
    **{
        f"shopify variant.{field}": (
            ACME,
            [shopify_page(SHOPIFY_PRODUCT, with_placeholder(field, VARIANT))],
            {"99"},
        )
        for field in VARIANT
    },
    **{
        f"woocommerce product.{field}": (
            OTHER,
            woocommerce_pages(with_placeholder(field, PRODUCT), PARENT, VARIATION),
            {"90_default", "99"},
        )
        for field in PRODUCT
    },
    **{
        f"woocommerce parent.{field}": (
            OTHER,
            woocommerce_pages(PRODUCT, with_placeholder(field, PARENT), VARIATION),
            {"90_default", "99"},
        )
        for field in PARENT
    },
    **{
        f"woocommerce variation.{field}": (
            OTHER,
            woocommerce_pages(PRODUCT, PARENT, with_placeholder(field, VARIATION)),
            {"90_default", "99"},
        )
        for field in VARIATION
    },
}


def assert_published(publisher: Publisher, case: str, value: str) -> None:
    """Publish the case's pages with the value in their field; the good variants are live then."""
    shop, pages, good = CASES[case]
    raw = [
        RawPage(kind, json.dumps(body).replace(json.dumps(_HERE), value).encode("utf-8"))
        for kind, body in pages
    ]
    adapter = build_adapters(load_settings())[shop.platform_name]
    made = list(adapter.rows(shop, "SEK", raw))
    # Rows and rejects as they came, through the same statements as a sync's.
    counts = publisher.publish_rows(made, shop=shop)
    assert counts.items + counts.duplicates + counts.rejected == len(made)
    assert publisher.live(shop) >= good


@pytest.mark.parametrize("case", CASES)
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(value=VALUES)
@example(value='"\\u0000\\ud800"')
@example(value="[" * 90 + "]" * 90)
@example(value="1e999999999999999999999")
def test_any_value_in_any_field_stops_no_other_variant(
    publisher: Publisher, case: str, value: str
) -> None:
    """Nothing but that variant, or the variants of that product, is rejected."""
    assert_published(publisher, case, value)


@pytest.mark.parametrize("large", LARGE)
def test_a_value_of_any_size_stops_no_other_variant(publisher: Publisher, large: str) -> None:
    """In whichever field it stands."""
    for case in CASES:
        assert_published(publisher, case, LARGE[large])
