"""Find out whether one of Dagster's own backfills, launched in its UI, is under way.

Needs: `BulkActionsFilter` and `BulkActionStatus` of `dagster._core.execution.backfill`, which the
public `DagsterInstance.get_backfills` takes. Tried with Dagster 1.13.27. If Dagster exported both,
this module would not be needed.
"""

from dagster import DagsterInstance


def a_backfill_is_under_way(instance: DagsterInstance) -> bool:
    """Whether a backfill has not ended yet."""
    # Imported here: it brings Dagster's workspaces, and a run asks nothing of this module.
    from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus

    under_way = [BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING, BulkActionStatus.FAILING]
    return bool(instance.get_backfills(BulkActionsFilter(statuses=under_way), limit=1))
