"""The asset `raw_products`: a shop's pages in the raw archive, as its platform sent them."""

from functools import partial
from itertools import islice
from typing import Final

from dagster import AssetExecutionContext, ResourceParam, asset

from connector_pipeline.archive.manifest import SnapshotManifest
from connector_pipeline.assets.checks import CATALOG_ITEMS, evaluations
from connector_pipeline.assets.metadata import snapshot_metadata
from connector_pipeline.assets.partitions import shops
from connector_pipeline.assets.reporting import (
    interrupts_cancel_the_run,
    report_checks,
    report_partitions,
)
from connector_pipeline.assets.run_config import sync_type_field
from connector_pipeline.assets.run_identity import run_identity, shops_to_sync
from connector_pipeline.platforms.adapters import BUILT_IN
from connector_pipeline.settings import load_settings
from connector_pipeline.sync.outcomes import Outcomes
from connector_pipeline.sync.run import fetch_shops
from connector_pipeline.sync.services import SyncServices

_KINDS: Final = set(islice(BUILT_IN, 3))
"""The platforms that the UI shows on the asset: Dagster allows an asset three kinds at most."""


@asset(
    partitions_def=shops,
    config_schema={"sync_type": sync_type_field()},
    kinds=_KINDS,
    group_name="catalog",
)
def raw_products(context: AssetExecutionContext, services: ResourceParam[SyncServices]) -> None:
    """Fetch the run's shops, several at once. Raises Failure at the end if any shop failed."""
    sync_type = context.op_execution_context.op_config["sync_type"]
    outcomes = Outcomes[SnapshotManifest](context.log)
    with interrupts_cancel_the_run():
        fetch_shops(
            services,
            shops_to_sync(context.run, context.partition_keys, sync_type),
            run=run_identity(context.run),
            settings=load_settings(),
            outcomes=outcomes,
        )
    if outcomes.failed:
        # Dagster skips the checks of this run, and shows checks that were skipped as failed ones.
        judge = partial(evaluations, services.database, context.instance)
        report_checks(context, judge, list(context.partition_keys))
    report_partitions(
        context,
        {
            key: snapshot_metadata(manifest, services.raw_archive)
            for key, manifest in outcomes.succeeded.items()
        },
        outcomes.failed,
        database=services.database,
        fails_too=CATALOG_ITEMS,
    )
