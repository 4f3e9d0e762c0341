"""Webhook subscriptions are kept, listed and refused as the platforms do."""

from typing import Any

import httpx

from connector_pipeline_tests.sandbox.conftest import SHOPIFY, WOO, SandboxClient

CREATE = """
mutation($topic: WebhookSubscriptionTopic!, $given: WebhookSubscriptionInput!) {
  webhookSubscriptionCreate(topic: $topic, webhookSubscription: $given) {
    webhookSubscription { id topic uri apiVersion { handle } }
    userErrors { field message }
  }
}
"""
LIST = """
query($topics: [WebhookSubscriptionTopic!]) {
  webhookSubscriptions(first: 250, topics: $topics) { nodes { id topic uri format } }
}
"""


def create(client: SandboxClient, topic: str, **given: Any) -> dict[str, Any]:
    answer = client.graphql(CREATE, {"topic": topic, "given": given}).json()
    assert answer["extensions"]["cost"]["requestedQueryCost"] == 10
    return answer["data"]["webhookSubscriptionCreate"]


def test_shopify_keeps_lists_changes_and_deletes_subscriptions(client: SandboxClient) -> None:
    """The list filters by topic. A topic and address are taken once, until they are deleted."""
    uri = "https://hooks.example.com/shopify"
    made = create(client, "PRODUCTS_UPDATE", uri=uri)
    kept = made["webhookSubscription"]
    assert (made["userErrors"], kept["uri"]) == ([], uri)
    assert kept["apiVersion"]["handle"] == "2026-07"
    create(client, "PRODUCTS_DELETE", callbackUrl=uri)
    again = create(client, "PRODUCTS_UPDATE", uri=uri)
    assert again["userErrors"] == [
        {
            "field": ["webhookSubscription", "uri"],
            "message": "Address for this topic has already been taken",
        }
    ]
    listed = client.graphql(LIST, {"topics": ["PRODUCTS_UPDATE"]}).json()["data"]
    assert [each["id"] for each in listed["webhookSubscriptions"]["nodes"]] == [kept["id"]]
    moved = client.graphql(
        "mutation($id: ID!) { webhookSubscriptionUpdate(id: $id, webhookSubscription:"
        ' {uri: "https://new.example.com/"}) { webhookSubscription { uri } } }',
        {"id": kept["id"]},
    ).json()["data"]["webhookSubscriptionUpdate"]
    assert moved["webhookSubscription"]["uri"] == "https://new.example.com/"
    delete = (
        "mutation($id: ID!) { webhookSubscriptionDelete(id: $id)"
        " { deletedWebhookSubscriptionId userErrors { field message } } }"
    )
    for expected in (kept["id"], None):
        gone = client.graphql(delete, {"id": kept["id"]}).json()["data"]
        assert gone["webhookSubscriptionDelete"]["deletedWebhookSubscriptionId"] == expected
    assert client.control("GET", f"shops/shopify/{SHOPIFY}").status_code == 200


def test_shopify_delivers_to_https_addresses_of_others_only(client: SandboxClient) -> None:
    """Plain HTTP, this machine and the shop itself are refused; a control allows loopback."""
    messages = {
        "http://hooks.example.com/": "Address protocol http:// is not supported",
        "https://127.0.0.1/": "Address is invalid",
        "hooks": "Address is invalid",
        f"https://{SHOPIFY}/": f"Address cannot be any of the domains: {SHOPIFY}",
    }
    for uri, message in messages.items():
        refused = create(client, "PRODUCTS_UPDATE", uri=uri)
        assert [each["message"] for each in refused["userErrors"]] == [message], uri
    shop = client.server.store.shop("shopify", SHOPIFY)
    shop.subscriptions.loopback = True
    assert create(client, "PRODUCTS_UPDATE", uri="http://127.0.0.1:9/")["userErrors"] == []


def woo(client: SandboxClient, method: str, path: str = "", body: Any = None) -> httpx.Response:
    issued = client.credentials("woocommerce", WOO)
    return client.http.request(
        method,
        f"/woocommerce/{WOO}/wp-json/wc/v3/webhooks{path}",
        json=body,
        auth=(issued["consumer_key"], issued["consumer_secret"]),
    )


def test_woocommerce_keeps_webhooks_for_a_key_that_may_write(client: SandboxClient) -> None:
    """A reading key lists and cannot create. No answer shows the secret."""
    given = {"topic": "product.updated", "delivery_url": "https://h.example/", "secret": "s3cr3t"}
    refused = woo(client, "POST", body=given)
    assert refused.status_code == 401
    assert refused.json()["code"] == "woocommerce_rest_authentication_error"
    client.control("PUT", f"shops/woocommerce/{WOO}/credentials", {"write": True})
    made = woo(client, "POST", body=given)
    assert (made.status_code, made.json()["status"]) == (201, "active")
    number = made.json()["id"]
    paused = woo(client, "PUT", f"/{number}", {"status": "paused"})
    listed = woo(client, "GET", "?status=paused&per_page=100")
    assert listed.headers["X-WP-Total"] == "1"
    for answer in (made, paused, listed, woo(client, "GET", f"/{number}")):
        assert "s3cr3t" not in answer.text
    assert woo(client, "DELETE", f"/{number}").status_code == 501
    assert woo(client, "DELETE", f"/{number}?force=true").status_code == 200
    assert woo(client, "GET").json() == []


def test_woocommerce_refuses_webhooks_without_a_known_topic_or_url(client: SandboxClient) -> None:
    """The codes are WooCommerce's own. A writing key creates no product all the same."""
    client.server.store.shop("woocommerce", WOO).credentials.may_write = True
    codes = {
        "rest_missing_callback_param": {"topic": "product.updated"},
        "woocommerce_rest_shop_webhook_invalid_topic": {"topic": "x", "delivery_url": "https://h"},
        "woocommerce_rest_shop_webhook_invalid_delivery_url": {
            "topic": "product.updated",
            "delivery_url": "ftp://h",
        },
    }
    for code, body in codes.items():
        answer = woo(client, "POST", body=body)
        assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert client.http.post(f"/woocommerce/{WOO}/wp-json/wc/v3/products").status_code == 401
