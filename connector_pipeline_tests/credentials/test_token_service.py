"""Credentials from the Token Service: asked for as the contract says, and never told to anybody."""

import traceback
from collections.abc import Generator
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest
from pydantic import BaseModel, SecretStr

from connector_pipeline.credentials.token_service import TokenService, bearer_token
from connector_pipeline.model.errors import ShopDisconnected, TokenServiceUnavailable
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.shopify.credentials import ShopifyCredentials
from connector_pipeline.platforms.woocommerce.talking.authentication import (
    WooCommerceCredentials,
)
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.default_shops import DEFAULT_SHOPS

SECRET = "a-secret-of-at-least-32-bytes-for-hs256"


def shop(platform: str, domain: str | None = None) -> Shop:
    spec = next(spec for spec in DEFAULT_SHOPS if spec.platform == platform)
    return Shop(
        merchant_id=spec.merchant_id,
        platform_name=platform,
        platform_shop_id=spec.platform_shop_id,
        domain=domain or spec.domain,
    )


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Generator[SandboxServer]:
    monkeypatch.delenv("INTERNAL_JWT_SECRET", raising=False)
    with SandboxServer() as server:
        yield server


def service(sandbox: SandboxServer, **settings: Any) -> TokenService:
    return TokenService(url=sandbox.token_service_url, retry_delay=0.01, **settings)


async def test_a_shops_credentials_are_those_of_its_platform(sandbox: SandboxServer) -> None:
    """A token for Shopify, a key and its secret for WooCommerce."""
    async with service(sandbox).open("c-1") as client:
        token = await client.credentials(shop("shopify"), ShopifyCredentials)
        key = await client.credentials(shop("woocommerce"), WooCommerceCredentials)
    issued = {each.spec.domain: each.credentials for each in sandbox.store}
    assert token.access_token.get_secret_value() == issued[shop("shopify").domain].access_token
    assert key.consumer_key.get_secret_value() == issued[shop("woocommerce").domain].consumer_key
    assert (
        key.consumer_secret.get_secret_value() == issued[shop("woocommerce").domain].consumer_secret
    )


async def test_a_shop_without_credentials_is_disconnected(sandbox: SandboxServer) -> None:
    """404 is the service's word for it; it is not asked again and again."""
    async with service(sandbox).open("c-1") as client:
        with pytest.raises(ShopDisconnected):
            await client.credentials(shop("shopify", "nobody.myshopify.com"), ShopifyCredentials)
    assert len(sandbox.requests.requests()) == 1


async def test_with_a_secret_every_call_carries_a_short_lived_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """HS256, our name, sixty seconds: the sandbox verifies it as the service would."""
    monkeypatch.setenv("INTERNAL_JWT_SECRET", SECRET)
    with SandboxServer(jwt_secret=SECRET) as sandbox:
        async with service(sandbox).open("c-1") as client:
            assert await client.credentials(shop("shopify"), ShopifyCredentials)
    now = datetime.now(UTC).replace(microsecond=0)
    claims = jwt.decode(bearer_token(SecretStr(SECRET), now), SECRET, algorithms=["HS256"])
    assert claims["sub"] == "platform-connector"
    assert claims["iat"] == now.timestamp()
    assert claims["exp"] - claims["iat"] == 60


async def test_a_wrong_secret_is_the_operators_to_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    """No shop is called disconnected because we are not let in."""
    monkeypatch.setenv("INTERNAL_JWT_SECRET", "another-secret-of-at-least-32-bytes!!")
    with SandboxServer(jwt_secret=SECRET) as sandbox:
        async with service(sandbox).open("c-1") as client:
            with pytest.raises(TokenServiceUnavailable, match="INTERNAL_JWT_SECRET"):
                await client.credentials(shop("shopify"), ShopifyCredentials)


@pytest.mark.parametrize("kind", ["status", "html", "truncate", "reset", "garbage"])
async def test_a_trouble_that_passes_is_waited_out(sandbox: SandboxServer, kind: str) -> None:
    """Two failures are fewer than the retries."""
    fault = {"kind": kind, "match": {}, "times": 2}
    sandbox.faults.set([fault | ({"status": 503} if kind == "status" else {})])
    async with service(sandbox, retry_count=3).open("c-1") as client:
        assert await client.credentials(shop("shopify"), ShopifyCredentials)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 500},
        {"kind": "status", "status": 418},
        {"kind": "html"},
        {"kind": "truncate"},
        {"kind": "reset"},
        {"kind": "hang", "seconds": 60},
        {"kind": "empty_json"},
        {"kind": "body", "body": "[]"},
        {"kind": "body", "body": '{"data": null}'},
        {"kind": "body", "body": '{"data": {"access_token": ""}}'},
        {"kind": "body", "body": '{"data": {"token": "shpat_secret"}}'},
        {"kind": "body", "body": '{"data": {"access_token": ["shpat_secret"]}}'},
        {"kind": "redirect", "location": "http://127.0.0.1:1/elsewhere"},
    ],
    ids=str,
)
async def test_whatever_else_it_answers_it_is_unavailable(
    sandbox: SandboxServer, fault: dict[str, Any]
) -> None:
    """A named error with its remedy, and nothing of the answer in it."""
    sandbox.faults.set([{"match": {}, **fault}])
    async with service(sandbox, retry_count=1, timeout=0.5).open("c-1") as client:
        with pytest.raises(TokenServiceUnavailable) as raised:
            await client.credentials(shop("shopify"), ShopifyCredentials)
    assert raised.value.retryable
    assert "shpat_secret" not in "".join(traceback.format_exception(raised.value))


async def test_without_an_url_it_says_so() -> None:
    """Not a crash in the HTTP client."""
    with pytest.raises(TokenServiceUnavailable, match="TOKEN_SERVICE_URL"):
        async with TokenService(url="").open("c-1"):
            pass


class Key(BaseModel):
    """Any adapter's credentials: the service does not know which there are."""

    consumer_key: SecretStr


async def test_an_adapter_names_the_fields_it_needs(sandbox: SandboxServer) -> None:
    """Adding a platform changes nothing here."""
    async with service(sandbox).open("c-1") as client:
        found = await client.credentials(shop("woocommerce"), Key)
    assert found.consumer_key.get_secret_value().startswith("ck_")
