"""Report to Dagster how each shop of a step ended, so that each partition has its own status.

All ways that Dagster offers for this were tried (docs/facts/dagster.md, One run, many shops). If
every shop succeeded, this module adds metadata per partition, and Dagster writes one
materialization each. If some failed, this module logs the materializations of those that succeeded
and fails the step: exactly the former are then materialized, and exactly the latter failed. Any
other way loses or doubles events.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager

from dagster import (
    AssetCheckEvaluation,
    AssetExecutionContext,
    AssetMaterialization,
    DagsterExecutionInterruptedError,
    Failure,
    MetadataValue,
    OpExecutionContext,
)

from connector_pipeline.engine.asset_events import (
    add_partition_metadata,
    log_check_evaluations,
    write_materializations,
)
from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.sync.interruptible import Interrupted
from connector_pipeline.sync.outcomes import as_connector_error, summarize

PartitionMetadata = Mapping[str, MetadataValue]
Evaluate = Callable[[Sequence[str]], Sequence[AssetCheckEvaluation]]


def report_partitions(
    context: AssetExecutionContext,
    succeeded: Mapping[str, PartitionMetadata],
    failed: Mapping[str, ConnectorError],
    *,
    evaluate: Evaluate | None = None,
) -> None:
    """Report the partitions that succeeded, with their metadata, and those that failed.

    If any shop failed, Dagster skips the checks that follow the step; `evaluate` then evaluates
    them for the shops that succeeded. Raises Failure if any shop failed.
    """
    if not failed:
        add_partition_metadata(context, context.asset_key, succeeded)
        return
    write_materializations(
        context,
        [
            AssetMaterialization(context.asset_key, partition=key, metadata=metadata)
            for key, metadata in succeeded.items()
        ],
    )
    if succeeded and evaluate is not None:
        report_checks(context, evaluate, list(succeeded))
    raise failure_of(
        {key: error.code for key, error in failed.items()},
        summarize(failed, of=len(succeeded) + len(failed)),
    )


def report_checks(
    context: OpExecutionContext | AssetExecutionContext,
    evaluate: Evaluate,
    partition_keys: Sequence[str],
) -> None:
    """Evaluate the checks for these shops and log the evaluations. An error fails no shop."""
    try:
        evaluations = evaluate(partition_keys)
    except Exception as error:
        named = as_connector_error(error)
        context.log.warning(f"The checks were not evaluated: {named.code}: {named}")
        return
    log_check_evaluations(context, evaluations)


def failure_of(error_codes: Mapping[str, str], summary: str) -> Failure:
    """The failure of a step in which shops failed, with their error codes by partition key."""
    return Failure(
        summary,
        metadata={"failed_shops": MetadataValue.json(dict(error_codes))},
        # A retry would repeat the whole step, also for the shops that succeeded.
        allow_retries=False,
    )


@contextmanager
def interrupts_cancel_the_run() -> Generator[None]:
    """Turn Interrupted into the exception by which Dagster ends a cancelled run."""
    try:
        yield
    except Interrupted:
        raise DagsterExecutionInterruptedError from None
