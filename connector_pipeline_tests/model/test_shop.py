"""Shops, their domains and partition keys."""

from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connector_pipeline.model.errors import InvalidShop
from connector_pipeline.model.shop import (
    Shop,
    parse_partition_key,
    valid_currency,
    valid_host_name,
    valid_path,
)


@pytest.mark.parametrize(
    ("platform", "domain"),
    [
        ("shopify", "acme.myshopify.com"),
        ("shopify", "acme-.myshopify.com"),
        ("woocommerce", "xn--bcher-kva.example"),
        ("a_platform_2", "shop.example.com"),
        ("p" * 32, "s" * 63 + ".example"),
    ],
)
def test_a_partition_key_names_its_shop(platform: str, domain: str) -> None:
    """The shop can be read from its key."""
    assert parse_partition_key(f"{platform}/{domain}") == (platform, domain)


@pytest.mark.parametrize(
    "key",
    [
        "acme.myshopify.com",
        "shopify/acme.myshopify.com\n",
        "shopify/evil.example#.myshopify.com",
        "shopify/ACME.myshopify.com",
        "shopify/-acme.myshopify.com",
        "Shopify/acme.myshopify.com",
        "2shopify/acme.myshopify.com",
        "shopify\n/acme.myshopify.com",
        "shöpify/acme.myshopify.com",
        "p" * 33 + "/shop.example.com",
        "woocommerce/https://shop.example.com",
        "woocommerce/shop.example.com:8443",
        "woocommerce/user@shop.example.com",
        "woocommerce/127.0.0.1",
        "woocommerce/localhost",
        "woocommerce/../../etc",
        "woocommerce/shop..example.com",
        "woocommerce/köln.example",
        "woocommerce/" + "s" * 64 + ".example",
        "woocommerce/" + "s." * 125 + "example",
        "woocommerce/",
        "/",
        "",
    ],
)
def test_a_text_that_has_not_the_form_of_a_key_is_refused(key: str) -> None:
    """We build URLs from a key, so anything but a name and a plain host name is refused."""
    with pytest.raises(InvalidShop):
        parse_partition_key(key)


@given(st.text(min_size=200))
def test_a_refusal_repeats_only_the_beginning_of_a_long_text(key: str) -> None:
    """A requester's text must not fill a log."""
    with pytest.raises(InvalidShop) as caught:
        parse_partition_key(key)
    assert len(str(caught.value).encode("utf-8", "backslashreplace")) < 1500


@pytest.mark.parametrize(
    "domain",
    [
        "127.0.0.1",
        "127.1",
        "0x7f.1",
        "0x7f.0x0.0x0.0x1",
        "2130706433",
        "017700000001",
        "169.254.169.254",
        "127.0.0.1.",
        "1.2.3.4.5",
        "[::1]",
        "::1",
        "::ffff:127.0.0.1",
        "fe80::1%eth0",
        "localhost",
        "localhost.",
        "shop.example.com.",
        "shop.example.com:8443",
        "me@shop.example.com",
        "shop.example.com\\.evil.example",
        "\uff11\uff12\uff17.0.0.1",
        "b\u00fccher.example",
    ],
)
def test_an_address_is_no_domain_in_any_notation(domain: str) -> None:
    """A shop is registered by a name. Where it leads to is judged at each connection."""
    with pytest.raises(InvalidShop, match="is not a host name"):
        valid_host_name(domain)


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
    assert f"{platform_name}/{domain}" == key
    assert len(key.encode()) <= 32 + 1 + 253


@given(HOST_NAMES)
@example("shop.example.com")
def test_an_accepted_host_name_has_only_harmless_labels(domain: str) -> None:
    """An accepted host name has no empty label, and none that starts with a hyphen."""
    try:
        valid_host_name(domain)
    except InvalidShop:
        return
    labels = domain.split(".")
    assert len(labels) > 1
    assert [label for label in labels if label.startswith("-") or not label] == []


def test_a_shop_knows_its_key() -> None:
    """The key has the platform's name and the domain, nothing else."""
    shop = Shop(
        merchant_id="m-1",
        platform_name="shopify",
        platform_shop_id="42",
        domain="acme.myshopify.com",
    )
    assert shop.partition_key == "shopify/acme.myshopify.com"


@pytest.mark.parametrize("currency", ["sek", "SE", "SEKK", "SEK\n", "12A", ""])
def test_a_text_that_is_no_currency_code_is_refused(currency: str) -> None:
    """Only three capitals can be an ISO 4217 code."""
    with pytest.raises(InvalidShop):
        valid_currency(currency)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " m",
        "m ",
        "m\n1",
        "m\x00",
        "m\x7f",
        "m\x9b",
        "m\u202e1",
        "m\u2066",
        "\ud800",
        "é" * 128,
        "m\u3164",
        "\u115f",
        "m\u2800",
        "m\ufe0f",
    ],
)
def test_an_id_that_does_not_show_or_is_too_long_is_refused(text: str) -> None:
    """The error names the field. A text of 255 bytes is the longest."""
    fields = {"platform_name": "shopify", "domain": "acme.myshopify.com"}
    with pytest.raises(
        InvalidShop, match=r"^merchant_id must not be empty or longer than 255 bytes"
    ):
        Shop.of(merchant_id=text, platform_shop_id="1", **fields)
    with pytest.raises(InvalidShop, match=r"^platform_shop_id must not"):
        Shop.of(merchant_id="m", platform_shop_id=text, **fields)
    assert Shop.of(merchant_id="é" * 127 + "m", platform_shop_id="1", **fields)


PATHS = st.from_regex(r"(/[a-z%2ef@.?#:\\ é-]{0,6}){0,4}/?", fullmatch=True)


@given(st.text() | PATHS)
@example("/shop")
@example("/%2e%2e/admin")
@example("@evil.example")
def test_a_path_leads_to_no_other_place(path: str) -> None:
    """The key goes to the shop's host, and below the path that is registered."""
    try:
        valid = valid_path(path)
    except InvalidShop:
        return
    url = urlsplit(f"https://shop.example{valid}/wp-json")
    assert (url.netloc, url.path) == ("shop.example", f"{valid}/wp-json")
    assert not url.query + url.fragment
    assert valid_path(valid) == valid
    assert urljoin(url.geturl(), url.path) == url.geturl()
