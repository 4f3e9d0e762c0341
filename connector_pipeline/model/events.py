"""The events that tell the neighbours what became of a sync, as they travel.

Subjects and fields are those of the service before (docs/contracts.md, Events).
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, Generic, Literal, Self, TypeVar
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from connector_pipeline.model.sync import SyncId

SOURCE_SERVICE: Final = "platform-connector"


class OutcomeType(StrEnum):
    """How a sync ended: the event's type, and the subject it is sent to."""

    COMPLETED = "evt.platform.fetch.completed"
    FAILED = "evt.platform.fetch.failed"


class FetchCompleted(BaseModel):
    """A sync was published.

    `total_products` counts as the service before did, whose batches hold one product per variant:
    the variants of the snapshot, each once, without those that were rejected.
    """

    model_config = ConfigDict(frozen=True)

    merchant_id: str
    sync_id: SyncId
    total_products: Annotated[int, Field(ge=0)]


class FetchFailed(BaseModel):
    """A sync failed; `error` is its code, a colon, and what happened and what to do in words."""

    model_config = ConfigDict(frozen=True)

    merchant_id: str
    sync_id: SyncId
    error: str


OutcomeT = TypeVar("OutcomeT", FetchCompleted, FetchFailed)


class Event(BaseModel):
    """What every event travels in. `timestamp` is when it happened, in UTC."""

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
    """One variant as the service before sent it. Null where it made numbers up: see contracts.md.

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
    """The id of a batch's event: the same each time."""
    return uuid5(NAMESPACE_URL, f"connector-pipeline:{sync_id}:{PRODUCTS_FETCHED}:{batch_num}")


DEAD_LETTERS: Final = "dlq.evt.catalog.sync.requested"
_LONGEST_BODY: Final = 64 * 1024


class DeadLetter(BaseModel):
    """A message on `evt.catalog.sync.requested` that is no request, and why.

    Its `body` as it came, or in hex (`body_hex`) where that is no text; cut off where `truncated`.
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
        """The letter of a message."""
        kept = body[:_LONGEST_BODY]
        try:
            # An odd cut may fall into a character.
            text = kept.decode(errors="strict" if kept == body else "ignore")
        except UnicodeDecodeError:
            text = None
        if text is not None and "\x00" in text:
            # Postgres, where it waits to be sent, cannot hold it.
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
    """The id of a sync's outcome event: the same each time, so that a repeat is known for one.

    Of the outcome too: a sync that failed and succeeds when tried again must not have its success
    dropped as a repeat of its failure.
    """
    return uuid5(NAMESPACE_URL, f"connector-pipeline:{sync_id}:{event_type}")
