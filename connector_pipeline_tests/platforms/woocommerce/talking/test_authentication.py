"""Promises about a shop's key: how and where it is presented, and that no text shows it."""

import base64
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from connector_pipeline.platforms.woocommerce.talking.authentication import (
    Authentication,
    WooCommerceCredentials,
    oauth_parameters,
    ways,
)
from connector_pipeline.sandbox.shops.credentials import ShopCredentials
from connector_pipeline.sandbox.woocommerce.oauth import refused

KEY, SECRET = "ck_test", "cs_test"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def credentials(**more: Any) -> WooCommerceCredentials:
    """A key as the Token Service sends it."""
    sent = {"consumer_key": KEY, "consumer_secret": SECRET, "shop": "ignored", **more}
    return WooCommerceCredentials.model_validate(sent)


def test_credentials_do_not_show_themselves() -> None:
    """No text, no JSON and no validation error has them."""
    shown = f"{credentials()!r} {credentials()!s} {credentials().model_dump_json()}"
    assert KEY not in shown
    assert SECRET not in shown
    with pytest.raises(ValueError, match="consumer_key") as caught:
        WooCommerceCredentials.model_validate({"consumer_secret": {"wrapped": SECRET}})
    assert SECRET not in str(caught.value)


def test_the_authorization_header_is_basic() -> None:
    """Key and secret are encoded as in RFC 7617, in UTF-8."""
    scheme, _, pair = credentials(consumer_secret=SecretStr("cs_ö")).authorization().partition(" ")
    assert scheme == "Basic"
    assert base64.b64decode(pair).decode() == f"{KEY}:cs_ö"


BASIC, QUERY, OAUTH = Authentication.BASIC, Authentication.QUERY_STRING, Authentication.OAUTH


@pytest.mark.parametrize(
    ("base_url", "sandbox", "found"),
    [
        ("https://shop.example", False, (BASIC, QUERY)),
        ("https://shop.example", True, (BASIC, QUERY)),
        ("http://127.0.0.1:8080/woocommerce/shop.example", True, (BASIC, QUERY, OAUTH)),
        ("http://localhost:8080", True, (BASIC, QUERY, OAUTH)),
        ("http://[::1]:8080", True, (BASIC, QUERY, OAUTH)),
        ("http://127.0.0.1:8080", False, (OAUTH,)),
        ("http://shop.example", False, (OAUTH,)),
        ("http://shop.example", True, (OAUTH,)),
        ("http://10.0.0.1", True, (OAUTH,)),
        ("http://127.0.0.1.example", True, (OAUTH,)),
        ("http://localhost.example", True, (OAUTH,)),
        ("ftp://127.0.0.1.example", True, (OAUTH,)),
    ],
)
def test_a_secret_travels_over_https_or_to_a_sandbox(
    base_url: str, sandbox: bool, found: tuple[Authentication, ...]
) -> None:
    """Any other URL gets a signature (docs/facts/woocommerce.md, Authentication)."""
    assert ways(base_url, allow_private_hosts=sandbox) == found


plain = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_characters="%"))


@given(st.dictionaries(st.text("abc_[]", min_size=1), plain, max_size=4))
def test_a_signature_is_what_woocommerce_computes(query: dict[str, str]) -> None:
    """It is computed by the algorithm of WC_REST_Authentication, and good for one use."""
    issued = ShopCredentials("shop.example")
    key = credentials(consumer_key=issued.consumer_key, consumer_secret=issued.consumer_secret)
    url = "http://shop.example/wp-json/wc/v3/products"
    asked = str(httpx.URL(url, params=query))
    signed = oauth_parameters(key, asked)
    assert issued.consumer_secret not in str(signed)
    given_query = {**query, **signed}
    assert refused("GET", url, given_query, issued) is None
    assert refused("GET", url, given_query, issued) == (
        "Invalid nonce - nonce has already been used."
    )
    issued.rotate()
    assert refused("GET", url, given_query, issued) == "Consumer key is invalid."
