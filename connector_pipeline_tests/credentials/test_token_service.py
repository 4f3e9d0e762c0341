"""Credentials come from the Token Service as the contract says, and appear in no error."""

import asyncio
import traceback
from collections.abc import Generator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr, ValidationError

from connector_pipeline.credentials.token_service import (
    TokenService,
    TokenServiceConnections,
    bearer_token,
)
from connector_pipeline.model.errors import ShopDisconnected, TokenServiceUnavailable
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.kit.contract import Credentials
from connector_pipeline.platforms.kit.credentials import renewal_time, same_secrets
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


def given_until(sandbox: SandboxServer, expires_at: str) -> None:
    """Let the Token Service give a token that expires then; `expires_at` is JSON."""
    body = f'{{"data": {{"access_token": "shpat_secret", "expires_at": {expires_at}}}}}'
    sandbox.faults.set([{"match": {}, "kind": "body", "body": body}])


NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
# The JSON of a time, and when it has the token renewed; None: when the shop refuses it.
SANE_ENDS = [
    ("null", None),
    ('"0001-01-01T00:00:00Z"', None),
    ('"0001-01-01T00:00:00+14:00"', None),
    ('"0001-01-01"', None),
    ('"1970-01-01T00:00:00"', None),
    ("0", None),
    ("-62135596800", None),
    ("-1", None),
    ('"9999-12-31T23:59:59.999999Z"', datetime(9999, 12, 31, 23, 59, 29, 999999, UTC)),
    ('"9999-12-31T23:59:59-14:00"', datetime.fromisoformat("9999-12-31T23:59:29-14:00")),
    ('"2026-11-23T13:00:00"', datetime(2026, 11, 23, 12, 59, 30, tzinfo=UTC)),
    ('"2026-11-23T14:00:00+01:00"', datetime(2026, 11, 23, 12, 59, 30, tzinfo=UTC)),
    ("1795438800", datetime(2026, 11, 23, 12, 59, 30, tzinfo=UTC)),
    ("1795438800.5", datetime(2026, 11, 23, 12, 59, 30, 500000, UTC)),
    ("1795438800000", datetime(2026, 11, 23, 12, 59, 30, tzinfo=UTC)),
    ('"1795438800"', datetime(2026, 11, 23, 12, 59, 30, tzinfo=UTC)),
]


@pytest.mark.parametrize(("written", "renewed"), SANE_ENDS)
async def test_a_time_at_any_end_of_the_calendar_is_read(
    sandbox: SandboxServer, written: str, renewed: datetime | None
) -> None:
    """Services write "never" as the year 1 or 9999, and times in seconds or milliseconds."""
    given_until(sandbox, written)
    async with service(sandbox).open("c-1") as client:
        token = await client.credentials(shop("shopify"), ShopifyCredentials)
    assert renewal_time(token, NOW) == renewed


NO_TIMES = [
    '""',
    '"never"',
    '"NaN"',
    '"Infinity"',
    '"0000-00-00 00:00:00"',
    '"2026-02-30T00:00:00Z"',
    '"2026-11-23T13:00:00+99:99"',
    '"10000-01-01T00:00:00Z"',
    '"' + "x" * 50_000 + '"',
    '"' + "1" * 50_000 + '"',
    "1e400",
    "-1e400",
    "99999999999999999999",
    "true",
    "[]",
    '{"date": "2026-11-23"}',
    '"\\ud800"',
]


@pytest.mark.parametrize("written", NO_TIMES, ids=lambda written: written[:40])
async def test_what_is_no_time_makes_the_service_unavailable_and_is_named(
    sandbox: SandboxServer, written: str
) -> None:
    """The message names the field, and quotes nothing of the answer."""
    given_until(sandbox, written)
    async with service(sandbox).open("c-1") as client:
        with pytest.raises(TokenServiceUnavailable, match="expires_at under `data`") as raised:
            await client.credentials(shop("shopify"), ShopifyCredentials)
    shown = "".join(traceback.format_exception(raised.value))
    assert "shpat_secret" not in shown
    assert "access_token" not in raised.value.message
    assert len(raised.value.message) < 300


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes().map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(JSON)
def test_no_end_breaks_the_renewal(written: Any) -> None:
    """Any JSON is no time, or a time by which the credentials can be renewed."""
    try:
        found = Credentials.model_validate({"expires_at": written})
    except ValidationError:
        return
    renewal_time(found, NOW)
    assert same_secrets(found, Credentials())


@pytest.mark.parametrize("fault", ["reset", "status"])
async def test_the_message_names_the_services_port(sandbox: SandboxServer, fault: str) -> None:
    """Several services of one host differ in nothing else."""
    sandbox.faults.set([{"match": {}, "kind": fault}])
    async with service(sandbox, retry_count=0).open("c-1") as client:
        with pytest.raises(TokenServiceUnavailable, match=rf"http://127\.0\.0\.1:{sandbox.port} "):
            await client.credentials(shop("shopify"), ShopifyCredentials)


async def test_a_missing_url_is_reported_by_its_setting() -> None:
    """The HTTP client does not fail on it."""
    with pytest.raises(TokenServiceUnavailable, match="TOKEN_SERVICE_URL"):
        async with TokenService(url="").open("c-1"):
            pass


async def test_the_syncs_of_a_run_share_the_connections() -> None:
    """A thousand shops need no thousand handshakes; each names its own correlation id."""
    connections, asked, ended = 0, list[str](), asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        with suppress(asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                asked.append(head.partition("x-correlation-id: ")[2].partition("\r\n")[0])
                body = b'{"data": {"access_token": "a-token-of-the-shop"}}'
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                    b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
                )
        writer.close()
        await writer.wait_closed()
        ended.set()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        service = TokenService(url=f"http://127.0.0.1:{port}", retry_count=0)
        async with TokenServiceConnections(service) as shared:
            for sync_id in ("c-1", "c-2", "c-3"):
                await shared.client(sync_id).credentials(shop("shopify"), ShopifyCredentials)
        await ended.wait()
    assert (connections, asked) == (1, ["c-1", "c-2", "c-3"])


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
