"""The asset `raw_products`: what the platform says of a shop, page by page, in the raw archive."""

import asyncio
from typing import Final

from dagster import (
    AssetExecutionContext,
    Config,
    MetadataValue,
    asset,
)

from connector_pipeline.archive.manifest import SnapshotManifest
from connector_pipeline.archive.raw_archive import RawArchive
from connector_pipeline.assets.fetch import ShopFetcher
from connector_pipeline.assets.interruptible import run_interruptible
from connector_pipeline.assets.partitions import shops
from connector_pipeline.batch import PartitionMetadata, ShopBatch
from connector_pipeline.database import Database
from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.model.sync import RequestedSyncType
from connector_pipeline.platforms.shopify.api import ShopifyApi
from connector_pipeline.platforms.woocommerce.api import WooCommerceApi
from connector_pipeline.registry import ShopRegistry
from connector_pipeline.settings import ANY_SHOP, load_settings
from connector_pipeline.token_service import TokenService

ROOT_RUN_ID_TAG: Final = "dagster/root_run_id"
SYNC_ID_TAG: Final = "connector/sync_id"
CORRELATION_ID_TAG: Final = "connector/correlation_id"


class RawProductsConfig(Config):
    """Run config of `raw_products`."""

    sync_type: RequestedSyncType = RequestedSyncType.auto


@asset(
    partitions_def=shops,
    kinds={"shopify", "woocommerce"},
    group_name="catalog",
    description=(
        "The shop's products as its platform sends them, every page kept in the raw archive. "
        "A snapshot exists when its last page is there, or not at all."
    ),
)
def raw_products(
    context: AssetExecutionContext,
    config: RawProductsConfig,
    registry: ShopRegistry,
    database: Database,
    token_service: TokenService,
    raw_archive: RawArchive,
    shopify: ShopifyApi,
    woocommerce: WooCommerceApi,
) -> None:
    """Fetch the run's shops, several at once, each on its own account."""
    batch = ShopBatch(context)
    run = context.run
    settings = load_settings()
    fetcher = ShopFetcher(
        registry=registry,
        database=database,
        token_service=token_service,
        raw_archive=raw_archive,
        platforms={platform.platform_name: platform for platform in (shopify, woocommerce)},
        sync_type=config.sync_type,
        full_sync_every=settings.full_sync_every,
        run_id=run.run_id,
        root_run_id=run.tags.get(ROOT_RUN_ID_TAG, run.run_id),
        # An id names one sync of one shop, so a run over many makes its own.
        requested_sync_id=run.tags.get(SYNC_ID_TAG) if len(batch.partition_keys) == 1 else None,
        correlation_id=run.tags.get(CORRELATION_ID_TAG),
    )
    for platform in (shopify, woocommerce):
        if platform.base_url != ANY_SHOP:
            # Credentials go there: nobody should have to guess it from an error.
            context.log.info(
                f"{platform.platform_name.value} shops are asked at {platform.base_url}"
            )
    places = asyncio.Semaphore(settings.shops_at_once)

    async def fetch(partition_key: str) -> None:
        async with places:
            try:
                manifest = await fetcher.fetch(partition_key)
            except ConnectorError as error:
                batch.failed(partition_key, error)
            else:
                for warning in manifest.warnings:
                    context.log.warning(f"{partition_key}: {warning}")
                batch.succeeded(partition_key, snapshot_metadata(manifest, raw_archive))

    async def fetch_all() -> None:
        async with asyncio.TaskGroup() as group:
            for key in batch.partition_keys:
                group.create_task(fetch(key))

    run_interruptible(fetch_all())
    batch.finish()


def snapshot_metadata(manifest: SnapshotManifest, archive: RawArchive) -> PartitionMetadata:
    """What the UI shows of a fetched snapshot."""
    return {
        "dagster/uri": MetadataValue.text(archive.snapshot_uri(manifest)),
        "sync_id": MetadataValue.text(manifest.sync.sync_id),
        "sync_type": MetadataValue.text(manifest.sync.sync_type.value),
        "complete": MetadataValue.bool(manifest.complete),
        "currency": MetadataValue.text(manifest.currency),
        "pages": MetadataValue.int(len(manifest.pages)),
        "bytes": MetadataValue.int(manifest.bytes),
        "requests": MetadataValue.int(manifest.requests),
        "retries": MetadataValue.int(manifest.retries),
        "seconds": MetadataValue.float(round(manifest.seconds, 3)),
        "waited_seconds": MetadataValue.float(round(manifest.waited_seconds, 3)),
        "details": MetadataValue.json(manifest.details),
        "warnings": MetadataValue.json(list(manifest.warnings)),
    }
