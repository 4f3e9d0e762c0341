"""Turns what happens in shops into the messages that the platforms send of it, signed."""

import base64
import hmac
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from connector_pipeline.sandbox.answers import json_bytes
from connector_pipeline.sandbox.shopify import webhook_payloads as shopify
from connector_pipeline.sandbox.shopify.versions import WEBHOOK_VERSION
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.webhooks.happening import Happening, Kind
from connector_pipeline.sandbox.webhooks.outbox import Message, Outbox
from connector_pipeline.sandbox.webhooks.shopify_subscriptions import topic_in_header
from connector_pipeline.sandbox.webhooks.woo_webhooks import WooWebhook
from connector_pipeline.sandbox.woocommerce import webhook_payloads as woocommerce

SHOPIFY_SECRET: Final = f"shpss_{sha256(b'webhooks of the app').hexdigest()[:32]}"
"""The secret of the app in every sandbox's Shopify."""

APP_TOPICS: Final = (
    "PRODUCTS_CREATE",
    "PRODUCTS_UPDATE",
    "PRODUCTS_DELETE",
    "INVENTORY_LEVELS_UPDATE",
    "BULK_OPERATIONS_FINISH",
    "APP_UNINSTALLED",
    "SHOP_UPDATE",
)
WOO_TOPICS: Final = ("product.created", "product.updated", "product.deleted", "product.restored")
PRIVACY_TOPICS: Final = ("shop/redact", "customers/redact", "customers/data_request")
BY_HAND: Final = (*PRIVACY_TOPICS, "app/uninstalled", "shop/update")

_DELETED_AFTER: Final = 8
"""Failures in a row until Shopify deletes a subscription (docs/facts/shopify.md, Webhooks)."""

_RETRIES: Final = tuple(4 * 3600 * 2**number / (2**_DELETED_AFTER - 1) for number in range(8))
"""Eight retries within four hours, each after twice the time (its changelog of 2024-09-10)."""

_SHOPIFY_SECONDS: Final = 5.0
_WOO_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class AppWebhooks:
    """The webhooks that every shop sends unasked, as an app's configuration has them.

    `shopify_url` gets the topics of all Shopify shops, and their privacy topics. `woo_url`, a
    template with {domain}, is in the webhooks that every new WooCommerce shop has on record; their
    secret is what `woo_secret` makes of the domain.
    """

    shopify_url: str | None = None
    topics: tuple[str, ...] = APP_TOPICS
    woo_url: str | None = None
    woo_secret: Callable[[str], str] = field(default=lambda _: "")


class WebhookSender:
    """Hears of everything that happens in the shops of a sandbox, and sends webhooks of it."""

    def __init__(self, outbox: Outbox, app: AppWebhooks | None = None) -> None:
        self.outbox = outbox
        self.app = app or AppWebhooks()
        self.loopback = app is not None
        """Whether subscriptions to receivers on this machine are accepted (new shops)."""
        self.shopify_secret = SHOPIFY_SECRET

    def use(self, app: AppWebhooks, shops: Iterable[SandboxShop]) -> None:
        """Let these shops, and new ones, send this in place of what they sent unasked before."""
        for shop in shops:
            for known in shop.webhooks.all():
                if known.delivery_url == self._woo_url(shop):
                    shop.webhooks.delete(known.id)
        self.app = app
        for shop in shops:
            self.joined(shop)

    def _woo_url(self, shop: SandboxShop) -> str | None:
        return self.app.woo_url and self.app.woo_url.format(domain=shop.spec.domain)

    def joined(self, shop: SandboxShop) -> None:
        shop.subscriptions.loopback = self.loopback
        url = self._woo_url(shop)
        if url is None or shop.spec.platform != "woocommerce":
            return
        for topic in WOO_TOPICS:
            shop.webhooks.create(
                name=topic,
                topic=topic,
                delivery_url=url,
                secret=self.app.woo_secret(shop.spec.domain),
            )

    def awaits_bulk(self, shop: SandboxShop) -> bool:
        topic = "BULK_OPERATIONS_FINISH"
        if self.app.shopify_url is not None and topic in self.app.topics:
            return True
        return any(each.topic == topic for each in shop.subscriptions.all())

    def happened(self, shop: SandboxShop, happening: Happening) -> None:
        if shop.spec.platform == "woocommerce":
            self._woocommerce(shop, happening)
            return
        if self.app.shopify_url is None and not shop.subscriptions.all():
            return
        for topic, payload in shopify.messages(shop, happening):
            self._shopify(shop, topic_in_header(topic), payload)
        if happening.kind is Kind.UNINSTALLED:
            shop.subscriptions.clear()

    def send_by_hand(self, shop: SandboxShop, topic: str) -> None:
        """Send a topic that no edit leads to. Raises ValueError for another one."""
        if topic not in BY_HAND or shop.spec.platform != "shopify":
            raise ValueError(f"{topic!r}: a Shopify shop sends {', '.join(BY_HAND)} by hand")
        private = topic in PRIVACY_TOPICS
        payload = shopify.privacy_payload(shop, topic) if private else shopify.shop_payload(shop)
        self._shopify(shop, topic, payload)

    def _shopify(self, shop: SandboxShop, topic: str, payload: Mapping[str, Any]) -> None:
        # Retries come with the payload of the occasion, to the address of that time.
        event_id, triggered = str(uuid.uuid4()), _nanoseconds()
        of_app = {topic_in_header(each) for each in self.app.topics} | set(PRIVACY_TOPICS)
        targets: list[tuple[str, int | None, tuple[str, ...]]] = []
        if self.app.shopify_url is not None and topic in of_app:
            targets.append((self.app.shopify_url, None, ()))
        targets += [
            (each.uri, each.id, each.include_fields)
            for each in shop.subscriptions.all()
            if each.topic_in_header == topic
        ]
        for url, subscription, names in targets:
            shown = {name: payload[name] for name in names if name in payload} if names else payload
            body = json_bytes(shown)
            webhook_id = str(uuid.uuid4())
            headers = {
                "Content-Type": "application/json",
                "User-Agent": "Shopify-Captain-Hook",
                "X-Shopify-Topic": topic,
                "X-Shopify-Hmac-SHA256": _signature(self.shopify_secret, body),
                "X-Shopify-Shop-Domain": shop.spec.domain,
                "X-Shopify-API-Version": WEBHOOK_VERSION,
                "X-Shopify-Webhook-Id": webhook_id,
                "X-Shopify-Triggered-At": triggered,
                "X-Shopify-Event-Id": event_id,
            }
            self.outbox.put(
                Message(
                    shop=shop.key,
                    topic=topic,
                    url=url,
                    make=lambda headers=headers, body=body: (headers, body),
                    accepts=lambda status: 200 <= status < 300,
                    note=_shopify_note(shop, subscription),
                    seconds=_SHOPIFY_SECONDS,
                    retries=_RETRIES,
                    message_id=webhook_id,
                )
            )

    def _woocommerce(self, shop: SandboxShop, happening: Happening) -> None:
        if happening.kind is Kind.WEBHOOK_CREATED:
            if (webhook := shop.webhooks.find(happening.id)) is not None:
                self._ping(shop, webhook)
            return
        topic = woocommerce.topic_of(happening)
        for webhook in shop.webhooks.all():
            if webhook.status == "active" and webhook.topic.lower() == topic:
                self._put_woocommerce(shop, webhook.id, webhook, happening.id)

    def _put_woocommerce(
        self, shop: SandboxShop, number: int, webhook: WooWebhook, object_id: int
    ) -> None:
        home = f"https://{shop.spec.domain}{shop.spec.path}"

        def make() -> tuple[Mapping[str, str], bytes]:
            body = json_bytes(woocommerce.payload(shop, webhook.topic.lower(), object_id, home))
            return {
                "Content-Type": "application/json",
                "User-Agent": "WooCommerce/10.5.0 Hookshot (WordPress/6.9)",
                "X-WC-Webhook-Source": f"{home}/",
                "X-WC-Webhook-Topic": webhook.topic,
                "X-WC-Webhook-Resource": webhook.resource,
                "X-WC-Webhook-Event": webhook.event,
                "X-WC-Webhook-Signature": _signature(webhook.secret, body),
                "X-WC-Webhook-ID": str(number),
                "X-WC-Webhook-Delivery-ID": _woo_delivery_id(number),
            }, body

        self.outbox.put(
            Message(
                shop=shop.key,
                topic=webhook.topic,
                url=webhook.delivery_url,
                make=make,
                accepts=lambda status: 200 <= status < 303,
                note=lambda accepted, _: shop.webhooks.note(number, accepted=accepted),
                seconds=_WOO_SECONDS,
                message_id=str(number),
            )
        )

    def _ping(self, shop: SandboxShop, webhook: WooWebhook) -> None:
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "User-Agent": "WooCommerce/10.5.0 Hookshot (WordPress/6.9)",
        }
        body = f"webhook_id={webhook.id}".encode()
        self.outbox.put(
            Message(
                shop=shop.key,
                topic="ping",
                url=webhook.delivery_url,
                make=lambda: (headers, body),
                accepts=lambda status: status == 200,
                # A ping that fails is no failure of the webhook.
                note=lambda _, __: None,
                seconds=_SHOPIFY_SECONDS,
            )
        )


def _shopify_note(shop: SandboxShop, subscription: int | None) -> Callable[[bool, bool], None]:
    def note(accepted: bool, last: bool) -> None:
        # A subscription of the app's configuration is never deleted.
        if subscription is None:
            return
        failures = shop.subscriptions.note(subscription, accepted=accepted)
        if last and failures >= _DELETED_AFTER:
            shop.subscriptions.lose(subscription)

    return note


def _signature(secret: str, body: bytes) -> str:
    return base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()


def _woo_delivery_id(webhook_id: int) -> str:
    # A hash of the webhook and the second: deliveries of one second share it.
    return hmac.digest(b"salt", f"{webhook_id}{int(time.time())}".encode(), "md5").hex()


def _nanoseconds() -> str:
    seconds, rest = divmod(time.time_ns(), 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:09d}Z"
