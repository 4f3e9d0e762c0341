"""Each adapter lists, makes, restores and deletes a shop's webhooks; kept against the sandbox."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.kit.contract import Adapter
from connector_pipeline.platforms.kit.webhooks import delivery_url
from connector_pipeline.platforms.shopify.adapter import ShopifyAdapter
from connector_pipeline.platforms.shopify.subscriptions import TOPICS as SHOPIFYS
from connector_pipeline.platforms.woocommerce.adapter import WooCommerceAdapter
from connector_pipeline.platforms.woocommerce.subscriptions import TOPICS as WOOS
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.default_shops import DEFAULT_SHOPS
from connector_pipeline.sandbox.shops.shop import SandboxShop

SPECS = {spec.platform: spec for spec in DEFAULT_SHOPS}
TOPICS = {"shopify": list(SHOPIFYS), "woocommerce": list(WOOS)}
SECRET = "a-secret-of-forty-three-characters-or-so"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer() as server:
        yield server


@pytest.fixture(autouse=True)
def new_shops(sandbox: SandboxServer) -> None:
    for spec in SPECS.values():
        sandbox.store.put(spec)


class Credentials:
    """The sandbox's Token Service, asked over HTTP."""

    def __init__(self, sandbox: SandboxServer):
        self._url = sandbox.token_service_url

    async def credentials(self, shop: Shop, model: type[Any]) -> Any:
        async with httpx.AsyncClient(trust_env=False, verify=False) as client:
            answer = await client.get(
                f"{self._url}/api/v1/tokens/{shop.platform_name}/{shop.domain}",
                headers={"X-Correlation-ID": "test"},
            )
        return model.model_validate(answer.raise_for_status().json()["data"])


def shop_of(platform: str) -> Shop:
    return Shop(
        merchant_id="m",
        platform_name=platform,
        platform_shop_id="1",
        domain=SPECS[platform].domain,
    )


def url_of(platform: str) -> str:
    return delivery_url("https://hooks.example.com/in", shop_of(platform))


def adapter_of(sandbox: SandboxServer, platform: str) -> Adapter:
    if platform == "shopify":
        return ShopifyAdapter(
            base_url=sandbox.shopify_base_url, allow_private_hosts=True, retry_delay=0.01
        )
    return WooCommerceAdapter(
        base_url=sandbox.woocommerce_base_url, allow_private_hosts=True, retry_delay=0.01
    )


def in_sandbox(sandbox: SandboxServer, platform: str) -> SandboxShop:
    return sandbox.store.shop(platform, SPECS[platform].domain)


@pytest.mark.parametrize("platform", TOPICS)
async def test_webhooks_are_made_found_and_deleted(sandbox: SandboxServer, platform: str) -> None:
    """A second time makes none; another receiver's stay as they are."""
    adapter, source, shop = adapter_of(sandbox, platform), Credentials(sandbox), shop_of(platform)
    theirs = in_sandbox(sandbox, platform)
    theirs.credentials.may_write = True
    if platform == "shopify":
        theirs.subscriptions.create("PRODUCTS_UPDATE", {"uri": "https://other.example.com/"})
    none = await adapter.subscriptions(shop, source, url=url_of(platform))
    assert none is not None
    assert (list(none.subscriptions), list(none.missing)) == ([], TOPICS[platform])
    for changed in (len(TOPICS[platform]), 0):
        made = await adapter.subscribe(shop, source, url=url_of(platform), secret=SECRET)
        assert made is not None
        assert ([each.topic for each in made.subscriptions], list(made.missing)) == (
            TOPICS[platform],
            [],
        )
        assert (made.refused, made.changed) == (None, changed)
    seen = await adapter.subscriptions(shop, source, url=url_of(platform))
    assert seen == replace(made, changed=0)
    if platform == "woocommerce":
        assert {each.secret for each in theirs.webhooks.all()} == {SECRET}
    gone = await adapter.unsubscribe(shop, source, url=url_of(platform))
    assert gone is not None
    assert (list(gone.subscriptions), gone.changed) == ([], len(TOPICS[platform]))
    if platform == "shopify":
        assert [each.uri for each in theirs.subscriptions.all()] == ["https://other.example.com/"]


async def test_a_key_that_may_only_read_is_told_apart_from_a_bad_one(
    sandbox: SandboxServer,
) -> None:
    """The shop stays connected; the operator is told what to ask the merchant for."""
    adapter, source = adapter_of(sandbox, "woocommerce"), Credentials(sandbox)
    shop, url = shop_of("woocommerce"), url_of("woocommerce")
    state = await adapter.subscribe(shop, source, url=url, secret=SECRET)
    assert state is not None
    assert list(state.missing) == TOPICS["woocommerce"]
    assert state.refused is not None
    assert "Read/Write" in state.refused
    sandbox.store.put(replace(SPECS["woocommerce"], settings_readable=False))
    state = await adapter.subscriptions(shop, source, url=url)
    assert state is not None
    assert state.refused is not None
    assert "shop manager" in state.refused


async def test_a_webhook_that_the_shop_disabled_is_restored(sandbox: SandboxServer) -> None:
    """It counts as missing until then; one that somebody paused is said to be."""
    adapter, source = adapter_of(sandbox, "woocommerce"), Credentials(sandbox)
    shop, url = shop_of("woocommerce"), url_of("woocommerce")
    kept = in_sandbox(sandbox, "woocommerce")
    kept.credentials.may_write = True
    await adapter.subscribe(shop, source, url=url, secret="an old one")
    first, second, *_ = kept.webhooks.all()
    kept.webhooks.update(first.id, status="disabled")
    kept.webhooks.update(second.id, status="paused")
    state = await adapter.subscriptions(shop, source, url=url)
    assert state is not None
    assert list(state.missing) == [first.topic, second.topic]
    assert list(state.paused) == [second.topic]
    restored = await adapter.subscribe(shop, source, url=url, secret=SECRET)
    assert restored is not None
    assert (list(restored.missing), restored.changed) == ([], 2)
    assert {each.secret for each in kept.webhooks.all()} == {SECRET}


async def test_shopifys_reason_is_passed_on(sandbox: SandboxServer) -> None:
    """Shopify delivers to https alone, and says so of each topic."""
    adapter, source = adapter_of(sandbox, "shopify"), Credentials(sandbox)
    state = await adapter.subscribe(
        shop_of("shopify"), source, url="http://hooks.example.com/", secret=SECRET
    )
    assert state is not None
    assert list(state.missing) == TOPICS["shopify"]
    assert state.refused is not None
    assert "products/update: Address protocol http:// is not supported" in state.refused
