"""Whether a sync reads everything or goes on from the high-water mark, case by case."""

from datetime import UTC, datetime, timedelta

import pytest

from connector_pipeline.model.shop import RegisteredShop
from connector_pipeline.model.sync import SyncPlan, planned_sync
from connector_pipeline.model.sync_type import RequestedSyncType, SyncType

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
FULL = SyncPlan(SyncType.FULL, None)
AUTO, ASKED_FULL, ASKED_INCREMENTAL = (
    RequestedSyncType.auto,
    RequestedSyncType.full,
    RequestedSyncType.incremental,
)

OVERLAP = timedelta(minutes=10)


def shop(
    mark: datetime | None,
    last_full: datetime | None,
    failed_ago: timedelta | None = None,
    n: int = 0,
) -> RegisteredShop:
    return RegisteredShop(
        merchant_id="m",
        platform_name="shopify",
        platform_shop_id="1",
        domain="acme.myshopify.com",
        high_water_mark=mark,
        last_full_sync_at=last_full,
        full_sync_failed_at=None if failed_ago is None else NOW - failed_ago,
        full_sync_failures=n,
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
        shop(mark=mark, last_full=None if full_age is None else NOW - full_age * HOUR),
        overlap=OVERLAP,
        full_sync_every=24 * HOUR,
        now=NOW,
    )
    if incremental:
        assert mark is not None
        assert plan == SyncPlan(SyncType.INCREMENTAL, mark - OVERLAP)
    else:
        assert plan == FULL


@pytest.mark.parametrize(
    ("failures", "failed_minutes_ago", "full"),
    [
        (1, 14, False),
        (1, 15, True),
        (2, 29, False),
        (2, 30, True),
        (3, 59, False),
        (40, 23 * 60, False),
        (40, 24 * 60, True),
    ],
)
def test_a_full_sync_that_fails_is_tried_at_growing_distances_with_increments_between(
    failures: int, failed_minutes_ago: int, full: bool
) -> None:
    plan = planned_sync(
        AUTO,
        shop(NOW - HOUR, NOW - HOUR, timedelta(minutes=failed_minutes_ago), failures),
        overlap=OVERLAP,
        full_sync_every=24 * HOUR,
        now=NOW,
    )
    assert (plan == FULL) is full


def test_a_shop_that_was_never_read_in_full_gets_no_increment_while_full_syncs_fail() -> None:
    plan = planned_sync(
        AUTO,
        shop(None, None, timedelta(minutes=1), 3),
        overlap=OVERLAP,
        full_sync_every=24 * HOUR,
        now=NOW,
    )
    assert plan == FULL
