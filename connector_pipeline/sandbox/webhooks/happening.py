"""The happenings in a shop of which a platform may send webhooks."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from connector_pipeline.sandbox.shops.shop import SandboxShop


class Kind(StrEnum):
    """The kinds of happenings, without a platform's word for them."""

    PRODUCT_CREATED = "product created"
    PRODUCT_UPDATED = "product updated"
    PRODUCT_DELETED = "product deleted"
    PRODUCT_TRASHED = "product trashed"
    PRODUCT_RESTORED = "product restored"
    VARIANT_CREATED = "variant created"
    VARIANT_UPDATED = "variant updated"
    STOCK_CHANGED = "stock changed"
    BULK_FINISHED = "bulk operation finished"
    UNINSTALLED = "app uninstalled"
    WEBHOOK_CREATED = "webhook created"


@dataclass(frozen=True, slots=True)
class Happening:
    """`id` is that of the product, variant, bulk operation or webhook; 0 for the shop itself."""

    kind: Kind
    id: int
    at: datetime


class Listener(Protocol):
    """Hears of everything that happens in the shops of a sandbox. Any thread may call it."""

    def joined(self, shop: "SandboxShop") -> None:
        """The shop is new."""
        ...

    def happened(self, shop: "SandboxShop", happening: Happening) -> None:
        """It must not wait: the shop's lock may be held."""
        ...

    def awaits_bulk(self, shop: "SandboxShop") -> bool:
        """Whether a webhook tells of finished bulk operations, so that nobody need poll them."""
        ...
