"""Promises about a shop's credentials and about what its refusals mean."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr

from connector_pipeline.model.errors import (
    ConnectorError,
    InvalidResponse,
    PlatformUnavailable,
    ShopDisconnected,
)
from connector_pipeline.platforms.http import Answer
from connector_pipeline.platforms.woocommerce.session import (
    WooCommerceCredentials,
    error_code,
    error_of,
)

KEY, SECRET = "ck_test", "cs_test"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def credentials(**more: Any) -> WooCommerceCredentials:
    """A key as the Token Service sends it."""
    sent = {"consumer_key": KEY, "consumer_secret": SECRET, "shop": "ignored", **more}
    return WooCommerceCredentials.model_validate(sent)


def test_credentials_do_not_show_themselves() -> None:
    """Neither as text nor as JSON nor in what validation says."""
    shown = f"{credentials()!r} {credentials()!s} {credentials().model_dump_json()}"
    assert KEY not in shown
    assert SECRET not in shown
    with pytest.raises(ValueError, match="consumer_key") as caught:
        WooCommerceCredentials.model_validate({"consumer_secret": {"wrapped": SECRET}})
    assert SECRET not in str(caught.value)


def test_the_authorization_header_is_basic() -> None:
    """Key and secret as RFC 7617 has them, in UTF-8."""
    scheme, _, pair = credentials(consumer_secret=SecretStr("cs_ö")).authorization().partition(" ")
    assert scheme == "Basic"
    assert base64.b64decode(pair).decode() == f"{KEY}:cs_ö"


@pytest.mark.parametrize(
    ("expires_at", "expired"),
    [
        (None, False),
        ("2026-11-23T12:00:01Z", False),
        ("2026-11-23T12:00:00Z", True),
        ("2026-11-23T12:30:00+01:00", True),
        ("2026-11-23T12:00:01", False),
        ("2026-11-23T11:59:59", True),
    ],
)
def test_a_key_ends_when_it_says(expires_at: str | None, expired: bool) -> None:
    """A time without zone is UTC."""
    assert credentials(expires_at=expires_at).expired(NOW) is expired


@pytest.mark.parametrize(
    ("recorded", "error", "words"),
    [
        ("auth_bad_key", ShopDisconnected, "woocommerce_rest_cannot_view"),
        ("auth_bad_key", ShopDisconnected, "does not know this consumer key"),
        ("auth_bad_secret", ShopDisconnected, "woocommerce_rest_authentication_error"),
        ("auth_bad_secret", ShopDisconnected, "consumer secret is wrong"),
        ("auth_customer_key_products", ShopDisconnected, "role of the key's user is too low"),
        ("products_variations_root", InvalidResponse, "answered 404 rest_no_route"),
    ],
)
def test_real_refusals_are_named_right(
    real_answer: Callable[[str], Any], recorded: str, error: type[ConnectorError], words: str
) -> None:
    """WooCommerce's own code and what to do about it are in the message (FACTS 18)."""
    refusal = real_answer(recorded)
    found = error_of(Answer(refusal["status"], {}, b"", refusal["body"]), "/wc/v3/products")
    assert type(found) is error
    assert words in str(found)


@pytest.mark.parametrize(
    ("status", "body", "error", "words"),
    [
        (401, None, ShopDisconnected, "the web server asks for a password"),
        (403, None, PlatformUnavailable, "firewall"),
        (403, {"code": "rest_forbidden"}, ShopDisconnected, "rest_forbidden"),
        (400, {"code": "rest_invalid_param"}, InvalidResponse, "400 rest_invalid_param"),
        (404, None, InvalidResponse, "404 without a WooCommerce error code"),
        (204, None, InvalidResponse, "answered 204"),
    ],
)
def test_refusals_by_others_are_told_from_woocommerces(
    status: int, body: Any, error: type[ConnectorError], words: str
) -> None:
    """A firewall's page is no verdict on the key (FACTS 23)."""
    found = error_of(Answer(status, {}, b"", body), "/wc/v3/products")
    assert type(found) is error
    assert words in str(found)


@pytest.mark.parametrize(
    "body", [None, [], "rest_no_route", {}, {"code": 404}, {"code": "a b"}, {"code": "x" * 99}]
)
def test_only_a_code_is_a_code(body: Any) -> None:
    """Text of the shop's choosing does not get into our messages."""
    assert error_code(Answer(400, {}, b"", body)) is None
