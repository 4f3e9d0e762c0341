"""What an adapter says of its platform's webhooks: reading a delivery, and subscribing to them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from connector_pipeline.model.hint import Hint
from connector_pipeline.model.shop import Shop


class Demand(StrEnum):
    """What a delivery asks for beside, or in place of, a look at products."""

    DISCONNECT = "disconnect"
    """The merchant has removed the app: its credentials no longer work."""

    ERASE = "erase"
    """The platform demands that everything of the shop is erased."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A verified delivery, read.

    `delivery_id` is the same for a repeat of the delivery, and for no other one; None where the
    platform has no such id. Without hints and demands it is of no concern: it is acknowledged.
    """

    delivery_id: str | None = None
    hints: Sequence[Hint] = ()
    demands: Sequence[Demand] = ()


class WebhookReader(ABC):
    """Reads the deliveries of one platform's webhooks. It asks nobody, and keeps nothing.

    Header names are in lower case. The receiver has bounded the body.
    """

    @abstractmethod
    def claimed_domain(self, headers: Mapping[str, str]) -> str | None:
        """The domain of the shop that the delivery claims to be of; None: it names none."""

    @abstractmethod
    def is_signed(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str]) -> bool:
        """Whether one of the secrets signed the raw body. Compares in constant time."""

    @abstractmethod
    def read(self, headers: Mapping[str, str], body: bytes) -> Delivery:
        """Read a signed delivery. Raises InvalidResponse for one not of the documented form."""

    def is_unsigned_ping(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Whether this is a ping, which the platform does not sign and which has no effect."""
        return False


@dataclass(frozen=True, slots=True)
class Subscription:
    """A webhook that the platform has on record for us. `active`: the platform sends it."""

    topic: str
    url: str
    active: bool
    subscription_id: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SubscriptionState:
    """The subscriptions of a shop that deliver to our URL, and the topics that lack one.

    `missing` are the topics that no active subscription delivers. `refused` says why they cannot
    be made, in words for an operator, where the credentials do not allow it; None otherwise.
    """

    subscriptions: Sequence[Subscription]
    missing: Sequence[str]
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """One look at a platform's change feed: what changed, and where the next look begins.

    `cursor` is the adapter's own. `too_many`: more changed than a look lists, so an increment is to
    read it.
    """

    hints: Sequence[Hint]
    cursor: str
    too_many: bool = False


def delivery_url(base: str, shop: Shop) -> str:
    """The URL to which the shop's webhooks are delivered, below WEBHOOKS_URL."""
    return f"{base.rstrip('/')}/{shop.platform_name}/{shop.domain}"
