"""Credentials come from the Token Service as the contract says, and appear in no error."""

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
    """Shopify's are a token, WooCommerce's a key and its secret."""
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
    """The service says so by a 404, and is not asked again."""
    async with service(sandbox).open("c-1") as client:
        with pytest.raises(ShopDisconnected):
            await client.credentials(shop("shopify", "nobody.myshopify.com"), ShopifyCredentials)
    assert len(sandbox.requests.requests()) == 1


async def test_with_a_secret_every_call_carries_a_short_lived_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """HS256, our name, 60 s. The sandbox verifies the token as the service would."""
    monkeypatch.setenv("INTERNAL_JWT_SECRET", SECRET)
    with SandboxServer(jwt_secret=SECRET) as sandbox:
        async with service(sandbox).open("c-1") as client:
            assert await client.credentials(shop("shopify"), ShopifyCredentials)
    now = datetime.now(UTC).replace(microsecond=0)
    claims = jwt.decode(bearer_token(SecretStr(SECRET), now), SECRET, algorithms=["HS256"])
    assert claims["sub"] == "platform-connector"
    assert claims["iat"] == now.timestamp()
    assert claims["exp"] - claims["iat"] == 60


async def test_a_wrong_secret_disconnects_no_shop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Token Service refuses us, and the error names the setting to correct."""
    monkeypatch.setenv("INTERNAL_JWT_SECRET", "another-secret-of-at-least-32-bytes!!")
    with SandboxServer(jwt_secret=SECRET) as sandbox:
        async with service(sandbox).open("c-1") as client:
            with pytest.raises(TokenServiceUnavailable, match="INTERNAL_JWT_SECRET"):
                await client.credentials(shop("shopify"), ShopifyCredentials)


@pytest.mark.parametrize("kind", ["status", "html", "truncate", "reset", "garbage"])
async def test_trouble_that_passes_is_waited_out(sandbox: SandboxServer, kind: str) -> None:
    """The service fails twice, and three retries are allowed."""
    fault = {"kind": kind, "match": {}, "times": 2}
    sandbox.faults.set([fault | ({"status": 503} if kind == "status" else {})])
    async with service(sandbox, retry_count=3).open("c-1") as client:
        assert await client.credentials(shop("shopify"), ShopifyCredentials)


# Answers of a gateway before the service, not of the service.
GATEWAYS = [
    (404, "text/html", "<html><h1>404 Not Found</h1>nginx</html>"),
    (404, "text/html", ""),
    (404, "application/json", '{"message": "no Route matched with those values"}'),
    (404, "application/json", '"not found"'),
    (401, "text/html", "<html><title>Sign in</title></html>"),
    (403, "text/html", "<html><h1>403 Forbidden</h1></html>"),
]


@pytest.mark.parametrize(("status", "media_type", "body"), GATEWAYS)
async def test_a_gateways_page_is_no_word_about_credentials(
    sandbox: SandboxServer, status: int, media_type: str, body: str
) -> None:
    """One that passes is waited out. One that stays makes the service unavailable."""
    fault = {
        "kind": "body",
        "match": {"platform": "token-service"},
        "status": status,
        "headers": {"Content-Type": media_type},
        "body": body,
    }
    sandbox.faults.set([{**fault, "times": 1}])
    async with service(sandbox).open("c-1") as client:
        assert await client.credentials(shop("shopify"), ShopifyCredentials)
    sandbox.faults.set([fault])
    sandbox.requests.clear()
    async with service(sandbox, retry_count=2).open("c-1") as client:
        with pytest.raises(TokenServiceUnavailable, match="not the service's own") as raised:
            await client.credentials(shop("shopify"), ShopifyCredentials)
    assert "JWT" not in raised.value.remedy
    assert len(sandbox.requests.requests()) == 3


@pytest.mark.parametrize("body", ['{"detail": "unknown shop"}', '{"errors": ["unknown shop"]}'])
async def test_the_services_own_404_is_believed_in_each_of_its_forms(
    sandbox: SandboxServer, body: str
) -> None:
    """The service is not asked again."""
    sandbox.faults.set([{"kind": "body", "match": {}, "status": 404, "body": body}])
    async with service(sandbox).open("c-1") as client:
        with pytest.raises(ShopDisconnected):
            await client.credentials(shop("shopify"), ShopifyCredentials)
    assert len(sandbox.requests.requests()) == 1


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
async def test_any_other_answer_makes_the_service_unavailable(
    sandbox: SandboxServer, fault: dict[str, Any]
) -> None:
    """The error is retryable and quotes nothing of the answer."""
    sandbox.faults.set([{"match": {}, **fault}])
    async with service(sandbox, retry_count=1, timeout=0.5).open("c-1") as client:
        with pytest.raises(TokenServiceUnavailable) as raised:
            await client.credentials(shop("shopify"), ShopifyCredentials)
    assert raised.value.retryable
    assert "shpat_secret" not in "".join(traceback.format_exception(raised.value))


async def test_a_missing_url_is_reported_by_its_setting() -> None:
    """The HTTP client does not fail on it."""
    with pytest.raises(TokenServiceUnavailable, match="TOKEN_SERVICE_URL"):
        async with TokenService(url="").open("c-1"):
            pass


class Key(BaseModel):
    """The credentials of an adapter that the Token Service's client does not know."""

    consumer_key: SecretStr


async def test_an_adapter_names_the_fields_it_needs(sandbox: SandboxServer) -> None:
    """A new platform needs no change in the client."""
    async with service(sandbox).open("c-1") as client:
        found = await client.credentials(shop("woocommerce"), Key)
    assert found.consumer_key.get_secret_value().startswith("ck_")


@pytest.mark.parametrize(
    "body",
    [
        '{"data": {"access_token": "' + "a" * 70_000 + '"}}',
        '{"data": [' + "{}," * 20_000 + "0]}",
    ],
)
async def test_credentials_are_small(sandbox: SandboxServer, body: str) -> None:
    """A large answer is not read to its end, and appears in no error."""
    rule = {"kind": "body", "body": body, "match": {"platform": "token-service"}}
    sandbox.faults.set([rule])
    async with service(sandbox).open("c-1") as client:
        with pytest.raises(TokenServiceUnavailable) as caught:
            await client.credentials(shop("shopify"), ShopifyCredentials)
    assert "bytes" in str(caught.value)
    assert len(str(caught.value)) < 1000
