"""The asset `catalog_items`: a shop's newest raw snapshot as rows of the internal schema."""

from functools import partial
from typing import Final

from dagster import AssetExecutionContext, Field, ResourceParam, asset

from connector_pipeline.assets.checks import evaluations
from connector_pipeline.assets.io_manager import ShopsToPublish
from connector_pipeline.assets.metadata import publish_metadata
from connector_pipeline.assets.partitions import shops
from connector_pipeline.assets.raw_products import raw_products
from connector_pipeline.assets.reporting import report_partitions
from connector_pipeline.assets.run_identity import run_identity
from connector_pipeline.sync.outcomes import Outcomes
from connector_pipeline.sync.publishing import Published
from connector_pipeline.sync.services import SyncServices

_ALLOW_SHRINK: Final = Field(
    bool,
    is_required=False,
    default_value=False,
    description="Confirm that a shop lost most of its items.",
)


@asset(
    partitions_def=shops,
    config_schema={"allow_shrink": _ALLOW_SHRINK},
    deps=[raw_products],
    io_manager_key="catalog_io_manager",
    kinds={"postgres"},
    group_name="catalog",
)
def catalog_items(
    context: AssetExecutionContext, services: ResourceParam[SyncServices]
) -> ShopsToPublish:
    """Give the IO manager the shops to publish and a function that reports how each one ended."""

    def report(outcomes: Outcomes[Published]) -> None:
        report_partitions(
            context,
            {key: publish_metadata(published) for key, published in outcomes.succeeded.items()},
            outcomes.failed,
            evaluate=partial(evaluations, services.database, context.instance),
            database=services.database,
        )

    return ShopsToPublish(
        partition_keys=list(context.partition_keys),
        run=run_identity(context.run),
        allow_shrink=context.op_execution_context.op_config["allow_shrink"],
        report=report,
    )
