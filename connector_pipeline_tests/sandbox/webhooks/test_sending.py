"""Edits lead to deliveries as the platforms make them: signed, retried, lost, doubled, held."""

import base64
import hmac
import json
from collections.abc import Generator
from typing import Any

import pytest

from connector_pipeline.sandbox.shops.edits import now
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.webhooks.sender import SHOPIFY_SECRET
from connector_pipeline_tests.sandbox.conftest import SHOPIFY, WOO, SandboxClient
from connector_pipeline_tests.sandbox.webhooks.conftest import PATIENCE, Received, Receiver


@pytest.fixture
def shopify(client: SandboxClient, receiver: Receiver) -> SandboxShop:
    """A shop that sends product and stock topics to the receiver."""
    client.control("PUT", "webhooks", {"allow_loopback": True})
    shop = client.server.store.shop("shopify", SHOPIFY)
    for topic in ("PRODUCTS_UPDATE", "PRODUCTS_DELETE", "INVENTORY_LEVELS_UPDATE"):
        shop.subscriptions.create(topic, {"uri": f"{receiver.url}/shopify"})
    return shop


@pytest.fixture
def woo(client: SandboxClient, receiver: Receiver) -> SandboxShop:
    """A shop that sends product topics to the receiver, signed with a secret of its own."""
    shop = client.server.store.shop("woocommerce", WOO)
    for topic in ("product.updated", "product.deleted"):
        shop.webhooks.create(
            name=topic, topic=topic, delivery_url=f"{receiver.url}/woo", secret="woo-secret"
        )
    return shop


def signature(secret: str, body: bytes) -> str:
    return base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()


@pytest.fixture(autouse=True)
def all_counted(client: SandboxClient, receiver: Receiver) -> Generator[None]:
    """End a test when its deliveries are counted, too, and not among those of the next test."""
    yield
    receiver.status = 200
    client.server.sender.outbox.idle(PATIENCE)


def idle(client: SandboxClient) -> dict[str, int]:
    """What became of the messages, once none waits any more."""
    assert client.server.sender.outbox.idle(PATIENCE)
    return client.control("GET", "webhooks").json()["counts"]


def test_shopify_signs_the_product_as_it_was_edited(
    client: SandboxClient, shopify: SandboxShop, receiver: Receiver
) -> None:
    """The stock of a variant is told besides; both come from one event each."""
    variant = shopify.variant_ids(shopify.product_ids()[0])[0]
    path = f"shops/shopify/{SHOPIFY}/variants/{variant}"
    client.control("PATCH", path, {"price": "12.34", "inventory_quantity": 5})
    by_topic = {each.headers["x-shopify-topic"]: each for each in receive(receiver, 2)}
    assert by_topic.keys() == {"products/update", "inventory_levels/update"}
    for delivery in by_topic.values():
        assert delivery.headers["x-shopify-hmac-sha256"] == signature(SHOPIFY_SECRET, delivery.body)
        assert delivery.headers["x-shopify-shop-domain"] == SHOPIFY
        assert {
            "x-shopify-api-version",
            "x-shopify-webhook-id",
            "x-shopify-triggered-at",
            "x-shopify-event-id",
        } <= delivery.headers.keys()
    product = json.loads(by_topic["products/update"].body)
    assert product["id"] == shopify.product_ids()[0]
    assert next(each["price"] for each in product["variants"] if each["id"] == variant) == "12.34"
    assert product["updated_at"].endswith("+01:00")
    level = json.loads(by_topic["inventory_levels/update"].body)
    assert (level["inventory_item_id"], level["available"]) == (variant, 5)


def test_a_deletion_has_the_id_alone(
    client: SandboxClient, shopify: SandboxShop, receiver: Receiver
) -> None:
    """An edit straight in the database, which moves no date, is not told at all."""
    gone, other = shopify.product_ids()[:2]
    client.control("PATCH", f"shops/shopify/{SHOPIFY}/products/{other}", {"updated_at": None})
    client.control("DELETE", f"shops/shopify/{SHOPIFY}/products/{gone}")
    [delivery] = receive(receiver, 1)
    assert delivery.headers["x-shopify-topic"] == "products/delete"
    assert json.loads(delivery.body) == {"id": gone}
    assert idle(client)["accepted"] == 1


def test_shopify_repeats_a_delivery_and_deletes_the_subscription_in_the_end(
    client: SandboxClient, shopify: SandboxShop, receiver: Receiver
) -> None:
    """Nine attempts of one delivery have the same id and body."""
    client.control("PUT", "webhooks", {"retry_factor": 0.000001})
    receiver.status = 503
    shopify.remove_product(shopify.product_ids()[0])
    attempts = receive(receiver, 9)
    assert len({each.headers["x-shopify-webhook-id"] for each in attempts}) == 1
    assert len({each.body for each in attempts}) == 1
    assert idle(client)["failed"] == 9
    assert "PRODUCTS_DELETE" not in {each.topic for each in shopify.subscriptions.all()}
    assert receiver.received.empty()


def test_woocommerce_pings_unsigned_and_signs_with_the_webhooks_own_secret(
    client: SandboxClient, woo: SandboxShop, receiver: Receiver
) -> None:
    """The trash is a deletion. A product deleted for good, without the trash, is not told."""
    issued = client.credentials("woocommerce", WOO)
    woo.credentials.may_write = True
    client.http.post(
        f"/woocommerce/{WOO}/wp-json/wc/v3/webhooks",
        json={"topic": "product.restored", "delivery_url": receiver.url},
        auth=(issued["consumer_key"], issued["consumer_secret"]),
    ).raise_for_status()
    [ping] = receive(receiver, 1)
    assert ping.body == b"webhook_id=3"
    assert "x-wc-webhook-signature" not in ping.headers
    edited, trashed, gone = woo.product_ids()[:3]
    base = f"shops/woocommerce/{WOO}/products"
    client.control("PATCH", f"{base}/{edited}", {"name": "New"})
    client.control("DELETE", f"{base}/{trashed}?trash=true")
    client.control("DELETE", f"{base}/{gone}")
    by_topic = {each.headers["x-wc-webhook-topic"]: each for each in receive(receiver, 2)}
    updated, deleted = by_topic["product.updated"], by_topic["product.deleted"]
    for delivery in (updated, deleted):
        assert delivery.headers["x-wc-webhook-signature"] == signature("woo-secret", delivery.body)
        assert delivery.headers["x-wc-webhook-source"] == f"https://{WOO}/"
        assert delivery.headers["x-wc-webhook-resource"] == "product"
    assert json.loads(updated.body)["name"] == "New"
    assert json.loads(deleted.body) == {"id": trashed}
    assert idle(client)["accepted"] == 3


def test_woocommerce_disables_a_webhook_without_a_word(
    client: SandboxClient, woo: SandboxShop, receiver: Receiver
) -> None:
    """Nothing is repeated. The seventh failure in a row disables it, 302 is none."""
    for status in (500, 302, *(500,) * 7):
        receiver.status = status
        woo.edit_product(woo.product_ids()[0], {"name": str(status)}, at=now())
        receive(receiver, 1)
        idle(client)
    listed = client.control("GET", f"shops/woocommerce/{WOO}/webhooks").json()
    assert [each["status"] for each in listed] == ["disabled", "active"]
    woo.edit_product(woo.product_ids()[0], {"name": "again"}, at=now())
    assert idle(client)["failed"] == 8


def test_deliveries_are_lost_doubled_and_held_in_a_share(
    client: SandboxClient, shopify: SandboxShop, receiver: Receiver
) -> None:
    """What was held leaves in a burst; a doubled one has the id of the other."""
    client.control("PUT", "webhooks", {"lost": 0.3, "doubled": 0.3, "reorder": 0.1, "hold": True})
    for number in shopify.product_ids()[:40]:
        shopify.edit_product(number, {"title": "x"}, at=now())
    waiting = client.control("GET", "webhooks").json()
    assert receiver.received.empty()
    assert waiting["held"] + waiting["counts"]["lost"] == 40
    client.control("PUT", "webhooks", {"hold": False})
    counts = idle(client)
    ids = [each.headers["x-shopify-webhook-id"] for each in receive(receiver, counts["accepted"])]
    assert 0 < counts["lost"] < 40
    assert 0 < counts["doubled"] < 40
    assert len(ids) == 40 - counts["lost"] + counts["doubled"]
    assert len(set(ids)) == 40 - counts["lost"]


def test_what_an_app_is_configured_for_comes_from_every_shop(
    client: SandboxClient, receiver: Receiver
) -> None:
    """Bulk operations end by themselves then; an uninstallation and privacy topics are told."""
    client.control("PUT", "webhooks/app", {"shopify_url": f"{receiver.url}/app"})
    shop = client.server.store.shop("shopify", SHOPIFY)
    try:
        started: dict[str, Any] = client.graphql(
            'mutation { bulkOperationRunQuery(query: "{ products { edges { node { id } } } }")'
            " { bulkOperation { id } } }"
        ).json()
        [finished] = receive(receiver, 1)
        client.control("PUT", f"shops/shopify/{SHOPIFY}/credentials", {"revoke": True})
        client.control("POST", f"shops/shopify/{SHOPIFY}/webhooks", {"topic": "shop/redact"})
        topics = {each.headers["x-shopify-topic"] for each in receive(receiver, 2)}
    finally:
        client.control("PUT", "webhooks/app", {})
    gid = started["data"]["bulkOperationRunQuery"]["bulkOperation"]["id"]
    body = json.loads(finished.body)
    assert (body["admin_graphql_api_id"], body["status"]) == (gid, "completed")
    assert shop.bulk.find(gid) is not None
    assert topics == {"app/uninstalled", "shop/redact"}


def test_price_edits_go_round_the_shops(client: SandboxClient) -> None:
    """Every edit is one that the shop's expected items show."""
    client.control("POST", "price-edits", {"count": 6, "per_second": 1000})
    while not (found := client.control("GET", "price-edits").json())["done"]:
        assert len(found["made"]) <= 6
    assert [each["platform"] for each in found["made"]] == ["shopify", "woocommerce"] * 3
    for edit in found["made"]:
        path = f"shops/{edit['platform']}/{edit['domain']}/expected"
        rows = {row["variant_id"]: row for row in client.control("GET", path).json()}
        assert float(rows[edit["variant_id"]]["price"]) == float(edit["price"])
    assert client.control("POST", "price-edits", {"per_second": 0}).status_code == 400


def receive(receiver: Receiver, count: int) -> list[Received]:
    return [receiver.next() for _ in range(count)]
