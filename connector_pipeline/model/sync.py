"""A sync: one attempt to bring one shop's catalog up to date."""

from datetime import datetime
from enum import Enum, StrEnum
from typing import Annotated
from uuid import NAMESPACE_URL, uuid5

from pydantic import BaseModel, ConfigDict, StringConstraints


class SyncType(StrEnum):
    """`full`: absence means deleted. `incremental`: absence means nothing."""

    FULL = "full"
    INCREMENTAL = "incremental"


class RequestedSyncType(Enum):
    """The sync type somebody asks for; `auto` leaves the choice to us.

    Names and values are the same on purpose: Dagster's run config takes names, the command line
    and events take values.
    """

    auto = "auto"
    full = "full"
    incremental = "incremental"


class SyncStatus(StrEnum):
    """Where a sync stands, as `connector.syncs.status` says it."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


SyncId = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[!-~]+$")]


class Sync(BaseModel):
    """What is known of a sync when it starts. Times are UTC."""

    model_config = ConfigDict(frozen=True)

    sync_id: SyncId
    partition_key: str
    sync_type: SyncType
    correlation_id: str
    started_at: datetime


def own_sync_id(root_run_id: str, partition_key: str) -> str:
    """A sync_id of our own making: a retried run computes the same one, and so finds its sync."""
    return str(uuid5(NAMESPACE_URL, f"connector-pipeline:{root_run_id}:{partition_key}"))


def chosen_sync_type(requested: RequestedSyncType) -> SyncType:
    """The sync type that a request comes down to: `auto` is full, which is always right."""
    if requested is RequestedSyncType.incremental:
        return SyncType.INCREMENTAL
    return SyncType.FULL
