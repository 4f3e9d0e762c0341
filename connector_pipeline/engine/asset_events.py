"""Events about assets' partitions that Dagster's public API has no way to write.

Tried with Dagster 1.13.27; what was seen there:

- The status of a partition is made of the latest event that plans its materialization, the latest
  that materializes it, and the status of the planning event's run: planned and not materialized is
  in progress while that run goes on, and failed once it has failed.
- Dagster runs one key or a range of keys, and cuts whatever else is asked for into ranges: a
  hundred scattered shops become a hundred runs of each asset. A range run that covers the holes
  plans every key between. So a run over listed shops has no partitions, and writes these events
  itself.

Needs: `dagster._core.events` and `StepExecutionContext._metadata_accumulator`. A public way to run
any set of partitions in one run would replace all of it; a public event for planned
materializations the first two functions.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dagster import (
    AssetCheckEvaluation,
    AssetExecutionContext,
    AssetKey,
    AssetMaterialization,
    OpExecutionContext,
)
from dagster._core.events import (
    AssetMaterializationPlannedData,
    DagsterEvent,
    DagsterEventBatchMetadata,
    generate_event_batch_id,
)


def plan_materializations(
    context: OpExecutionContext, asset_key: AssetKey, partition_keys: Sequence[str]
) -> None:
    """Say that this run is going to materialize these partitions of the asset."""
    batch = generate_event_batch_id()
    for number, key in enumerate(partition_keys, start=1):
        context.instance.report_dagster_event(
            DagsterEvent.build_asset_materialization_planned_event(
                context.job_name,
                context.get_step_execution_context().step.key,
                AssetMaterializationPlannedData(asset_key, partition=key),
            ),
            context.run_id,
            logging.DEBUG,
            DagsterEventBatchMetadata(batch, number == len(partition_keys)),
        )


def write_materializations(
    context: OpExecutionContext, materializations: Sequence[AssetMaterialization]
) -> None:
    """Write the materializations together: one by one, each costs a transaction of its own."""
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
    """Add metadata to the partitions that the step's output is going to materialize, by their key.

    The public `add_asset_metadata` reads all partitions there are at each call, to see whether the
    key is one of the run's: 40 ms a shop where there are 15,000. The keys here are the run's own.
    """
    step_context = context.get_step_execution_context()
    accumulator = step_context._metadata_accumulator  # pyright: ignore[reportPrivateUsage]
    for key, of_partition in metadata.items():
        accumulator = accumulator.with_additional_asset_metadata(asset_key, key, of_partition)
    step_context._metadata_accumulator = accumulator  # pyright: ignore[reportPrivateUsage]


def log_check_evaluations(
    context: OpExecutionContext | AssetExecutionContext, evaluations: Iterable[AssetCheckEvaluation]
) -> None:
    """Log evaluations of checks outside of the checks' own op, as the run's own.

    `log_event` takes them and Dagster treats them as the planned ones, though its annotation leaves
    them out.
    """
    for evaluation in evaluations:
        context.log_event(evaluation)  # pyright: ignore[reportArgumentType]
