"""A truthful reader of the whole sandbox gets the items that expected_items has."""

import socket

import pytest

from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.default_shops import DEFAULT_SHOPS
from connector_pipeline.sandbox.shops.expected import expected_items
from connector_pipeline_tests.sandbox.conftest import SHOPIFY, WOO, SandboxClient
from connector_pipeline_tests.sandbox.readers import expected_rows, shopify_rows, woo_rows


def test_a_truthful_reader_of_shopify_gets_the_expected_items(client: SandboxClient) -> None:
    """Nested pages give every column of every variant."""
    shop = client.server.store.shop("shopify", SHOPIFY)
    shop.bucket.resize(100_000, 1_000)
    assert shopify_rows(client, SHOPIFY) == expected_rows(expected_items(shop))


@pytest.mark.parametrize("endpoint", ["root", "parent"])
def test_a_truthful_reader_of_woocommerce_gets_the_expected_items(
    client: SandboxClient, endpoint: str
) -> None:
    """They lack former variations and orphans, and have the SKUs, images and stock of parents."""
    shop = client.server.store.shop("woocommerce", WOO)
    assert woo_rows(client, WOO, endpoint) == expected_rows(expected_items(shop))


def test_every_default_shop_can_be_read_truthfully() -> None:
    """The reader uses the best variation endpoint of each of the six."""
    with SandboxServer() as server:
        client = SandboxClient(server)
        variants = 0
        for shop in server.store:
            shop.bucket.resize(100_000, 1_000)
            spec = shop.spec
            if spec.platform == "shopify":
                found = shopify_rows(client, spec.domain)
            else:
                best = "root" if spec.root_variations else "parent"
                best = "analytics" if best == "parent" and spec.analytics_variations else best
                found = woo_rows(client, spec.domain, best)
            assert found == expected_rows(expected_items(shop)), shop.key
            variants += len(found)
        client.http.close()
    assert 6_000 <= variants <= 8_000
    assert len(DEFAULT_SHOPS) == 6


def test_the_environment_names_the_port_that_is_served(client: SandboxClient) -> None:
    """The exported settings lead to the running server, on loopback."""
    environment = client.server.environment()
    assert environment == {
        "TOKEN_SERVICE_URL": f"{client.server.url}/token-service",
        "SHOPIFY_BASE_URL": f"{client.server.url}/shopify/{{domain}}",
        "WOOCOMMERCE_BASE_URL": f"{client.server.url}/woocommerce/{{domain}}",
        "ALLOW_PRIVATE_HOSTS": "true",
    }
    assert client.server.url.startswith("http://127.0.0.1:")
    assert client.http.get("/sandbox/shops").status_code == 200


def test_a_taken_port_is_refused_at_once() -> None:
    """The socket is bound before anything starts, so that the caller can show the error."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="in use"):
            SandboxServer((), port=taken.getsockname()[1])
