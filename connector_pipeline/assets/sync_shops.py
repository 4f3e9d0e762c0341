"""The job `sync_shops`: both assets for a list of shops, wherever in the partitions they are.

Dagster runs one key or a range of keys, and cuts whatever else is asked for into ranges: a hundred
scattered shops become a hundred runs of each asset. Read in Dagster 1.13.27, and tried:

- A range run that covers the holes plans every key between, and marks them failed or materialized.
- `DagsterRun.partitions_subset` takes ranges of keys too, and is made from the run's range alone.
- The status of a partition is made of the latest event that plans its materialization, the latest
  that materializes it, and the status of the planning event's run: planned and not materialized is
  in progress while that run goes on, and failed once it has failed.

So this job has no partitions, and its run writes these events itself: planned for every shop and
asset at its start, materialized for what succeeded. Exactly the listed shops get a status. What
fetches and publishes are the assets' own functions and IO manager, given a context that names the
listed shops. A shop that cannot be fetched costs no other its catalog: the run goes on with those
that were.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

from dagster import (
    AssetExecutionContext,
    AssetKey,
    AssetMaterialization,
    AssetsDefinition,
    Config,
    Failure,
    MetadataValue,
    OpExecutionContext,
    OutputContext,
    ResourceParam,
    job,  # pyright: ignore[reportUnknownVariableType]  # partly untyped there
    op,
)
from dagster._core.events import (
    AssetMaterializationPlannedData,
    DagsterEvent,
    DagsterEventBatchMetadata,
    generate_event_batch_id,
)

from connector_pipeline.archive.raw_archive import RawArchive
from connector_pipeline.assets.catalog_items import CatalogItemsConfig, catalog_items
from connector_pipeline.assets.checks import evaluations
from connector_pipeline.assets.io_manager import CatalogIOManager
from connector_pipeline.assets.raw_products import RawProductsConfig, raw_products
from connector_pipeline.credentials.token_service import TokenService
from connector_pipeline.model.errors import ConnectorError, Defect
from connector_pipeline.model.sync import RequestedSyncType
from connector_pipeline.platforms.shopify.adapter import ShopifyAdapter
from connector_pipeline.platforms.woocommerce.adapter import WooCommerceAdapter
from connector_pipeline.postgres.database import Database
from connector_pipeline.state import backfills, sweeps
from connector_pipeline.state.registry import ShopRegistry

JOB: Final = "sync_shops"
_OP: Final = "fetch_and_publish"
SWEEP_TAG: Final = "connector/sweep"
BACKFILL_TAG: Final = "connector/backfill"


class SyncShopsConfig(Config):
    """Run config of `sync_shops`: the shops' partition keys, and what to read of each."""

    shops: list[str]
    sync_type: RequestedSyncType = RequestedSyncType.auto


def run_config(
    shops: Sequence[str], sync_type: RequestedSyncType = RequestedSyncType.auto
) -> dict[str, Any]:
    """The run config that syncs these shops."""
    return {"ops": {_OP: {"config": {"shops": list(shops), "sync_type": sync_type.name}}}}


def listed_shops(config: Mapping[str, Any]) -> list[str]:
    """The shops that a run of this job is of, by its run config."""
    return list(config.get("ops", {}).get(_OP, {}).get("config", {}).get("shops", []))


@op(name=_OP)
def _fetch_and_publish(
    context: OpExecutionContext,
    config: SyncShopsConfig,
    database: Database,
    registry: ShopRegistry,
    token_service: TokenService,
    raw_archive: RawArchive,
    shopify: ResourceParam[ShopifyAdapter],
    woocommerce: ResourceParam[WooCommerceAdapter],
    catalog_io_manager: ResourceParam[CatalogIOManager],
) -> None:
    """Fetch the listed shops, publish those that were fetched. Raises Failure if any failed."""
    resources = {
        "database": database,
        "registry": registry,
        "raw_archive": raw_archive,
        "shopify": shopify,
        "woocommerce": woocommerce,
    }
    keys = list(dict.fromkeys(config.shops))
    raw = _Listed(context, raw_products.key, keys)
    catalog = _Listed(context, catalog_items.key, keys)
    _plan(context, (raw, catalog))

    def fetch() -> None:
        _function(raw_products)(
            context=raw.as_asset_context(),
            config=RawProductsConfig(sync_type=config.sync_type),
            token_service=token_service,
            **resources,
        )

    def publish() -> None:
        normalized = _function(catalog_items)(
            context=catalog.as_asset_context(), config=CatalogItemsConfig(), **resources
        )
        catalog_io_manager.handle_output(cast("OutputContext", catalog), normalized)
        # Where shops failed, ShopBatch has evaluated the checks itself.
        _log_evaluations(context, database, catalog.partition_keys)

    failures = [raw.attempt(fetch)]
    catalog.partition_keys = raw.materialized
    if catalog.partition_keys:
        failures.append(catalog.attempt(publish))
    failed = {
        key: code
        for failure in failures
        if failure is not None
        for key, code in _failed_shops(failure).items()
    }
    lost = set(keys) - set(catalog.materialized) - failed.keys()
    failed |= dict.fromkeys(lost, Defect.__name__)
    _record_outcomes(context, database, {key: failed.get(key) for key in keys})
    if failed:
        raise Failure(
            "\n\n".join(failure.description or "" for failure in failures if failure is not None),
            metadata={"failed_shops": MetadataValue.json(failed)},
            allow_retries=False,
        )


@job(
    name=JOB,
    description=(
        "Fetches and publishes the listed shops, each on its own account: what sweeps and "
        "`connector-pipeline backfill` launch for shops that are no range of partitions."
    ),
)
def sync_shops() -> None:
    """One op: a run that was interrupted is run again as a whole, and finds its syncs."""
    _fetch_and_publish()


class _Listed:
    """What an asset asks of its context, about listed shops instead of a range of partitions.

    Whatever is not named here is the op's own: its run, its log.
    """

    def __init__(self, context: OpExecutionContext, asset_key: AssetKey, keys: Sequence[str]):
        self._context = context
        self._materializations: dict[str, AssetMaterialization] = {}
        self.asset_key = asset_key
        self.partition_keys = list(keys)

    def as_asset_context(self) -> AssetExecutionContext:
        """Itself, as the assets' functions are annotated."""
        return cast("AssetExecutionContext", self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    @property
    def materialized(self) -> list[str]:
        """The shops that succeeded, in the order of the list."""
        return [key for key in self.partition_keys if key in self._materializations]

    def add_asset_metadata(self, metadata: Mapping[str, Any], *, partition_key: str) -> None:
        """The partition is to be materialized with this metadata, as it is in a range run."""
        self.log_event(
            AssetMaterialization(self.asset_key, partition=partition_key, metadata=metadata)
        )

    def log_event(self, event: Any) -> None:
        """Keep materializations until the end of `attempt`, so that they are written together."""
        if isinstance(event, AssetMaterialization) and event.partition is not None:
            self._materializations[event.partition] = event
        else:
            self._context.log_event(event)

    def attempt(self, step: Callable[[], None]) -> Failure | None:
        """Do the step and write what it materialized; the failure it names its failed shops by."""
        try:
            step()
        except Failure as failure:
            return failure
        else:
            return None
        finally:
            self._write_materializations()

    def _write_materializations(self) -> None:
        step_context = self._context.get_step_execution_context()
        batch = generate_event_batch_id()
        for number, event in enumerate(self._materializations.values(), start=1):
            DagsterEvent.asset_materialization(
                step_context,
                event,
                DagsterEventBatchMetadata(batch, number == len(self._materializations)),
            )


def _plan(context: OpExecutionContext, assets: Sequence[_Listed]) -> None:
    for asset in assets:
        batch = generate_event_batch_id()
        for number, key in enumerate(asset.partition_keys, start=1):
            context.instance.report_dagster_event(
                DagsterEvent.build_asset_materialization_planned_event(
                    context.job_name,
                    context.get_step_execution_context().step.key,
                    AssetMaterializationPlannedData(asset.asset_key, partition=key),
                ),
                context.run_id,
                logging.DEBUG,
                DagsterEventBatchMetadata(batch, number == len(asset.partition_keys)),
            )


def _function(asset: AssetsDefinition) -> Any:
    """The function an asset was made from: called directly, Dagster wants a context of its own."""
    return cast("Any", asset.op.compute_fn).decorated_fn


def _failed_shops(failure: Failure) -> Mapping[str, str]:
    found = failure.metadata.get("failed_shops")
    return {} if found is None else cast("Mapping[str, str]", found.value)


def _log_evaluations(
    context: OpExecutionContext, database: Database, published: Sequence[str]
) -> None:
    try:
        found = evaluations(database, published)
    except ConnectorError as error:
        context.log.warning(f"The checks were not evaluated: {error.code}: {error}")
        return
    for evaluation in found:
        # log_event takes them, though its annotation leaves them out.
        context.log_event(evaluation)  # pyright: ignore[reportArgumentType]


def _record_outcomes(
    context: OpExecutionContext, database: Database, outcomes: Mapping[str, str | None]
) -> None:
    """Tell whoever had the run launched how each shop ended: its error's code, None if well."""
    tags = context.run.tags
    try:
        with database.connect() as connection:
            if SWEEP_TAG in tags:
                sweeps.record_outcomes(connection, tags[SWEEP_TAG], outcomes)
            if BACKFILL_TAG in tags:
                backfills.record_outcomes(connection, tags[BACKFILL_TAG], outcomes)
    except ConnectorError as error:
        context.log.warning(f"How the shops ended was not recorded: {error.code}: {error}")
