"""Read how an asset check was last evaluated, whatever run has planned it since.

Needs: `event_log_storage.get_asset_check_execution_history`, and the statuses of its records. Tried
with Dagster 1.13.27. The instance's own `get_latest_asset_check_evaluation_record` gives the record
that the run under way has planned, without an evaluation; a public way to ask for the last one that
has ended would replace this module.
"""

from dagster import AssetCheckEvaluation, AssetCheckKey, DagsterInstance
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

_ENDED = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}


def last_evaluation(instance: DagsterInstance, key: AssetCheckKey) -> AssetCheckEvaluation | None:
    """The check's last evaluation; None if it was never evaluated."""
    records = instance.event_log_storage.get_asset_check_execution_history(
        key, limit=1, status=_ENDED
    )
    event = records[0].event if records else None
    dagster_event = None if event is None else event.dagster_event
    evaluation = None if dagster_event is None else dagster_event.event_specific_data
    return evaluation if isinstance(evaluation, AssetCheckEvaluation) else None
