"""The job that keeps the logs of runs and syncs and the raw archive from growing for ever."""

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

from connector_pipeline.archive import retention
from connector_pipeline.archive.raw_archive import RawArchive
from connector_pipeline.assets.checks import CATALOG_ITEMS
from connector_pipeline.assets.shop_health import SHOP_HEALTH
from connector_pipeline.automation.own_storage import StorageOfAnother, refuse_storage_of_another
from connector_pipeline.engine.run_tags import BEHIND_OTHERS
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.postgres.bounded_connection import under
from connector_pipeline.postgres.database import Database
from connector_pipeline.postgres.limits import PRUNING
from connector_pipeline.settings import load_settings
from connector_pipeline.state import pruning
from connector_pipeline.state.registry import ShopRegistry

AT_NIGHT: Final = "17 3 * * *"


@op(config_schema={})
def prune_event_log(context: OpExecutionContext, database: ResourceParam[Database]) -> None:
    """Delete our runs older than EVENT_LOG_KEEP from Dagster, except those its UI still shows.

    Raises Failure if Dagster's storage is not one that engine/pruning.py was tried with, or is
    another deployment's.
    """
    # Imported here: it brings SQLAlchemy, Alembic and Dagster's storage, which no other process
    # needs to load the definitions.
    from connector_pipeline.engine.pruning import NotPostgres, UnknownRevision, prune, repository_of

    keep = load_settings().event_log_keep
    try:
        refuse_storage_of_another(context.instance, database, claims=False)
        counts = prune(
            context.instance,
            keep=keep,
            now=datetime.now(UTC),
            repository=repository_of(context.run),
            reported=(SHOP_HEALTH, CATALOG_ITEMS),
        ).counts()
    except (NotPostgres, UnknownRevision, StorageOfAnother) as error:
        raise Failure(str(error), allow_retries=False) from None
    _report(context, counts)


@op(config_schema={})
def prune_sync_log(context: OpExecutionContext, database: ResourceParam[Database]) -> None:
    """Delete syncs older than SYNC_LOG_KEEP, the queue's ended rows, and hints of other days."""
    with database.connect() as connection, under(connection, PRUNING):
        counts = pruning.prune(connection, keep=load_settings().sync_log_keep)
    _report(context, counts)


@op(config_schema={})
def prune_raw_archive(
    context: OpExecutionContext,
    database: ResourceParam[Database],
    raw_archive: ResourceParam[RawArchive],
) -> None:
    """Delete interrupted syncs a day old, and inactive shops not synced for SYNC_LOG_KEEP."""
    shops = ShopRegistry(database=database).list()
    active = {shop.partition_key for shop in shops if shop.state is ShopState.ACTIVE}
    pruned = retention.prune(
        raw_archive.storage(),
        is_active=active.__contains__,
        keep=load_settings().sync_log_keep,
        now=datetime.now(UTC),
    )
    _report(context, {"interrupted_syncs": pruned.interrupted, "shops": pruned.shops})


def _report(context: OpExecutionContext, counts: Mapping[str, int]) -> None:
    context.log.info(", ".join(f"{name}: {count}" for name, count in counts.items()))
    context.add_output_metadata({name: MetadataValue.int(count) for name, count in counts.items()})


@job(
    description="Deletes old runs, events, syncs and raw pages that nobody needs; the state of "
    "partitions and shops stays.",
    tags=BEHIND_OTHERS,
)
def prune_logs() -> None:
    """Run three ops that do not depend on each other."""
    prune_event_log()
    prune_sync_log()
    prune_raw_archive()


prune_logs_daily: Final = ScheduleDefinition(
    name="prune_logs_daily",
    job=prune_logs,
    cron_schedule=AT_NIGHT,
    execution_timezone="UTC",
    description="Deletes old runs, events, syncs and raw pages that nobody needs.",
    default_status=DefaultScheduleStatus.RUNNING,
)
