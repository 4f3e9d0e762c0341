"""What an adapter says of its platform's webhooks: reading a delivery, and subscribing to them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from connector_pipeline.model.hint import Hint
from connector_pipeline.model.shop import Shop
from connector_pipeline.settings import Settings


@dataclass(frozen=True, slots=True)
class Delivery:
    """A verified delivery, read.

    `delivery_id` is the same for a repeat of the delivery, and for no other one; None where the
    platform has no such id. `erases`: the platform demands that all that is stored of the shop is
    erased. `acknowledges`: the delivery asks for nothing, and concerns also a shop that is not
    registered, e.g. a question for data that no shop's catalog holds. `unread` says why a delivery
    of a topic of ours leads to nothing; it is taken all the same, because a platform ends a webhook
    whose deliveries are refused.
    """

    topic: str
    delivery_id: str | None = None
    hints: Sequence[Hint] = ()
    erases: bool = False
    acknowledges: bool = False
    unread: str | None = None


class WebhookReader(ABC):
    """Reads the deliveries of one platform's webhooks. It asks nobody, and keeps nothing.

    Header names are in lower case, and each is there once. The receiver has bounded the body.
    """

    content_types: ClassVar[Sequence[str]] = ("application/json",)
    """The media types of deliveries, in lower case."""

    shops_have_secrets: ClassVar[bool]
    """Whether each shop's webhooks have a secret of their own, which the receiver makes.

    Then the secret proves which shop a delivery is of, whatever its headers say.
    """

    app_secrets_setting: ClassVar[str | None] = None
    """The setting that has the secrets of `app_secrets`; None: the platform's apps sign nothing."""

    def app_secrets(self, settings: Settings) -> Sequence[str]:
        """The secrets that sign for all shops; none by default."""
        return ()

    @abstractmethod
    def claimed_domain(self, headers: Mapping[str, str]) -> str | None:
        """The domain of the shop that the delivery claims to be of; None: it names none."""

    @abstractmethod
    def is_signed(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str]) -> bool:
        """Whether one of the secrets signed the raw body. Compares in constant time."""

    @abstractmethod
    def read(self, domain: str, headers: Mapping[str, str], body: bytes) -> Delivery:
        """Read a signed delivery of the shop. Raises InvalidResponse for an undocumented form.

        Topics, tokens and ids are short texts of ASCII, which Postgres can store and index.
        """

    def is_unsigned_ping(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Whether this is a ping, which the platform does not sign and which has no effect."""
        return False


@dataclass(frozen=True, slots=True)
class Subscription:
    """A webhook that the platform has on record for us, which it sends if it is `active`.

    `paused`: not for its failures; somebody of the shop does not want it.
    """

    topic: str
    subscription_id: str
    active: bool = True
    paused: bool = False


@dataclass(frozen=True, slots=True)
class SubscriptionState:
    """The subscriptions of a shop that deliver to our URL, and the topics that lack one.

    `missing` are the topics that no active subscription delivers, in the platform's words. Where
    the credentials do not allow to list or make them, or the platform does not, `refused` says why,
    and what to do, in words for an operator. `changed` is how many were made, restored or deleted.
    """

    subscriptions: Sequence[Subscription]
    missing: Sequence[str]
    refused: str | None = None
    changed: int = 0

    @property
    def paused(self) -> Sequence[str]:
        """The missing topics that somebody of the shop has paused."""
        return [each.topic for each in self.subscriptions if each.paused]


@dataclass(frozen=True, slots=True)
class Changes:
    """One look at a platform's change feed: what changed, and where the next look begins.

    `cursor` is the adapter's own. `too_many`: more changed than a look lists, so an increment is to
    read it. `products` has the product of each token that is not itself a product's id.
    """

    hints: Sequence[Hint]
    cursor: str
    too_many: bool = False
    products: Mapping[str, str] = field(default_factory=dict[str, str])


def delivery_url(base: str, shop: Shop) -> str:
    """The URL to which the shop's webhooks are delivered, below WEBHOOKS_URL."""
    return f"{base.rstrip('/')}/{shop.platform_name}/{shop.domain}"
