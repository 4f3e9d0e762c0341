"""The job `sync_shops`: fetch and publish a list of shops that need not be a range of partitions.

Dagster runs one key or a range of keys, and cuts any other selection into ranges: a hundred
scattered shops become a hundred runs of each asset. So this job has no partitions, and its run
writes the events of the listed shops itself (engine/asset_events.py): at its start it plans every
shop and asset, and it materializes each that succeeded. So exactly the listed shops get a status. A
shop that cannot be fetched does not affect the others: each is published as soon as it was fetched.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from dagster import (
    AssetKey,
    AssetMaterialization,
    Field,
    Noneable,
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
    explain_failures,
    failure_of,
    interrupts_cancel_the_run,
    report_checks,
    troubles_of_shops,
)
from connector_pipeline.assets.run_config import sync_type_field
from connector_pipeline.assets.run_identity import run_identity
from connector_pipeline.engine.asset_events import plan_materializations, write_materializations
from connector_pipeline.engine.plain_failure import PlainFailure
from connector_pipeline.model.sync import ShopToSync
from connector_pipeline.platforms.adapters import BUILT_IN
from connector_pipeline.settings import load_settings
from connector_pipeline.sync.outcomes import Outcomes, summarize
from connector_pipeline.sync.publishing import Published
from connector_pipeline.sync.run import sync_shops as sync_shops_of_a_run
from connector_pipeline.sync.services import SyncServices

JOB: Final = "sync_shops"
_OP: Final = "fetch_and_publish"
_KEY: Final = f"{min(BUILT_IN)}/DOMAIN"
_EXAMPLE: Final = f"""\
ops:
  {_OP}:
    config:
      shops:
        - shop: {_KEY}
          sync_type: full
        - shop: {max(BUILT_IN)}/DOMAIN
"""
_NO_SHOP: Final = (
    "The run config lists no shop: `shops` is empty. Launch the job again with at least one, for "
    f"example:\n\n{_EXAMPLE}"
)


_SHOP: Final = {
    "shop": Field(str, description=f"The shop's partition key, {_KEY}"),
    "sync_type": sync_type_field(),
    "sync_id": Field(
        Noneable(str),
        is_required=False,
        description="Of the request that is answered. Leave it out: the run makes one.",
    ),
    "correlation_id": Field(
        Noneable(str), is_required=False, description="Of the request that is answered."
    ),
}
"""A shop of a run: its partition key, and its sync's type and identity.

The queue gives each shop its sync_id and its requester's correlation id.
"""
_SHOPS: Final = Field(
    [_SHOP], description=f"The shops in the order in which they are read: [{{shop: {_KEY}}}]"
)


def run_config(shops: Sequence[ShopToSync]) -> dict[str, Any]:
    """The run config that syncs these shops."""
    listed: list[dict[str, str]] = []
    for shop in shops:
        of_shop = {"shop": shop.partition_key, "sync_type": shop.sync_type.name}
        if shop.sync_id is not None:
            of_shop["sync_id"] = shop.sync_id
        if shop.correlation_id is not None:
            of_shop["correlation_id"] = shop.correlation_id
        listed.append(of_shop)
    return {"ops": {_OP: {"config": {"shops": listed}}}}


def listed_shops(config: Mapping[str, Any]) -> list[str]:
    """The partition keys of the shops that a run config of this job lists."""
    listed = config.get("ops", {}).get(_OP, {}).get("config", {}).get("shops", [])
    return [str(shop["shop"]) for shop in listed]


@op(name=_OP, config_schema={"shops": _SHOPS})
def _fetch_and_publish(context: OpExecutionContext, services: ResourceParam[SyncServices]) -> None:
    """Fetch the listed shops and publish those that were fetched. Raises Failure if any failed."""
    shops = _shops_to_sync(context.op_config["shops"])
    if not shops:
        raise PlainFailure(_NO_SHOP, allow_retries=False)
    keys = [shop.partition_key for shop in shops]
    for asset in (raw_products, catalog_items):
        plan_materializations(context, asset.key, keys)

    fetched = Outcomes[SnapshotManifest](context.log)
    published = Outcomes[Published](context.log)
    try:
        with interrupts_cancel_the_run():
            sync_shops_of_a_run(
                services,
                shops,
                run=run_identity(context.run),
                settings=load_settings(),
                fetched=fetched,
                published=published,
            )
    finally:
        # Also if the run was cancelled: these snapshots and these rows are there.
        _materialize(
            context,
            raw_products.key,
            {
                key: snapshot_metadata(manifest, services.raw_archive)
                for key, manifest in fetched.succeeded.items()
            },
        )
        _materialize(
            context,
            catalog_items.key,
            {key: publish_metadata(outcome) for key, outcome in published.succeeded.items()},
        )
    if published.succeeded:
        report_checks(
            context,
            partial(evaluations, services.database, context.instance),
            list(published.succeeded),
        )

    failed = {key: error.code for key, error in (fetched.failed | published.failed).items()}
    if failed:
        troubles = troubles_of_shops(context, list(failed), services.database)
        explain_failures(context, raw_products.key, fetched.failed, troubles)
        # A shop that was not read is not published either, and both of its partitions are red.
        explain_failures(context, catalog_items.key, fetched.failed | published.failed, troubles)
        summaries = [
            summarize(of_asset, of=of)
            for of_asset, of in (
                (fetched.failed, len(keys)),
                (published.failed, len(fetched.succeeded)),
            )
            if of_asset
        ]
        raise failure_of(failed, "\n\n".join(summaries), troubles)


def _shops_to_sync(config: Sequence[Mapping[str, Any]]) -> list[ShopToSync]:
    """The shops of the run config. Where a shop is listed twice, the first time counts."""
    shops: dict[str, ShopToSync] = {}
    for listed in config:
        shop = ShopToSync(
            partition_key=listed["shop"],
            sync_type=listed["sync_type"],
            sync_id=listed.get("sync_id"),
            correlation_id=listed.get("correlation_id"),
        )
        shops.setdefault(shop.partition_key, shop)
    return list(shops.values())


@job(
    name=JOB,
    description=(
        "Fetches and publishes the listed shops; a shop that fails does not affect the others. "
        "The queue launches it, for requests, backfills and sweeps. To launch it by hand, list "
        f"registered shops in the Launchpad:\n\n```yaml\n{_EXAMPLE}```\n"
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
