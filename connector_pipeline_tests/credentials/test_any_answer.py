"""Whatever the Token Service answers is credentials or an error of ours, without a secret."""

import asyncio
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.credentials.token_service import TokenService
from connector_pipeline.model.errors import ShopDisconnected, TokenServiceUnavailable
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.adapters import BUILT_IN
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline_tests.any_json import near_json

SECRET = "hunter2-of-this-shop"
SHOP = Shop(
    merchant_id="m", platform_name="shopify", platform_shop_id="1", domain="acme.myshopify.com"
)
ANSWERS = near_json(
    {
        "data": {
            "access_token": SECRET, "consumer_key": SECRET, "consumer_secret": SECRET,
            "expires_at": "2027-01-01T00:00:00Z", "scope": ["read_products"],
        }
    }
)  # fmt: skip


@pytest.fixture(scope="module")
def sandbox() -> Generator[SandboxServer]:
    """A sandbox without shops: each answer is a fault."""
    with SandboxServer(()) as running:
        yield running


@given(body=ANSWERS, status=st.just(200) | st.sampled_from([401, 403, 404, 410, 500, 302]))
def test_any_answer_is_credentials_or_an_error(
    sandbox: SandboxServer, body: bytes, status: int
) -> None:
    sandbox.faults.set([{"kind": "body", "body": body.decode("latin-1"), "status": status}])
    service = TokenService(sandbox.token_service_url, timeout=30, retry_count=0, retry_delay=0.001)

    async def ask(model: Any) -> Any:
        async with service.open("c-1") as client:
            return await client.credentials(SHOP, model)

    for adapter in BUILT_IN.values():
        model = adapter.credentials_model
        try:
            found = asyncio.run(ask(model))
        except (TokenServiceUnavailable, ShopDisconnected) as error:
            found = str(error)
        assert isinstance(found, model | str)
        assert SECRET not in repr(found)
        assert len(repr(found)) < 1_000
