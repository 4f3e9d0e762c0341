"""Promises about the URLs to which a redirect may lead a shop's key."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.woocommerce.talking.origin import ASKED, moved_to, same_shop

SHOP = "https://shop.example"


@pytest.mark.parametrize(
    ("location", "base_url"),
    [
        (f"https://www.shop.example{ASKED}?per_page=1", "https://www.shop.example"),
        (f"https://shop.example:443{ASKED}", "https://shop.example:443"),
        (f"http://shop.example{ASKED}", "http://shop.example"),
        (f"https://en.shop.example{ASKED}/", "https://en.shop.example"),
        (f"/en{ASKED}?per_page=1", "https://shop.example/en"),
        (f"{ASKED}/?per_page=1", "https://shop.example"),
        ("https://www.shop.example/", "https://www.shop.example"),
        ("/wp-login.php?redirect_to=x", "https://shop.example"),
        ("/.well-known/sgcaptcha/?r=x", "https://shop.example"),
        ("", "https://shop.example"),
    ],
)
def test_a_redirect_within_the_shop_moves_its_base_url(location: str, base_url: str) -> None:
    """It may lead to another scheme, host or folder. One to a page of the shop changes nothing."""
    assert moved_to(SHOP, location, registered=SHOP) == base_url


@pytest.mark.parametrize(
    "location",
    [
        "https://other.example/wp-json/wc/v3/products",
        "https://shop.example.evil.example/",
        "https://notshop.example/",
        "https://shop.example:8443/",
        "https://example/",
        "//other.example/",
        "https://shop.example@other.example/",
        "https://user@shop.example/",
        "https://@shop.example/",
        "https://shop.example\\@other.example/",
        "https://other.example\\@shop.example/",
        "/\\other.example/",
        "\\\\other.example/",
        "https:\\\\other.example/",
        "https://shop.example/\x00",
        "https://shop.ex\tample/",
        "///other.example/\x85",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/",
        "https://shop.example./",
        "ftp://shop.example/",
        "javascript:alert(1)",
        "https://[::1",
        "https://shop.example:x/",
    ],
)
def test_a_redirect_out_of_the_shop_is_refused(location: str) -> None:
    """For another host, another port or no address, the key is not sent."""
    with pytest.raises(InvalidResponse, match=r"https://shop\.example redirects to"):
        moved_to(SHOP, location, registered=SHOP)


def test_a_refused_redirect_says_what_to_do() -> None:
    """The message names both hosts, and the remedy registers the shop at the new one."""
    with pytest.raises(InvalidResponse) as caught:
        moved_to(SHOP, "https://www.new.example/?consumer_secret=cs_1", registered=SHOP)
    text = str(caught.value)
    assert "https://shop.example redirects to https://www.new.example, " in text
    assert "shops add woocommerce/new.example --merchant-id M" in text
    assert "cs_1" not in text


@pytest.mark.parametrize(
    ("host", "registered", "same"),
    [
        ("shop.example", "shop.example", True),
        ("www.shop.example", "shop.example", True),
        ("shop.example", "www.shop.example", True),
        ("eu.shop.example", "shop.example", True),
        ("eu.shop.example", "www.shop.example", True),
        ("shop.co.uk", "www.shop.co.uk", True),
        ("other.co.uk", "shop.co.uk", False),
        ("platform.example", "shop.platform.example", False),
        ("other.platform.example", "shop.platform.example", False),
        ("xshop.example", "shop.example", False),
    ],
)
def test_a_shops_hosts_are_its_domain_and_what_is_below(
    host: str, registered: str, same: bool
) -> None:
    """A domain above it or beside it may be another merchant's."""
    assert same_shop(host, registered) is same


LOCATIONS = st.builds(
    "{}://{}{}{}".format,
    st.sampled_from(["https", "http", "ftp"]),
    st.sampled_from(
        ["shop.example", "www.shop.example", "a.shop.example", "xshop.example", "example"]
    )
    | st.text(),
    st.sampled_from(["", ":443", ":80", ":8443", "@other.example", ":1@other.example"]),
    st.text() | st.sampled_from(["", "/login", "/wp-json/wc/v3/products?per_page=1"]),
)


@given(st.text() | LOCATIONS)
@example("https://www.shop.example/")
def test_any_redirect_leads_to_the_shop_or_to_an_error(location: str) -> None:
    """No text in a Location leads to another host or raises another error."""
    try:
        moved = moved_to(SHOP, location, registered=SHOP)
    except InvalidResponse:
        return
    host = moved.partition("://")[2].partition("/")[0].partition(":")[0]
    assert same_shop(host, "shop.example")
