"""Find out whether one of Dagster's own backfills, launched in its UI, is under way.

Needs: `BulkActionsFilter` and `BulkActionStatus` of `dagster._core.execution.backfill`, which the
public `DagsterInstance.get_backfills` takes. Tried with Dagster 1.13.27. If Dagster exported both,
this module would not be needed.
"""

from typing import Final

from dagster import DagsterInstance
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus

_UNDER_WAY: Final = [
    BulkActionStatus.REQUESTED,
    BulkActionStatus.CANCELING,
    BulkActionStatus.FAILING,
]


def a_backfill_is_under_way(instance: DagsterInstance) -> bool:
    """Whether a backfill has not ended yet."""
    return bool(instance.get_backfills(BulkActionsFilter(statuses=_UNDER_WAY), limit=1))
