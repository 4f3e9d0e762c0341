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


class Envelope(BaseModel, Generic[OutcomeT]):
    """What every event travels in. `timestamp` is when it happened, in UTC."""

    model_config = ConfigDict(frozen=True)

    event_id: UUID
    event_type: OutcomeType
    correlation_id: str
    source_service: Literal["platform-connector"] = SOURCE_SERVICE
    timestamp: AwareDatetime
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


def outcome_id(sync_id: str, event_type: OutcomeType) -> UUID:
    """The id of a sync's outcome event: the same each time, so that a repeat is known for one.

    Of the outcome too: a sync that failed and succeeds when tried again must not have its success
    dropped as a repeat of its failure.
    """
    return uuid5(NAMESPACE_URL, f"connector-pipeline:{sync_id}:{event_type}")
