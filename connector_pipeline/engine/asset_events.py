"""Write events about assets' partitions that Dagster's public API cannot write.

Tried with Dagster 1.13.27, which behaves as follows:

- Dagster derives the status of a partition from the latest event that plans its materialization,
  the latest that materializes it, and the status of the planning event's run. A partition that is
  planned and not materialized is in progress while that run goes on, and failed once it has failed.
- Dagster runs one key or a range of keys, and cuts any other selection into ranges: a hundred
  scattered shops become a hundred runs of each asset. A run over a range with gaps plans the keys
  in the gaps, too. So a run over listed shops has no partitions, and writes these events itself.

Needs: `dagster._core.events` and `StepExecutionContext._metadata_accumulator`. A public way to run
any set of partitions in one run would replace this module. A public event for planned
materializations would replace its first two functions.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from dagster import (
    AssetCheckEvaluation,
    AssetExecutionContext,
    AssetKey,
    AssetMaterialization,
    DagsterEventType,
    OpExecutionContext,
)
from dagster._core.events import (
    AssetMaterializationPlannedData,
    DagsterEvent,
    DagsterEventBatchMetadata,
    generate_event_batch_id,
)


def plan_materializations(
    context: OpExecutionContext | AssetExecutionContext,
    asset_key: AssetKey,
    partition_keys: Sequence[str],
) -> None:
    """Write that this run is going to materialize these partitions of the asset.

    Those that it has not materialized when it fails are failed.
    """
    batch = generate_event_batch_id()
    for number, key in enumerate(partition_keys, start=1):
        context.instance.report_dagster_event(
            DagsterEvent.build_asset_materialization_planned_event(
                context.run.job_name,
                context.get_step_execution_context().step.key,
                AssetMaterializationPlannedData(asset_key, partition=key),
            ),
            context.run.run_id,
            logging.DEBUG,
            DagsterEventBatchMetadata(batch, number == len(partition_keys)),
        )


def write_materializations(
    context: OpExecutionContext | AssetExecutionContext,
    materializations: Sequence[AssetMaterialization],
) -> None:
    """Write the materializations as one batch: one by one, each would cost a transaction."""
    step_context = context.get_step_execution_context()
    batch = generate_event_batch_id()
    for number, materialization in enumerate(materializations, start=1):
        DagsterEvent.asset_materialization(
            step_context,
            materialization,
            DagsterEventBatchMetadata(batch, number == len(materializations)),
        )


def add_partition_metadata(
    context: AssetExecutionContext, asset_key: AssetKey, metadata: Mapping[str, Mapping[str, Any]]
) -> None:
    """Add metadata, by partition key, to the partitions that the step's output will materialize.

    The public `add_asset_metadata` reads all partitions of the asset at each call, to check that
    the key is one of the run's: 40 ms per shop with 15,000 partitions. The caller of this function
    gives only keys of the run.
    """
    step_context = context.get_step_execution_context()
    accumulator = step_context._metadata_accumulator  # pyright: ignore[reportPrivateUsage]
    for key, of_partition in metadata.items():
        accumulator = accumulator.with_additional_asset_metadata(asset_key, key, of_partition)
    step_context._metadata_accumulator = accumulator  # pyright: ignore[reportPrivateUsage]


def log_check_evaluations(
    context: OpExecutionContext | AssetExecutionContext, evaluations: Sequence[AssetCheckEvaluation]
) -> None:
    """Log evaluations of checks from an op other than the checks' own, as one batch.

    Dagster takes them for the planned ones. Its own `log_event` writes them one by one.
    """
    step_context = context.get_step_execution_context()
    batch = generate_event_batch_id()
    for number, evaluation in enumerate(evaluations, start=1):
        passed = "passed" if evaluation.passed else "did not pass"
        DagsterEvent.from_step(
            DagsterEventType.ASSET_CHECK_EVALUATION,
            step_context,
            evaluation,
            f"Asset check '{evaluation.check_name}' on "
            f"'{evaluation.asset_key.to_user_string()}' {passed}. "
            f"Description: '{evaluation.description}'",
            DagsterEventBatchMetadata(batch, number == len(evaluations)),
        )
