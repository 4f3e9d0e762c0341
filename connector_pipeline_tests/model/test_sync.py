"""Whether a sync reads everything or goes on from the high-water mark, case by case."""

from datetime import UTC, datetime, timedelta

import pytest

from connector_pipeline.model.sync import (
    OVERLAP,
    RequestedSyncType,
    SyncPlan,
    SyncType,
    planned_sync,
)

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
FULL = SyncPlan(SyncType.FULL, None)
AUTO, ASKED_FULL, ASKED_INCREMENTAL = (
    RequestedSyncType.auto,
    RequestedSyncType.full,
    RequestedSyncType.incremental,
)


@pytest.mark.parametrize(
    ("requested", "mark_age", "full_age", "incremental"),
    [
        (AUTO, None, None, False),
        (AUTO, 1, 1, True),
        (AUTO, 1, 23, True),
        (AUTO, 1, 24, False),
        (AUTO, 1, None, False),
        (AUTO, None, 1, False),
        (ASKED_FULL, 1, 1, False),
        (ASKED_INCREMENTAL, 1, None, True),
        (ASKED_INCREMENTAL, 1, 99, True),
        (ASKED_INCREMENTAL, None, 1, False),
    ],
)
def test_a_sync_goes_on_from_the_high_water_mark_or_reads_everything(
    requested: RequestedSyncType, mark_age: int | None, full_age: int | None, incremental: bool
) -> None:
    """Ages in hours, None for never; a full sync is due every 24."""
    mark = None if mark_age is None else NOW - mark_age * HOUR
    plan = planned_sync(
        requested,
        high_water_mark=mark,
        last_full_sync_at=None if full_age is None else NOW - full_age * HOUR,
        full_sync_every=24 * HOUR,
        now=NOW,
    )
    if incremental:
        assert mark is not None
        assert plan == SyncPlan(SyncType.INCREMENTAL, mark - OVERLAP)
    else:
        assert plan == FULL
