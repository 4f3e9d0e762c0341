"""Report to Dagster how each shop of a step ended: each partition on its own account.

The ways that Dagster offers for this were tried (docs/facts/dagster.md, One run, many shops). Where
every shop succeeded, metadata is added per partition and Dagster writes one materialization each.
Where some failed, the good ones' materializations are logged here and the step fails: exactly the
good ones are then materialized and exactly the bad ones failed. Anything else loses or doubles
events.
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

from connector_pipeline.engine.asset_events import add_partition_metadata, log_check_evaluations
from connector_pipeline.model.errors import ConnectorError, Defect
from connector_pipeline.sync.interruptible import Interrupted
from connector_pipeline.sync.outcomes import summarize

PartitionMetadata = Mapping[str, MetadataValue]
Evaluate = Callable[[Sequence[str]], Sequence[AssetCheckEvaluation]]


def report_partitions(
    context: AssetExecutionContext,
    succeeded: Mapping[str, PartitionMetadata],
    failed: Mapping[str, ConnectorError],
    *,
    evaluate: Evaluate | None = None,
) -> None:
    """Report the step's partitions: those that succeeded with their metadata, those that failed.

    `evaluate` checks shops. It is asked for the good ones where others failed, because Dagster then
    skips the checks that follow the step. Raises Failure if any shop failed.
    """
    if not failed:
        add_partition_metadata(context, context.asset_key, succeeded)
        return
    for key, metadata in succeeded.items():
        context.log_event(AssetMaterialization(context.asset_key, partition=key, metadata=metadata))
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
    """Log the evaluations for these shops. Trouble with them is logged and fails no shop."""
    try:
        evaluations = evaluate(partition_keys)
    except Exception as error:
        named = error if isinstance(error, ConnectorError) else Defect.from_exception(error)
        context.log.warning(f"The checks were not evaluated: {named.code}: {named}")
        return
    log_check_evaluations(context, evaluations)


def failure_of(error_codes: Mapping[str, str], summary: str) -> Failure:
    """The failure of a step in which shops failed: their errors' codes by partition key."""
    return Failure(
        summary,
        metadata={"failed_shops": MetadataValue.json(dict(error_codes))},
        # A retry policy would repeat the whole batch, the good shops too.
        allow_retries=False,
    )


@contextmanager
def interrupts_cancel_the_run() -> Generator[None]:
    """Turn an interrupted fetch into what Dagster takes for the end of a cancelled run."""
    try:
        yield
    except Interrupted:
        raise DagsterExecutionInterruptedError from None
