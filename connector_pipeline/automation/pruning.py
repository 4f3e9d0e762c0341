"""The job that keeps Dagster's log of runs and the project's log of syncs from growing for ever."""

from collections.abc import Mapping
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

from connector_pipeline.engine.run_tags import BEHIND_OTHERS
from connector_pipeline.postgres.bounded_connection import under
from connector_pipeline.postgres.database import Database
from connector_pipeline.postgres.limits import PRUNING
from connector_pipeline.settings import load_settings
from connector_pipeline.state import pruning

AT_NIGHT: Final = "17 3 * * *"


@op
def prune_event_log(context: OpExecutionContext) -> None:
    """Delete Dagster's runs older than EVENT_LOG_KEEP, except those that its UI still shows.

    Raises Failure if Dagster's storage is not one that engine/pruning.py was tried with.
    """
    # Imported here: it brings SQLAlchemy, Alembic and Dagster's storage, which no other process
    # needs to load the definitions.
    from connector_pipeline.engine.pruning import NotPostgres, UnknownRevision, prune

    keep = load_settings().event_log_keep
    try:
        counts = prune(context.instance, keep=keep, now=datetime.now(UTC)).counts()
    except (NotPostgres, UnknownRevision) as error:
        raise Failure(str(error), allow_retries=False) from None
    _report(context, counts)


@op
def prune_sync_log(context: OpExecutionContext, database: ResourceParam[Database]) -> None:
    """Delete the project's rows of syncs older than SYNC_LOG_KEEP, and the queue's ended ones."""
    with database.connect() as connection, under(connection, PRUNING):
        counts = pruning.prune(connection, keep=load_settings().sync_log_keep)
    _report(context, counts)


def _report(context: OpExecutionContext, counts: Mapping[str, int]) -> None:
    context.log.info(", ".join(f"{name}: {count}" for name, count in counts.items()))
    context.add_output_metadata({name: MetadataValue.int(count) for name, count in counts.items()})


@job(
    description="Deletes old runs, events and syncs; the state of partitions and shops stays.",
    tags=BEHIND_OTHERS,
)
def prune_logs() -> None:
    """Run two ops that do not depend on each other."""
    prune_event_log()
    prune_sync_log()


prune_logs_daily: Final = ScheduleDefinition(
    name="prune_logs_daily",
    job=prune_logs,
    cron_schedule=AT_NIGHT,
    execution_timezone="UTC",
    default_status=DefaultScheduleStatus.RUNNING,
)
