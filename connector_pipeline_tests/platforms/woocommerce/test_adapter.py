"""Promises of the WooCommerce adapter's own decisions."""

from dataclasses import fields

import pytest

from connector_pipeline.model.errors import InvalidShop
from connector_pipeline.platforms.woocommerce.adapter import WooCommerceAdapter


def test_the_adapter_names_itself_and_holds_no_secret() -> None:
    """It asks for a key when it needs one, and does not keep it."""
    adapter = WooCommerceAdapter()
    assert adapter.platform_name == "woocommerce"
    assert not any("key" in each.name or "secret" in each.name for each in fields(adapter))


@pytest.mark.parametrize("domain", ["https://shop.example.com", "shop.example.com:8443", "a/b"])
def test_only_a_host_name_is_a_shops_domain(domain: str) -> None:
    """The URL that gets the key is built from the domain."""
    assert WooCommerceAdapter.valid_domain("shop.example.com") == "shop.example.com"
    with pytest.raises(InvalidShop):
        WooCommerceAdapter.valid_domain(domain)
