"""The events by which the connector reports its syncs to the neighbours.

Subjects and fields are the predecessor's, and some fields more (docs/contracts.md, Events).
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, Generic, Literal, Self, TypeVar
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from connector_pipeline.model.shop import parse_partition_key
from connector_pipeline.model.sync import SyncId
from connector_pipeline.model.sync_type import SyncType

_Count = Annotated[int, Field(ge=0)]

SOURCE_SERVICE: Final = "platform-connector"


class OutcomeType(StrEnum):
    """The type of a sync's outcome event, which is also the subject that the relay sends it to."""

    COMPLETED = "evt.platform.fetch.completed"
    FAILED = "evt.platform.fetch.failed"


class FetchCompleted(BaseModel):
    """A sync was published.

    `total_products` is the number of the shop's live items after it: one per variant, as the
    predecessor counted, whose syncs were all full. The rest counts what this sync read (`items`,
    without the `rejected` ones and `duplicates`) and what it did to the shop's rows.
    """

    model_config = ConfigDict(frozen=True)

    merchant_id: str
    sync_id: SyncId
    platform_name: str
    platform_shop_id: str
    domain: str
    total_products: _Count
    sync_type: SyncType
    items: _Count
    inserted: _Count
    updated: _Count
    unchanged: _Count
    revived: _Count
    deleted: _Count
    rejected: _Count
    duplicates: _Count


class FetchFailed(BaseModel):
    """A sync failed. `error` is `error_code`, a colon, the error's message and its remedy.

    `platform_shop_id` is null where the registry has no such shop: the request was refused.
    """

    model_config = ConfigDict(frozen=True)

    merchant_id: str
    sync_id: SyncId
    platform_name: str
    platform_shop_id: str | None
    domain: str
    error_code: str
    error: str


OutcomeT = TypeVar("OutcomeT", FetchCompleted, FetchFailed)


class Event(BaseModel):
    """The fields that every event has. `timestamp` is when it happened, in UTC."""

    model_config = ConfigDict(frozen=True)

    event_id: UUID
    correlation_id: str
    source_service: Literal["platform-connector"] = SOURCE_SERVICE
    timestamp: AwareDatetime


class Envelope(Event, Generic[OutcomeT]):
    """The event of a sync's outcome."""

    event_type: OutcomeType
    data: OutcomeT

    @classmethod
    def of(cls, data: OutcomeT, *, correlation_id: str, timestamp: datetime) -> Self:
        """The event of this outcome of a sync."""
        completed = isinstance(data, FetchCompleted)
        event_type = OutcomeType.COMPLETED if completed else OutcomeType.FAILED
        return cls(
            event_id=outcome_id(data.sync_id, event_type),
            event_type=event_type,
            correlation_id=correlation_id,
            timestamp=timestamp,
            data=data,
        )


class PlatformProduct(BaseModel):
    """One variant in the predecessor's form; null where the predecessor invented a value.

    `price` is a JSON number, in units of `currency`.
    """

    model_config = ConfigDict(frozen=True)

    platform_name: str
    platform_shop_id: str
    domain: str
    product_id: str
    variant_id: str
    product_title: str
    variant_title: str
    sku: str | None
    price: float | None
    currency: str
    inventory: int | None
    image_url: str | None
    created_at: AwareDatetime | None
    updated_at: AwareDatetime | None


LARGEST_BATCH: Final = 250


class ProductBatch(BaseModel):
    """Some products of a sync's snapshot; `batch_num` counts from 1."""

    model_config = ConfigDict(frozen=True)

    merchant_id: str
    sync_id: SyncId
    platform_name: str
    platform_shop_id: str
    domain: str
    products: Annotated[list[PlatformProduct], Field(max_length=LARGEST_BATCH)]
    batch_num: Annotated[int, Field(ge=1)]
    has_more: bool


PRODUCTS_FETCHED: Final = "evt.platform.products.fetched"


class ProductsFetched(Event):
    """The event of one batch, sent before the sync's `completed`."""

    event_type: Literal["evt.platform.products.fetched"] = PRODUCTS_FETCHED
    data: ProductBatch


def batch_id(sync_id: str, batch_num: int) -> UUID:
    """The id of a batch's event. It is the same each time that the batch is sent."""
    return uuid5(NAMESPACE_URL, f"connector-pipeline:{sync_id}:{PRODUCTS_FETCHED}:{batch_num}")


SHOP_ERASED: Final = "evt.platform.shop.erased"


class ErasedShop(BaseModel):
    """A shop of which nothing is stored any more."""

    model_config = ConfigDict(frozen=True)

    merchant_id: str
    platform_name: str
    platform_shop_id: str
    domain: str

    @classmethod
    def of(cls, partition_key: str, merchant_id: str, platform_shop_id: str) -> Self:
        """The shop of a partition key. Raises InvalidShop for a malformed one."""
        platform_name, domain = parse_partition_key(partition_key)
        return cls(
            merchant_id=merchant_id,
            platform_name=platform_name,
            platform_shop_id=platform_shop_id,
            domain=domain,
        )


class ShopErased(Event):
    """The event that tells readers to delete what they copied of a shop: no tombstone tells it."""

    event_type: Literal["evt.platform.shop.erased"] = SHOP_ERASED
    data: ErasedShop


DEAD_LETTERS: Final = "dlq.evt.catalog.sync.requested"
_LONGEST_BODY: Final = 64 * 1024


class DeadLetter(BaseModel):
    """A message on `evt.catalog.sync.requested` that cannot be a sync request, with the reason.

    `body` is the message as it came. Of a message that is not text, `body_hex` has the bytes
    instead. Where `truncated` is true, only the first 64 KiB are there.
    """

    model_config = ConfigDict(frozen=True)

    reason: str
    subject: str
    stream: str
    stream_sequence: int
    body: str | None = None
    body_hex: str | None = None
    truncated: bool = False
    source_service: Literal["platform-connector"] = SOURCE_SERVICE

    @classmethod
    def of(cls, body: bytes, *, reason: str, subject: str, stream: str, sequence: int) -> Self:
        """The dead letter for a message."""
        kept = body[:_LONGEST_BODY]
        try:
            # The cut may fall into the middle of a character.
            text = kept.decode(errors="strict" if kept == body else "ignore")
        except UnicodeDecodeError:
            text = None
        if text is not None and "\x00" in text:
            # The letter waits in Postgres to be sent, and Postgres cannot hold NUL.
            text = None
        return cls(
            reason=reason,
            subject=subject,
            stream=stream,
            stream_sequence=sequence,
            body=text,
            body_hex=kept.hex() if text is None else None,
            truncated=kept != body,
        )


def outcome_id(sync_id: str, event_type: OutcomeType) -> UUID:
    """The id of a sync's outcome event: the same each time, so that a receiver can drop a repeat.

    A failure and a success of one sync have different ids: a sync may fail and then succeed, and
    its success must not be dropped as a repeat of its failure.
    """
    return uuid5(NAMESPACE_URL, f"connector-pipeline:{sync_id}:{event_type}")
