"""Reads WooCommerce's webhooks (docs/facts/woocommerce.md, Webhooks)."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from connector_pipeline.model.hint import Hint
from connector_pipeline.platforms.kit.hinted import DELETED
from connector_pipeline.platforms.kit.json_values import is_object
from connector_pipeline.platforms.kit.webhook_signature import is_signature_of
from connector_pipeline.platforms.kit.webhook_values import payload, positive_id, time_in, word
from connector_pipeline.platforms.kit.webhooks import Delivery, WebhookReader

_PRODUCTS: Final = frozenset(
    {"product.created", "product.updated", "product.deleted", "product.restored"}
)
_DELETED: Final = "product.deleted"
_FORM: Final = "application/x-www-form-urlencoded"
_PING: Final = re.compile(rb"webhook_id=[0-9]{1,20}")


class WooCommerceWebhooks(WebhookReader):
    """The reader of WooCommerce's webhooks, each of which has a secret of its own."""

    content_types = ("application/json", _FORM)
    shops_have_secrets = True

    def claimed_domain(self, headers: Mapping[str, str]) -> str | None:
        """The host of the shop's home URL in the header X-WC-Webhook-Source."""
        try:
            host = urlsplit(headers.get("x-wc-webhook-source", "")).hostname
        except ValueError:
            return None
        return host or None

    def is_signed(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str]) -> bool:
        """Whether the header X-WC-Webhook-Signature is of one of the secrets."""
        return is_signature_of(headers.get("x-wc-webhook-signature", ""), body, secrets)

    def read(self, domain: str, headers: Mapping[str, str], body: bytes) -> Delivery:
        """Read by the header X-WC-Webhook-Topic. A topic that is not ours leads to nothing.

        The delivery's id is a hash of the webhook's id and the second, so it does not tell a repeat
        from another change in the same second.
        """
        topic = word(headers.get("x-wc-webhook-topic"), of="topic in X-WC-Webhook-Topic").lower()
        if topic not in _PRODUCTS:
            return Delivery(topic)
        values = payload(body, topic=topic)
        # An old webhook may still send the form of the legacy API.
        values = inner if is_object(inner := values.get("product")) else values
        # A variation comes with the product that it is of; a deletion with nothing but the id.
        parent = positive_id(values.get("parent_id")) if values.get("type") == "variation" else None
        token = parent or positive_id(values.get("id"))
        if token is None:
            return _of_no_product(topic, values)
        if topic == _DELETED:
            return Delivery(topic, hints=[Hint(topic, f"{DELETED}/{token}")])
        changed_at = time_in(values.get("date_modified_gmt"), without_zone_is_utc=True)
        return Delivery(topic, hints=[Hint(topic, token, changed_at)])

    def is_unsigned_ping(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Whether this is the form `webhook_id=N`, which a new webhook sends."""
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        return media_type == _FORM and _PING.fullmatch(body) is not None


def _of_no_product(topic: str, values: Mapping[str, Any]) -> Delivery:
    """The delivery of a body without an id: the shop's own error, or a form of some plugin's.

    The shop makes the body when it sends it, as the user of the webhook. For a product that is gone
    by then, or that the user may not read, it sends, and signs, an error. A shop may send that for
    every change, so it leads to no sync: looks at the change feed and sweeps find what changed.
    """
    if "code" in values or "errors" in values:
        return Delivery(
            topic,
            unread="the shop sends an error in place of the product: it is gone, or the user of "
            "the webhook may not read products",
        )
    return Delivery(topic, hints=[Hint(topic)])
