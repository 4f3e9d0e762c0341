"""Whether a sync will count as the shop's full one, and the words where full syncs fail."""

from datetime import datetime, timedelta
from typing import Final

from connector_pipeline.model.shop import RegisteredShop
from connector_pipeline.model.sync import Sync
from connector_pipeline.model.sync_type import SyncType
from connector_pipeline.platforms.kit.contract import FetchReport
from connector_pipeline.sync.absence import Confirmed

MISSES_SOMETHING: Final = (
    "Something is missing, so this sync does not count as a full one: absent items are deleted "
    "only where the shop says that they are gone, and a full sync is tried again at growing "
    "distances."
)


def counts_as_full(report: FetchReport, gone: Confirmed) -> bool:
    """Whether a full sync will count as one, by the rule of `sync_success.succeed`."""
    return report.complete or (report.all_read and gone.every_absence)


def full_sync_warnings(shop: RegisteredShop, sync: Sync, now: datetime) -> list[str]:
    """The warning of an increment while full syncs fail: for how long, and why."""
    since = shop.full_sync_failing_since
    if sync.sync_type is not SyncType.INCREMENTAL or since is None:
        return []
    return [
        f"No full sync has counted for {_in_words(now - since)} ({shop.full_sync_failures} tried). "
        "This sync brings changes only, so items that are gone may still be in the "
        f"catalog. The last error: {shop.full_sync_error_code}: {shop.full_sync_error_message}"
    ]


def _in_words(span: timedelta) -> str:
    minutes = span / timedelta(minutes=1)
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.0f} h"
