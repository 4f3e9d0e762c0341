"""Promises of the WooCommerce resource's own decisions."""

from collections.abc import Callable
from typing import Any

import pytest

from connector_pipeline.model.shop import PlatformName
from connector_pipeline.platforms.http import Answer
from connector_pipeline.platforms.platform import Platform
from connector_pipeline.platforms.woocommerce.api import (
    WooCommerceApi,
    currency_in,
    may_carry_credentials,
)


def test_the_resource_is_a_platform() -> None:
    """It fulfils the contract, and names itself."""
    platform: Platform = WooCommerceApi()
    assert platform.platform_name is PlatformName.WOOCOMMERCE


@pytest.mark.parametrize(
    ("recorded", "key"), [("currency_current", "code"), ("settings_currency", "value")]
)
def test_a_real_answer_tells_the_currency(
    real_answer: Callable[[str], Any], recorded: str, key: str
) -> None:
    """The setting's default is not taken for its value."""
    assert currency_in(Answer(200, {}, b"", real_answer(recorded)), key) == "SEK"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, {"code": "woocommerce_rest_cannot_view"}),
        (404, {"code": "SEK"}),
        (200, {"code": "kr"}),
        (200, {"code": "sek"}),
        (200, {"code": "SEK\n"}),
        (200, {"code": None}),
        (200, {}),
        (200, []),
        (200, "SEK"),
    ],
)
def test_a_currency_is_never_guessed(status: int, body: Any) -> None:
    """What is not an ISO 4217 code in an answer of 200 is no currency."""
    assert currency_in(Answer(status, {}, b"", body), "code") is None


@pytest.mark.parametrize(
    ("base_url", "sandbox", "may"),
    [
        ("https://shop.example", False, True),
        ("https://shop.example", True, True),
        ("http://127.0.0.1:8080/woocommerce/shop.example", True, True),
        ("http://localhost:8080", True, True),
        ("http://[::1]:8080", True, True),
        ("http://127.0.0.1:8080", False, False),
        ("http://shop.example", True, False),
        ("http://10.0.0.1", True, False),
        ("http://127.0.0.1.example", True, False),
        ("http://localhost.example", True, False),
        ("ftp://127.0.0.1", True, False),
    ],
)
def test_credentials_travel_over_https_or_loopback(base_url: str, sandbox: bool, may: bool) -> None:
    """Basic authentication over plain http is for a sandbox on this machine only (FACTS 19)."""
    assert may_carry_credentials(base_url, allow_private_hosts=sandbox) is may
