"""The subscriptions that an app made in one Shopify shop, through the Admin API."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from ipaddress import ip_address
from threading import RLock
from typing import Any, Final
from urllib.parse import urlsplit

from connector_pipeline.sandbox.shops.edits import now

_FIRST_ID: Final = 1_200_000_000_001


class RefusedSubscription(ValueError):
    """The platform makes no such subscription: the text is its reason, `field` the input's."""

    def __init__(self, field: Sequence[str], message: str):
        super().__init__(message)
        self.field = list(field)


@dataclass(frozen=True, slots=True)
class ShopifySubscription:
    """One subscription. `topic` is as in GraphQL, e.g. PRODUCTS_UPDATE.

    `failures` are the failed attempts since the last success.
    """

    id: int
    topic: str
    uri: str
    created_at: datetime
    updated_at: datetime
    format: str = "JSON"
    include_fields: tuple[str, ...] = ()
    filter: str | None = None
    name: str | None = None
    failures: int = 0

    @property
    def topic_in_header(self) -> str:
        """The topic as deliveries name it, e.g. products/update."""
        return topic_in_header(self.topic)


_TWO_WORDS: Final = ("INVENTORY_LEVELS_", "INVENTORY_ITEMS_", "BULK_OPERATIONS_")


def topic_in_header(topic: str) -> str:
    """`products/update` of PRODUCTS_UPDATE."""
    for start in _TWO_WORDS:
        if topic.startswith(start):
            return f"{start[:-1]}/{topic.removeprefix(start)}".lower()
    return topic.replace("_", "/", 1).lower()


class ShopifySubscriptions:
    """The subscriptions of one shop. Any thread may use it.

    Shopify delivers to HTTPS only, and to no address of one's own network. With `loopback`
    receivers at http://127.0.0.1 are accepted, which no real shop does.
    """

    def __init__(self, domain: str):
        self._domain = domain
        self._lock = RLock()
        self._next_id = _FIRST_ID
        self._kept: dict[int, ShopifySubscription] = {}
        self.loopback = False

    def all(self) -> Sequence[ShopifySubscription]:
        """All of them by ascending id."""
        with self._lock:
            return list(self._kept.values())

    def find(self, subscription_id: int) -> ShopifySubscription | None:
        with self._lock:
            return self._kept.get(subscription_id)

    def create(self, topic: str, given: dict[str, Any]) -> ShopifySubscription:
        """Make one of the fields of a WebhookSubscriptionInput. Raises RefusedSubscription."""
        with self._lock:
            uri = self._checked(given, topic, besides=None, before=None)
            subscription = _changed(
                ShopifySubscription(self._next_id, topic, uri, created_at=now(), updated_at=now()),
                given,
            )
            self._kept[self._next_id] = subscription
            self._next_id += 1
            return subscription

    def update(self, subscription_id: int, given: dict[str, Any]) -> ShopifySubscription:
        """Change it. Raises RefusedSubscription."""
        with self._lock:
            known = self._existing(subscription_id)
            uri = self._checked(given, known.topic, besides=subscription_id, before=known.uri)
            changed = _changed(replace(known, uri=uri, updated_at=now()), given)
            self._kept[subscription_id] = changed
            return changed

    def delete(self, subscription_id: int) -> None:
        """Delete it. Raises RefusedSubscription."""
        with self._lock:
            self._existing(subscription_id)
            del self._kept[subscription_id]

    def lose(self, subscription_id: int) -> None:
        """Delete it as the platform itself does after failures, without a word."""
        with self._lock:
            self._kept.pop(subscription_id, None)

    def clear(self) -> None:
        """Delete all, as an uninstallation does."""
        with self._lock:
            self._kept.clear()

    def note(self, subscription_id: int, *, accepted: bool) -> int:
        """Count an attempt. Returns the failures in a row, 0 for a deleted subscription."""
        with self._lock:
            known = self._kept.get(subscription_id)
            if known is None:
                return 0
            failures = 0 if accepted else known.failures + 1
            self._kept[subscription_id] = replace(known, failures=failures)
            return failures

    def _existing(self, subscription_id: int) -> ShopifySubscription:
        known = self._kept.get(subscription_id)
        if known is None:
            raise RefusedSubscription(["id"], "Webhook subscription does not exist")
        return known

    def _checked(
        self, given: dict[str, Any], topic: str, *, besides: int | None, before: str | None
    ) -> str:
        name = "callbackUrl" if given.get("callbackUrl") is not None else "uri"
        field = ["webhookSubscription", name]
        uri = given.get(name)
        if uri is None and before is not None:
            return before
        if not uri:
            raise RefusedSubscription(field, "Address can't be blank")
        self._refuse_address(field, uri)
        taken = any(
            each.topic == topic and each.uri == uri and each.id != besides
            for each in self._kept.values()
        )
        if taken:
            raise RefusedSubscription(field, "Address for this topic has already been taken")
        return uri

    def _refuse_address(self, field: Sequence[str], uri: str) -> None:
        try:
            parts = urlsplit(uri)
            host = parts.hostname or ""
        except ValueError:
            raise RefusedSubscription(field, "Address is invalid") from None
        if host == self._domain:
            message = f"Address cannot be any of the domains: {self._domain}"
            raise RefusedSubscription(field, message)
        if is_loopback(host) and self.loopback and parts.scheme in ("http", "https"):
            return
        if parts.scheme == "http":
            raise RefusedSubscription(field, "Address protocol http:// is not supported")
        if parts.scheme != "https" or "." not in host or is_loopback(host):
            raise RefusedSubscription(field, "Address is invalid")


def is_loopback(host: str) -> bool:
    """Whether the host of a URL is this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _changed(subscription: ShopifySubscription, given: dict[str, Any]) -> ShopifySubscription:
    changes: dict[str, Any] = {}
    for theirs, ours in (("format", "format"), ("filter", "filter"), ("name", "name")):
        if given.get(theirs) is not None:
            changes[ours] = given[theirs]
    if given.get("includeFields") is not None:
        changes["include_fields"] = tuple(given["includeFields"])
    return replace(subscription, **changes)
