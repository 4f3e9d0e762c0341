"""Fixtures of the Shopify adapter's tests: a scripted Shopify, a shop, tokens and a fetch."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.kit.contract import FetchReport, RawPage
from connector_pipeline.platforms.shopify.adapter import ShopifyAdapter
from connector_pipeline_tests.platforms.shopify.scripted import ScriptedShopify, Tokens


@pytest.fixture
async def shopify() -> AsyncIterator[ScriptedShopify]:
    """The server, for one test."""
    scripted = ScriptedShopify()
    server = await asyncio.start_server(scripted.answer, "127.0.0.1", 0)
    scripted.port = server.sockets[0].getsockname()[1]
    yield scripted
    server.close()
    await server.wait_closed()


@pytest.fixture
def shop() -> Shop:
    """A shop of no real merchant."""
    return Shop(
        merchant_id="m-1",
        platform_name="shopify",
        platform_shop_id="s-1",
        domain="acme.myshopify.com",
    )


@pytest.fixture
def tokens() -> Tokens:
    """Two tokens: the first, and a fresh one."""
    return Tokens([{"access_token": "shpat_first"}, {"access_token": "shpat_second"}])


@pytest.fixture
def report() -> FetchReport:
    return FetchReport()


@pytest.fixture
def read(
    shopify: ScriptedShopify, shop: Shop, tokens: Tokens, report: FetchReport
) -> Callable[..., Any]:
    """Fetch the scripted shop to its end or its error, and return its pages."""

    async def read_all(**settings: Any) -> list[RawPage]:
        defaults = {"allow_private_hosts": True, "retry_delay": 0.001, "max_retries": 2}
        api = ShopifyAdapter(base_url=shopify.url, **{**defaults, **settings})
        fetch = api.fetch(shop, tokens, since=None, report=report)
        return [page async for page in fetch]

    return read_all
