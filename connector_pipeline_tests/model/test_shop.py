"""Shops, their domains and partition keys."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connector_pipeline.model.errors import InvalidShop
from connector_pipeline.model.shop import (
    PlatformName,
    Shop,
    parse_partition_key,
    valid_currency,
    valid_domain,
)


@pytest.mark.parametrize(
    ("platform", "domain"),
    [
        ("shopify", "acme.myshopify.com"),
        ("shopify", "a-1.myshopify.com"),
        ("woocommerce", "shop.example.com"),
        ("woocommerce", "xn--bcher-kva.example"),
    ],
)
def test_a_partition_key_names_its_shop(platform: str, domain: str) -> None:
    """Whoever knows the shop can compute its key, and whoever has the key knows the shop."""
    assert parse_partition_key(f"{platform}/{domain}") == (PlatformName(platform), domain)


@pytest.mark.parametrize(
    "key",
    [
        "acme.myshopify.com",
        "magento/acme.example.com",
        "shopify/acme.example.com",
        "shopify/acme.myshopify.com\n",
        "shopify/acme.myshopify.com.evil.example",
        "shopify/evil.example#.myshopify.com",
        "shopify/ACME.myshopify.com",
        "shopify/-acme.myshopify.com",
        "woocommerce/https://shop.example.com",
        "woocommerce/shop.example.com:8443",
        "woocommerce/user@shop.example.com",
        "woocommerce/127.0.0.1",
        "woocommerce/localhost",
        "woocommerce/../../etc",
        "woocommerce/shop..example.com",
        "woocommerce/",
        "/",
        "",
    ],
)
def test_a_domain_that_credentials_must_not_follow_is_refused(key: str) -> None:
    """A URL is built from the domain, so anything but a plain host name is refused."""
    with pytest.raises(InvalidShop):
        parse_partition_key(key)


HOST_NAMES = st.from_regex(r"[a-z0-9.-]{1,80}", fullmatch=True)


@given(
    st.text()
    | st.builds(
        "{}/{}".format,
        st.sampled_from(["shopify", "woocommerce"]) | st.text(),
        HOST_NAMES | st.text(),
    )
)
@example("woocommerce/shop.example.com")
def test_no_text_breaks_the_parser(key: str) -> None:
    """Any text is either a key that reads back the same or an InvalidShop."""
    try:
        platform_name, domain = parse_partition_key(key)
    except InvalidShop:
        return
    assert f"{platform_name.value}/{domain}" == key


@given(HOST_NAMES)
@example("shop.example.com")
def test_an_accepted_host_name_has_only_harmless_labels(domain: str) -> None:
    """What is accepted has no empty label, and none that starts or ends with a hyphen."""
    try:
        valid_domain(PlatformName.WOOCOMMERCE, domain)
    except InvalidShop:
        return
    labels = domain.split(".")
    assert len(labels) > 1
    assert [label for label in labels if label.strip("-") != label or not label] == []


def test_a_shop_knows_its_key() -> None:
    """The key has the platform's name and the domain, nothing else."""
    shop = Shop(
        merchant_id="m-1",
        platform_name=PlatformName.SHOPIFY,
        platform_shop_id="42",
        domain="acme.myshopify.com",
    )
    assert shop.partition_key == "shopify/acme.myshopify.com"


@pytest.mark.parametrize("currency", ["sek", "SE", "SEKK", "SEK\n", "12A", ""])
def test_what_is_not_a_currency_code_is_refused(currency: str) -> None:
    """Only three capitals can be an ISO 4217 code."""
    with pytest.raises(InvalidShop):
        valid_currency(currency)
