"""A sandbox that is as new for every test, and a client with its credentials."""

from collections.abc import Generator
from typing import Any

import httpx
import pytest

from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.spec import ShopSpec

SHOPIFY = "paper.myshopify.com"
WOO = "clay.example"

SMALL_SHOPS = (
    ShopSpec(
        platform="shopify",
        domain=SHOPIFY,
        merchant_id="merchant-1",
        platform_shop_id="1",
        currency="SEK",
        products=60,
        variants=(1, 4),
        big_products=(300,),
    ),
    ShopSpec(
        platform="woocommerce",
        domain=WOO,
        merchant_id="merchant-1",
        platform_shop_id="2",
        currency="SEK",
        products=60,
        variants=(0, 4),
        big_products=(130,),
        orphan_variations=3,
        former_variables=1,
    ),
)


class SandboxClient:
    """Sends requests to one sandbox, with the credentials that its Token Service gives."""

    def __init__(self, server: SandboxServer):
        self.server = server
        # Reading the machine's certificates takes longer than most of the tests.
        self.http = httpx.Client(base_url=server.url, timeout=60, verify=False)

    def credentials(self, platform: str, domain: str) -> dict[str, str]:
        answer = self.http.get(
            f"/token-service/api/v1/tokens/{platform}/{domain}",
            headers={"X-Correlation-ID": "test"},
        )
        answer.raise_for_status()
        return answer.json()["data"]

    def graphql(
        self,
        query: str,
        variables: dict[str, Any] | None = None,
        *,
        domain: str = SHOPIFY,
        version: str = "2026-07",
    ) -> httpx.Response:
        token = self.credentials("shopify", domain)["access_token"]
        return self.http.post(
            f"/shopify/{domain}/admin/api/{version}/graphql.json",
            json={"query": query, "variables": variables or {}},
            headers={"X-Shopify-Access-Token": token},
        )

    def woo(self, path: str, *, domain: str = WOO, **parameters: Any) -> httpx.Response:
        issued = self.credentials("woocommerce", domain)
        return self.http.get(
            f"/woocommerce/{domain}/wp-json/{path}",
            params=parameters,
            auth=(issued["consumer_key"], issued["consumer_secret"]),
        )

    def control(self, method: str, path: str, body: Any = None) -> httpx.Response:
        return self.http.request(method, f"/sandbox/{path}", json=body)


@pytest.fixture(scope="session")
def running_server() -> Generator[SandboxServer]:
    """One server for all tests. Each test fills it anew."""
    with SandboxServer(()) as running:
        yield running


@pytest.fixture
def server(running_server: SandboxServer) -> SandboxServer:
    """A sandbox with one small shop of each platform, no faults and an empty log."""
    for shop in running_server.store:
        running_server.store.remove(shop.spec.platform, shop.spec.domain)
    running_server.sender.outbox.clear()
    running_server.sender.loopback = False
    for spec in SMALL_SHOPS:
        running_server.store.put(spec)
    running_server.faults.clear()
    running_server.requests.clear()
    return running_server


@pytest.fixture
def client(server: SandboxServer) -> Generator[SandboxClient]:
    """A client of that sandbox."""
    made = SandboxClient(server)
    yield made
    made.http.close()
