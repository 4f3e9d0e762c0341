"""The job that keeps the logs from growing for ever: Dagster's, and our own of syncs."""

from datetime import UTC, datetime
from typing import Final

from dagster import (
    DefaultScheduleStatus,
    Failure,
    MetadataValue,
    OpExecutionContext,
    ResourceParam,
    ScheduleDefinition,
    job,  # pyright: ignore[reportUnknownVariableType]  # partly untyped there
    op,
)

from connector_pipeline.engine.pruning import NotPostgres, UnknownRevision, prune
from connector_pipeline.engine.run_tags import BEHIND_OTHERS
from connector_pipeline.postgres.database import Database
from connector_pipeline.settings import load_settings
from connector_pipeline.state import pruning

AT_NIGHT: Final = "17 3 * * *"


@op
def prune_event_log(context: OpExecutionContext) -> None:
    """Delete Dagster's runs older than EVENT_LOG_KEEP, but for what its UI shows of today.

    Raises Failure where Dagster's storage is none that this version of the code may delete from.
    """
    keep = load_settings().event_log_keep
    try:
        counts = prune(context.instance, keep=keep, now=datetime.now(UTC)).counts()
    except (NotPostgres, UnknownRevision) as error:
        raise Failure(str(error), allow_retries=False) from None
    context.log.info(", ".join(f"{name}: {count}" for name, count in counts.items()))
    context.add_output_metadata({name: MetadataValue.int(count) for name, count in counts.items()})


@op
def prune_sync_log(context: OpExecutionContext, database: ResourceParam[Database]) -> None:
    """Delete our rows of syncs, sweeps and backfills older than SYNC_LOG_KEEP."""
    with database.connect() as connection:
        counts = pruning.prune(connection, keep=load_settings().sync_log_keep)
    context.log.info(", ".join(f"{name}: {count}" for name, count in counts.items()))
    context.add_output_metadata({name: MetadataValue.int(count) for name, count in counts.items()})


@job(
    description="Deletes old runs, events and syncs; what is shown of a partition or shop stays.",
    tags=BEHIND_OTHERS,
)
def prune_logs() -> None:
    """Two ops that have nothing to do with each other."""
    prune_event_log()
    prune_sync_log()


prune_logs_daily: Final = ScheduleDefinition(
    name="prune_logs_daily",
    job=prune_logs,
    cron_schedule=AT_NIGHT,
    execution_timezone="UTC",
    default_status=DefaultScheduleStatus.RUNNING,
)
