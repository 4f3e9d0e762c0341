"""A sync: one attempt to bring one shop's catalog up to date."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final, NamedTuple
from uuid import NAMESPACE_URL, uuid5

from pydantic import BaseModel, ConfigDict, StringConstraints

from connector_pipeline.model.shop import RegisteredShop
from connector_pipeline.model.sync_type import RequestedSyncType, SyncType


class SyncStatus(StrEnum):
    """How far a sync is, as in the column `connector.syncs.status`."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class BackfillStatus(StrEnum):
    """How far a shop of a backfill is: the state of its row in the queue, or how that ended."""

    WAITING = "waiting"
    TAKEN = "taken"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


SyncId = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[!-~]+$")]


class Sync(BaseModel):
    """A sync as it starts. Times are UTC.

    An incremental sync asks for the changes after `since`, a hinted one for the products that
    `hinted` tokens name. A full one asks for everything.
    """

    model_config = ConfigDict(frozen=True)

    sync_id: SyncId
    partition_key: str
    sync_type: SyncType
    correlation_id: str
    started_at: datetime
    since: datetime | None = None
    hinted: int | None = None


@dataclass(frozen=True, slots=True)
class ShopToSync:
    """A shop that a run is to sync, and how.

    The `sync_id` is the requester's or the queue's; None: the run makes one. Where `correlation_id`
    is None, the sync_id takes its place.
    """

    partition_key: str
    sync_type: RequestedSyncType = RequestedSyncType.auto
    sync_id: str | None = None
    correlation_id: str | None = None


def own_sync_id(root_run_id: str, partition_key: str) -> str:
    """The sync_id of a sync that came without one. A retried run computes the same one."""
    return str(uuid5(NAMESPACE_URL, f"connector-pipeline:{root_run_id}:{partition_key}"))


FULL_AGAIN_AFTER: Final = timedelta(minutes=15)
"""A full sync that failed is due again after this long, and after twice as long each time."""


class SyncPlan(NamedTuple):
    """A sync reads everything, the changes since a time (UTC), or what hints named."""

    sync_type: SyncType
    since: datetime | None


_EVERYTHING: Final = SyncPlan(SyncType.FULL, None)
_HINTED: Final = SyncPlan(SyncType.HINTED, None)
_MOST_DOUBLED: Final = 20


def planned_sync(
    requested: RequestedSyncType,
    shop: RegisteredShop,
    *,
    overlap: timedelta,
    full_sync_every: timedelta,
    now: datetime,
    hinted: bool = False,
) -> SyncPlan:
    """The plan for a requested sync of a shop with this history.

    Without a high-water mark every sync is full: an increment has no time to begin at. `auto` is
    full once the last full sync is `full_sync_every` old: only a full one finds all deleted
    variants. While full syncs fail, `auto` tries one at growing distances, and between them brings
    the changes: their prices are wanted all the same. A `hinted` one asks for what hints named,
    even while a full one is due, which is left to a sweep.
    """
    mark = shop.high_water_mark
    if requested is RequestedSyncType.full or mark is None:
        return _EVERYTHING
    if hinted:
        return _HINTED
    if requested is RequestedSyncType.auto and _full_is_due(shop, full_sync_every, now):
        return _EVERYTHING
    return increment_of(shop, overlap=overlap)


def increment_of(shop: RegisteredShop, *, overlap: timedelta) -> SyncPlan:
    """The plan of an increment, which without a high-water mark is a full sync."""
    mark = shop.high_water_mark
    return _EVERYTHING if mark is None else SyncPlan(SyncType.INCREMENTAL, mark - overlap)


def _full_is_due(shop: RegisteredShop, full_sync_every: timedelta, now: datetime) -> bool:
    if shop.full_sync_failed_at is not None:
        doubled = min(shop.full_sync_failures - 1, _MOST_DOUBLED)
        distance = min(FULL_AGAIN_AFTER * 2 ** max(doubled, 0), full_sync_every)
        return now - shop.full_sync_failed_at >= distance
    last = shop.last_full_sync_at
    return last is None or now - last >= full_sync_every
