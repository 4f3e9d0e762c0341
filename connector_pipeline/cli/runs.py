"""Syncs a shop by a real Dagster run in this process. Other processes may use the same storage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dagster import (
    AssetKey,
    DagsterEvent,
    DagsterInstance,
    Definitions,
    JobDefinition,
    JsonMetadataValue,
    TableMetadataValue,
)

from connector_pipeline.assets.run_identity import SYNC_ID_TAG
from connector_pipeline.assets.syncing import syncing_definitions
from connector_pipeline.engine.guarded_output import guard_dagsters_output
from connector_pipeline.engine.unused_imports import making_definitions
from connector_pipeline.garbage_collection import spare_what_is_there
from connector_pipeline.model.errors import Defect
from connector_pipeline.model.sync import SyncStatus
from connector_pipeline.model.sync_type import RequestedSyncType
from connector_pipeline.settings import load_settings

_RAW_PRODUCTS: Final = AssetKey("raw_products")
_FAILED_SHOPS: Final = "failed_shops"
"""The metadata of a step's failure that has each shop's error code (`assets/reporting.py`)."""
_CATALOG_ITEMS: Final = AssetKey("catalog_items")


@dataclass(frozen=True, slots=True)
class SyncOutcome:
    """How a shop's run ended: with the metadata of its `catalog_items`, or with a failure.

    `failure` is its text for people, `error_code` its error's name; None where it succeeded.

    `warnings` are those of fetching the shop, and of publishing it if that succeeded.
    """

    partition_key: str
    run_id: str
    metadata: Mapping[str, Any]
    failure: str | None
    error_code: str | None
    warnings: Sequence[str] = ()

    @property
    def status(self) -> SyncStatus:
        """Whether the sync succeeded or failed."""
        return SyncStatus.SUCCEEDED if self.failure is None else SyncStatus.FAILED

    def count(self, name: str) -> int | float:
        """A number of the metadata, 0 if the run failed before it had one."""
        value = self.metadata.get(name, 0)
        return value if isinstance(value, int | float) else 0


def sync_job() -> JobDefinition:
    """The job that materializes both assets, with the settings that the environment has now."""
    return command_definitions().resolve_implicit_global_asset_job_def()


def command_definitions() -> Definitions:
    """What a command that executes its own runs needs, with the settings of the environment."""
    guard_dagsters_output()
    with making_definitions():
        definitions = syncing_definitions(load_settings())
    # Its imports end here.
    spare_what_is_there()
    return definitions


def sync_shop(
    job: JobDefinition,
    instance: DagsterInstance,
    partition_key: str,
    *,
    run_id: str,
    sync_id: str,
    sync_type: RequestedSyncType = RequestedSyncType.auto,
    allow_shrink: bool = False,
) -> SyncOutcome:
    """Materialize both assets of the shop, and wait for the end. Ctrl-C cancels the run."""
    result = job.execute_in_process(
        instance=instance,
        partition_key=partition_key,
        run_id=run_id,
        raise_on_error=False,
        tags={SYNC_ID_TAG: sync_id},
        run_config={
            "ops": {
                "raw_products": {"config": {"sync_type": sync_type.value}},
                "catalog_items": {"config": {"allow_shrink": allow_shrink}},
            },
            # The terminal shows progress; the run's log is in the UI.
            "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
        },
    )
    fetched = _metadata(result.all_events, _RAW_PRODUCTS)
    published = _metadata(result.all_events, _CATALOG_ITEMS)
    failure, code = (None, None) if result.success else _failure(result.all_events, partition_key)
    return SyncOutcome(
        partition_key=partition_key,
        run_id=run_id,
        metadata=published,
        failure=failure,
        error_code=code,
        warnings=_warnings(published or fetched),
    )


def _metadata(events: Sequence[DagsterEvent], asset: AssetKey) -> dict[str, Any]:
    for event in events:
        if event.is_step_materialization and event.asset_key == asset:
            found = event.step_materialization_data.materialization.metadata
            return {name: value.value for name, value in found.items()}
    return {}


def _warnings(metadata: Mapping[str, Any]) -> list[str]:
    table = metadata.get("warnings")
    if not isinstance(table, TableMetadataValue):
        return []
    return [str(record.data["warning"]) for record in table.records]


def _failure(events: Sequence[DagsterEvent], partition_key: str) -> tuple[str, str]:
    """The text of the failure, and the error's name."""
    for event in events:
        if event.is_step_failure:
            data = event.step_failure_data
            stated = data.user_failure_data
            if stated is not None and stated.description:
                return " ".join(stated.description.splitlines()), _error_code(
                    stated.metadata, partition_key
                )
            if data.error is not None:
                return data.error.message.strip(), Defect.__name__
    return "The run failed outside its steps; see its log in the UI.", Defect.__name__


def _error_code(metadata: Mapping[str, object], partition_key: str) -> str:
    found = metadata.get(_FAILED_SHOPS)
    codes = found.value if isinstance(found, JsonMetadataValue) else None
    code = codes.get(partition_key) if isinstance(codes, dict) else None
    return code if isinstance(code, str) else Defect.__name__
