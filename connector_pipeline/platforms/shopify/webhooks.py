"""Reads Shopify's webhooks (docs/facts/shopify.md, Webhooks).

Shopify signs the body and not the headers. So a topic that erases a shop has to name it in its body
too: whoever gets hold of one signed delivery must not turn it into another one.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.model.hint import FINISHED_WORK, Hint
from connector_pipeline.platforms.kit.hinted import DELETED
from connector_pipeline.platforms.kit.webhook_signature import is_signature_of
from connector_pipeline.platforms.kit.webhook_values import (
    payload,
    positive_id,
    time_in,
    word,
    word_or_none,
)
from connector_pipeline.platforms.kit.webhooks import Delivery, WebhookReader
from connector_pipeline.platforms.shopify.gid import numeric_id
from connector_pipeline.platforms.shopify.reading.by_id import INVENTORY_ITEM
from connector_pipeline.settings import Settings

_PRODUCTS: Final = frozenset({"products/create", "products/update"})
_DELETED: Final = "products/delete"
_ANYTHING: Final = frozenset({"app/uninstalled", "shop/update"})
"""After these anything may have changed: the shop is asked."""
_OF_CUSTOMERS: Final = frozenset({"customers/data_request", "customers/redact"})
_ERASES: Final = "shop/redact"
_GID: Final = "admin_graphql_api_id"
_LEVEL_GID: Final = re.compile(
    r"gid://shopify/InventoryLevel/[0-9]{1,20}\?inventory_item_id=([1-9][0-9]{0,18})"
)
_BULK_GID: Final = re.compile(r"gid://shopify/BulkOperation/[0-9]{1,20}")


class ShopifyWebhooks(WebhookReader):
    """The reader of Shopify's webhooks, which the app's secret signs for all shops."""

    shops_have_secrets = False
    app_secrets_setting = "SHOPIFY_WEBHOOK_SECRETS"

    def app_secrets(self, settings: Settings) -> Sequence[str]:
        """The secrets of SHOPIFY_WEBHOOK_SECRETS."""
        held = settings.shopify_webhook_secrets
        return [] if held is None else held.get_secret_value().split()

    def claimed_domain(self, headers: Mapping[str, str]) -> str | None:
        """The header X-Shopify-Shop-Domain."""
        domain = headers.get("x-shopify-shop-domain")
        return domain.lower() if domain else None

    def is_signed(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str]) -> bool:
        """Whether the header X-Shopify-Hmac-SHA256 is of one of the secrets."""
        return is_signature_of(headers.get("x-shopify-hmac-sha256", ""), body, secrets)

    def read(self, domain: str, headers: Mapping[str, str], body: bytes) -> Delivery:
        """Read by the header X-Shopify-Topic. A topic that is not ours leads to nothing."""
        topic = word(headers.get("x-shopify-topic"), of="topic in X-Shopify-Topic").lower()
        delivery_id = word_or_none(headers.get("x-shopify-webhook-id"))
        if topic in _OF_CUSTOMERS:
            return Delivery(topic, delivery_id, acknowledges=True)
        if topic == _ERASES:
            _refuse_other_shop(payload(body, topic=topic), "shop_domain", domain, topic)
            return Delivery(topic, delivery_id, erases=True)
        triggered_at = time_in(headers.get("x-shopify-triggered-at"))
        return Delivery(topic, delivery_id, hints=_hints(topic, body, triggered_at))


def _hints(topic: str, body: bytes, triggered_at: datetime | None) -> Sequence[Hint]:
    if topic in _ANYTHING:
        return [Hint(topic, changed_at=triggered_at)]
    if topic in _PRODUCTS:
        values = payload(body, topic=topic)
        # Not the time of the delivery, which no answer about the product can have reached.
        return [Hint(topic, _product(values), time_in(values.get("updated_at")))]
    if topic == _DELETED:
        product = _product(payload(body, topic=topic))
        return [Hint(topic, product and f"{DELETED}/{product}", triggered_at)]
    if topic == "inventory_levels/update":
        values = payload(body, topic=topic)
        item = positive_id(values.get("inventory_item_id")) or _item_of(values.get(_GID))
        changed_at = time_in(values.get("updated_at")) or triggered_at
        return [Hint(topic, item and f"{INVENTORY_ITEM}/{item}", changed_at)]
    if topic == "bulk_operations/finish":
        gid = payload(body, topic=topic).get(_GID)
        if not isinstance(gid, str) or not _BULK_GID.fullmatch(gid):
            raise InvalidResponse(f"a delivery of {topic} has no id of a bulk operation.")
        return [Hint(topic, f"{FINISHED_WORK}{gid}", triggered_at)]
    return []


def _product(values: Mapping[str, Any]) -> str | None:
    """The product's number; None where the subscription leaves both ids out of its deliveries."""
    return positive_id(values.get("id")) or positive_id(numeric_id(values.get(_GID), "Product"))


def _item_of(gid: object) -> str | None:
    found = _LEVEL_GID.fullmatch(gid) if isinstance(gid, str) else None
    return None if found is None else found[1]


def _refuse_other_shop(values: Mapping[str, Any], field: str, domain: str, topic: str) -> None:
    named = values.get(field)
    if not isinstance(named, str) or named.lower() != domain:
        raise InvalidResponse(f"the body of a delivery of {topic} names another shop, or none.")
