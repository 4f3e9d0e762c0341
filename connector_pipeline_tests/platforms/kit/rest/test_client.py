"""Promises about the meaning of a REST API's refusals."""

from typing import Any

import pytest

from connector_pipeline.model.errors import (
    ConnectorError,
    InvalidResponse,
    PlatformUnavailable,
    ShopDisconnected,
)
from connector_pipeline.platforms.http.client import Answer
from connector_pipeline.platforms.kit.rest.client import error_of


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, {"error": "unknown key"}, ShopDisconnected),
        (402, {"error": "unpaid"}, ShopDisconnected),
        (403, {"error": "role"}, ShopDisconnected),
        (401, None, PlatformUnavailable),
        (403, None, PlatformUnavailable),
        (403, "no", PlatformUnavailable),
        (404, {"error": "no such list"}, InvalidResponse),
        (400, None, InvalidResponse),
        (204, None, InvalidResponse),
    ],
)
def test_only_the_platforms_own_refusal_disconnects_a_shop(
    status: int, body: Any, error: type[ConnectorError]
) -> None:
    """A firewall's page does not show that the credentials are bad."""
    found = error_of(Answer(status, {}, b"", body), "/mugs")
    assert type(found) is error
    assert f"/mugs answered {status}" in str(found)


@pytest.mark.parametrize(("status", "about"), [(401, True), (403, True), (402, False)])
@pytest.mark.parametrize("same", [False, True])
def test_a_refusal_says_whether_other_credentials_may_help(
    status: int, about: bool, same: bool
) -> None:
    """An unpaid account refuses any. Only fresh credentials are called fresh."""
    found = error_of(Answer(status, {}, b"", {"error": "no"}), "/mugs", same=same)
    assert isinstance(found, ShopDisconnected)
    assert found.about_credentials is about
    assert ("gave the same credentials again" in str(found)) == same
    assert ("freshly fetched" in str(found)) != same
