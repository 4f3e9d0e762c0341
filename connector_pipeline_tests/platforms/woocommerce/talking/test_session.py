"""Promises about the meaning of a shop's refusals."""

from collections.abc import Callable
from typing import Any

import pytest

from connector_pipeline.model.errors import (
    ConnectorError,
    InvalidResponse,
    PlatformUnavailable,
    ShopDisconnected,
)
from connector_pipeline.platforms.http.client import Answer
from connector_pipeline.platforms.woocommerce.talking.session import (
    error_code,
    error_of,
)


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
    """The message has WooCommerce's own code and the remedy.

    See docs/facts/woocommerce.md, Refusals.
    """
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
def test_refusals_by_others_are_distinguished_from_woocommerces(
    status: int, body: Any, error: type[ConnectorError], words: str
) -> None:
    """A firewall's page does not show that the key is bad.

    See docs/facts/woocommerce.md, Answers by others.
    """
    found = error_of(Answer(status, {}, b"", body), "/wc/v3/products")
    assert type(found) is error
    assert words in str(found)


@pytest.mark.parametrize(
    "body", [None, [], "rest_no_route", {}, {"code": 404}, {"code": "a b"}, {"code": "x" * 99}]
)
def test_only_a_code_is_a_code(body: Any) -> None:
    """No other text of the shop gets into our messages."""
    assert error_code(Answer(400, {}, b"", body)) is None
