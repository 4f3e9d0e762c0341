"""The job that erases shops of which a platform demands it, and the schedule that launches it.

A receiver of webhooks records a demand with the delivery (state/erase_demands.py). Here it is tried
until it is done, so that a demand is never lost and nothing waits for it. The run names no shop: it
would be among the runs that the erasure deletes. Where the pipeline's user may not delete rows of
the catalog, no run is launched, and an operator runs `connector-pipeline shops erase --demanded`.
"""

from typing import Final

from dagster import (
    DefaultScheduleStatus,
    MetadataValue,
    OpExecutionContext,
    ResourceParam,
    RunRequest,
    ScheduleEvaluationContext,
    SkipReason,
    job,  # pyright: ignore[reportUnknownVariableType]  # partly untyped there
    op,
    schedule,  # pyright: ignore[reportUnknownVariableType]  # partly untyped there
)

from connector_pipeline.archive.raw_archive import RawArchive
from connector_pipeline.engine.run_tags import BEHIND_OTHERS
from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.postgres.database import Database
from connector_pipeline.settings import load_settings
from connector_pipeline.state import erase_demands
from connector_pipeline.state.error_text import stored_text

QUARTER_HOURLY: Final = "*/15 * * * *"


@op(config_schema={})
def erase_shops_of_demands(
    context: OpExecutionContext,
    database: ResourceParam[Database],
    raw_archive: ResourceParam[RawArchive],
) -> None:
    """Erase each shop of which it is demanded; one that cannot be erased now is tried again.

    Why it cannot is kept with the demand, and not in the run's log, which outlives the shop.
    """
    # Imported here: it brings SQLAlchemy, Alembic and Dagster's storage, which no other process
    # needs to load the definitions.
    from connector_pipeline.automation.erasing import erase_shop

    settings = load_settings()
    with database.connect() as connection:
        demands = erase_demands.waiting(connection)
    erased = 0
    for demand in demands:
        try:
            erase_shop(
                demand.partition_key,
                database=database,
                raw_archive=raw_archive,
                instance=context.instance,
                logs=settings.home / "logs",
                tells_readers=settings.nats_url is not None,
                waits=False,
            )
            erased += 1
        except ConnectorError as error:
            context.log.warning(f"a shop cannot be erased now: {error.code}.")
            with database.connect() as connection:
                erase_demands.tried(connection, demand.partition_key, stored_text(error))
    context.log.info(f"{erased} of {len(demands)} shops were erased.")
    context.add_output_metadata(
        {"demands": MetadataValue.int(len(demands)), "erased": MetadataValue.int(erased)}
    )


@job(
    description="Erases the shops of which a platform demands it, e.g. after a merchant has left.",
    tags=BEHIND_OTHERS,
)
def erase_demanded_shops() -> None:
    """Run one op."""
    erase_shops_of_demands()


@schedule(
    job=erase_demanded_shops,
    cron_schedule=QUARTER_HOURLY,
    execution_timezone="UTC",
    description="Erases the shops of which a platform demands it. Launches no run while none does.",
    default_status=DefaultScheduleStatus.RUNNING,
)
def erase_demanded_shops_quarter_hourly(
    context: ScheduleEvaluationContext, database: ResourceParam[Database]
) -> RunRequest | SkipReason:
    """Launch the job if a demand waits and the database's user may do what it demands."""
    try:
        with database.connect() as connection:
            demands = erase_demands.waiting(connection)
        if not demands:
            return SkipReason("No platform demands that a shop is erased.")
        from connector_pipeline.automation.erasing import refuse_without_rights

        refuse_without_rights(database)
    except ConnectorError as error:
        return SkipReason(f"{error.code}: {error}")
    return RunRequest()
