"""The job `sync_shops`: fetch and publish a list of shops that need not be a range of partitions.

Dagster runs one key or a range of keys, and cuts any other selection into ranges: a hundred
scattered shops become a hundred runs of each asset. So this job has no partitions, and its run
writes the events of the listed shops itself (engine/asset_events.py): at its start it plans every
shop and asset, and it materializes each that succeeded. So exactly the listed shops get a status. A
shop that cannot be fetched does not affect the others: the run publishes all that were fetched.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from dagster import (
    AssetKey,
    AssetMaterialization,
    Config,
    OpExecutionContext,
    ResourceParam,
    job,  # pyright: ignore[reportUnknownVariableType]  # partly untyped there
    op,
)

from connector_pipeline.archive.manifest import SnapshotManifest
from connector_pipeline.assets.catalog_items import catalog_items
from connector_pipeline.assets.checks import evaluations
from connector_pipeline.assets.metadata import publish_metadata, snapshot_metadata
from connector_pipeline.assets.raw_products import raw_products
from connector_pipeline.assets.reporting import (
    PartitionMetadata,
    failure_of,
    interrupts_cancel_the_run,
    report_checks,
)
from connector_pipeline.assets.run_identity import BACKFILL_TAG, SWEEP_TAG, run_identity
from connector_pipeline.engine.asset_events import plan_materializations, write_materializations
from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.model.sync import RequestedSyncType
from connector_pipeline.postgres.database import Database
from connector_pipeline.settings import load_settings
from connector_pipeline.state import backfills, sweeps
from connector_pipeline.sync.outcomes import Outcomes, summarize
from connector_pipeline.sync.publishing import Published
from connector_pipeline.sync.run import fetch_shops, publish_shops
from connector_pipeline.sync.services import SyncServices

JOB: Final = "sync_shops"
_OP: Final = "fetch_and_publish"


class SyncShopsConfig(Config):
    """Run config of `sync_shops`: the shops' partition keys, and the type of their syncs."""

    shops: list[str]
    sync_type: RequestedSyncType = RequestedSyncType.auto


def run_config(
    shops: Sequence[str], sync_type: RequestedSyncType = RequestedSyncType.auto
) -> dict[str, Any]:
    """The run config that syncs these shops."""
    return {"ops": {_OP: {"config": {"shops": list(shops), "sync_type": sync_type.name}}}}


def listed_shops(config: Mapping[str, Any]) -> list[str]:
    """The partition keys of the shops that a run config of this job lists."""
    return list(config.get("ops", {}).get(_OP, {}).get("config", {}).get("shops", []))


@op(name=_OP)
def _fetch_and_publish(
    context: OpExecutionContext, config: SyncShopsConfig, services: ResourceParam[SyncServices]
) -> None:
    """Fetch the listed shops and publish those that were fetched. Raises Failure if any failed."""
    keys = list(dict.fromkeys(config.shops))
    for asset in (raw_products, catalog_items):
        plan_materializations(context, asset.key, keys)
    run, settings = run_identity(context.run), load_settings()

    fetched = Outcomes[SnapshotManifest](context.log)
    try:
        with interrupts_cancel_the_run():
            fetch_shops(
                services,
                keys,
                run=run,
                sync_type=config.sync_type,
                settings=settings,
                outcomes=fetched,
            )
    finally:
        # Also if the run was cancelled: the archive has the snapshots that were fetched.
        snapshots = {
            key: snapshot_metadata(fetched.succeeded[key], services.raw_archive)
            for key in keys
            if key in fetched.succeeded
        }
        _materialize(context, raw_products.key, snapshots)

    published = Outcomes[Published](context.log)
    try:
        publish_shops(
            services,
            list(snapshots),
            run=run,
            allow_shrink=False,
            settings=settings,
            outcomes=published,
        )
    finally:
        _materialize(
            context,
            catalog_items.key,
            {key: publish_metadata(outcome) for key, outcome in published.succeeded.items()},
        )
    if published.succeeded:
        report_checks(context, partial(evaluations, services.database), list(published.succeeded))

    failed = {key: error.code for key, error in (fetched.failed | published.failed).items()}
    _record_outcomes(context, services.database, {key: failed.get(key) for key in keys})
    if failed:
        summaries = [
            summarize(of_asset, of=shops)
            for of_asset, shops in ((fetched.failed, len(keys)), (published.failed, len(snapshots)))
            if of_asset
        ]
        raise failure_of(failed, "\n\n".join(summaries))


@job(
    name=JOB,
    description=(
        "Fetches and publishes the listed shops; a shop that fails does not affect the others. "
        "Sweeps and `connector-pipeline backfill` launch it."
    ),
)
def sync_shops() -> None:
    """Run one op. A retry of a crashed run repeats it as a whole and resumes the run's syncs."""
    _fetch_and_publish()


def _materialize(
    context: OpExecutionContext, asset_key: AssetKey, metadata: Mapping[str, PartitionMetadata]
) -> None:
    write_materializations(
        context,
        [
            AssetMaterialization(asset_key, partition=key, metadata=of_shop)
            for key, of_shop in metadata.items()
        ],
    )


def _record_outcomes(
    context: OpExecutionContext, database: Database, error_codes: Mapping[str, str | None]
) -> None:
    """Record how each shop ended for the sweep or backfill of the run; None means success."""
    tags = context.run.tags
    try:
        with database.connect() as connection:
            if SWEEP_TAG in tags:
                sweeps.record_outcomes(connection, tags[SWEEP_TAG], error_codes)
            if BACKFILL_TAG in tags:
                backfills.record_outcomes(connection, tags[BACKFILL_TAG], error_codes)
    except ConnectorError as error:
        context.log.warning(f"How the shops ended was not recorded: {error.code}: {error}")
