"""The webhooks that one WooCommerce shop has on record.

docs/facts/woocommerce.md, Webhooks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from threading import RLock
from typing import Final

from connector_pipeline.sandbox.shops.edits import now

STATUSES: Final = ("active", "paused", "disabled")

HOOKS: Final[dict[str, tuple[str, ...]]] = {
    "product.created": (
        "woocommerce_process_product_meta",
        "woocommerce_new_product",
        "woocommerce_new_product_variation",
    ),
    "product.updated": (
        "woocommerce_process_product_meta",
        "woocommerce_update_product",
        "woocommerce_update_product_variation",
    ),
    "product.deleted": ("wp_trash_post",),
    "product.restored": ("untrashed_post",),
    "order.created": ("woocommerce_new_order",),
    "order.updated": ("woocommerce_update_order", "woocommerce_order_refunded"),
    "order.deleted": ("wp_trash_post", "woocommerce_trash_order"),
    "order.restored": ("untrashed_post", "woocommerce_untrash_order"),
}
"""The topics that the sandbox knows, with WordPress's hooks that trigger them."""

_MOST_FAILURES: Final = 5


@dataclass(frozen=True, slots=True)
class WooWebhook:
    """One webhook. Nobody is shown the secret again."""

    id: int
    name: str
    topic: str
    delivery_url: str
    secret: str = field(repr=False)
    created_at: datetime
    updated_at: datetime
    status: str = "active"
    failures: int = 0

    @property
    def resource(self) -> str:
        return self.topic.partition(".")[0]

    @property
    def event(self) -> str:
        return self.topic.partition(".")[2]


class WooWebhooks:
    """The webhooks of one shop. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._next_id = 1
        self._kept: dict[int, WooWebhook] = {}

    def all(self) -> Sequence[WooWebhook]:
        """All of them by ascending id."""
        with self._lock:
            return list(self._kept.values())

    def find(self, webhook_id: int) -> WooWebhook | None:
        with self._lock:
            return self._kept.get(webhook_id)

    def create(self, *, name: str, topic: str, delivery_url: str, secret: str) -> WooWebhook:
        """A new webhook is active, whatever status was asked for."""
        with self._lock:
            made = WooWebhook(
                self._next_id, name, topic, delivery_url, secret, created_at=now(), updated_at=now()
            )
            self._kept[made.id] = made
            self._next_id += 1
            return made

    def update(self, webhook_id: int, **changes: str) -> WooWebhook | None:
        """Set fields. None if there is no such webhook."""
        with self._lock:
            known = self._kept.get(webhook_id)
            if known is None:
                return None
            # WooCommerce begins to count anew as soon as somebody makes a webhook active.
            failures = 0 if changes.get("status") == "active" else known.failures
            changed = replace(known, updated_at=now(), failures=failures, **changes)
            self._kept[webhook_id] = changed
            return changed

    def delete(self, webhook_id: int) -> WooWebhook | None:
        with self._lock:
            return self._kept.pop(webhook_id, None)

    def note(self, webhook_id: int, *, accepted: bool) -> None:
        """Count a delivery. The seventh failure in a row disables the webhook, silently.

        The documentation says five; the source compares the count before it raises it.
        """
        with self._lock:
            known = self._kept.get(webhook_id)
            if known is None:
                return
            if accepted:
                changed = replace(known, failures=0)
            elif known.failures > _MOST_FAILURES:
                changed = replace(known, status="disabled")
            else:
                changed = replace(known, failures=known.failures + 1)
            self._kept[webhook_id] = changed
