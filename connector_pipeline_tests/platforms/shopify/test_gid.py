"""Promises about global ids."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.platforms.shopify.gid import numeric_id


@given(number=st.integers(0, 10**20 - 1))
def test_the_number_comes_out_as_text(number: int) -> None:
    """An id may have up to twenty digits."""
    assert numeric_id(f"gid://shopify/Product/{number}", "Product") == str(number)


@pytest.mark.parametrize(
    "gid",
    [
        None,
        7,
        "7",
        "gid://shopify/Product/",
        "gid://shopify/Product/7\n",
        "gid://shopify/Product/7?x=1",
        "gid://shopify/ProductVariant/7",
        "gid://other/Product/7",
        "gid://shopify/Product/\u0667",
        " gid://shopify/Product/7",
    ],
)
def test_any_other_value_is_no_gid(gid: object) -> None:
    """A gid of another type and a gid with other text around it are refused."""
    assert numeric_id(gid, "Product") is None
