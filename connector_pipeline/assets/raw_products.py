"""The asset `raw_products`: what the platform says of a shop, page by page, in the raw archive."""

from dataclasses import dataclass
from typing import Final

from dagster import (
    AssetExecutionContext,
    Config,
    MetadataValue,
    ResourceParam,
    asset,
)

from connector_pipeline.archive.manifest import SnapshotManifest
from connector_pipeline.archive.raw_archive import RawArchive
from connector_pipeline.assets.partitions import shops
from connector_pipeline.assets.shop_batch import RETRY_DELAYS, PartitionMetadata, ShopBatch
from connector_pipeline.credentials.token_service import TokenService
from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.model.sync import RequestedSyncType
from connector_pipeline.platforms.adapters import BUILT_IN
from connector_pipeline.platforms.shopify.adapter import ShopifyAdapter
from connector_pipeline.platforms.woocommerce.adapter import WooCommerceAdapter
from connector_pipeline.postgres.database import Database
from connector_pipeline.settings import load_settings
from connector_pipeline.state.liveness import alive
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline.sync.fetch import ShopFetcher
from connector_pipeline.sync.interruptible import run_interruptible
from connector_pipeline.sync.locks import ShopLocks
from connector_pipeline.sync.places import OUTSIDE_PER_PLACE, Places
from connector_pipeline.sync.rounds import FetchRounds

SYNC_ID_TAG: Final = "connector/sync_id"
CORRELATION_ID_TAG: Final = "connector/correlation_id"


class RawProductsConfig(Config):
    """Run config of `raw_products`."""

    sync_type: RequestedSyncType = RequestedSyncType.auto


@asset(
    partitions_def=shops,
    kinds=set(BUILT_IN),
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
    shopify: ResourceParam[ShopifyAdapter],
    woocommerce: ResourceParam[WooCommerceAdapter],
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
        root_run_id=batch.root_run_id,
        retried=batch.retried,
        deadline=settings.connector_shop_deadline,
        # An id names one sync of one shop, so a run over many makes its own.
        requested_sync_id=run.tags.get(SYNC_ID_TAG) if len(batch.partition_keys) == 1 else None,
        correlation_id=run.tags.get(CORRELATION_ID_TAG),
    )
    for platform in (shopify, woocommerce):
        if platform.asked_elsewhere is not None:
            # Credentials go there: nobody should have to guess it from an error.
            context.log.info(
                f"{platform.platform_name} shops are asked at {platform.asked_elsewhere}"
            )

    async def fetch_all() -> None:
        async with ShopLocks(database, run_id=run.run_id) as locks:
            rounds = FetchRounds(
                fetcher,
                SnapshotOutcomes(batch, raw_archive),
                places=Places(
                    settings.shops_at_once, outside=settings.shops_at_once * OUTSIDE_PER_PLACE
                ),
                locks=locks,
                wait=settings.connector_shop_wait.total_seconds(),
                again_after=settings.connector_retry_delay * RETRY_DELAYS,
            )
            await rounds.fetch(batch.partition_keys)

    with alive(database, run.run_id):
        run_interruptible(fetch_all())
    batch.finish()


@dataclass(frozen=True, slots=True)
class SnapshotOutcomes:
    """Tells a batch what became of each shop's snapshot."""

    batch: ShopBatch
    raw_archive: RawArchive

    def succeeded(self, partition_key: str, manifest: SnapshotManifest) -> None:
        """Its snapshot is in the archive."""
        for warning in manifest.warnings:
            self.batch.warn(partition_key, warning)
        self.batch.succeeded(partition_key, snapshot_metadata(manifest, self.raw_archive))

    def failed(self, partition_key: str, error: ConnectorError) -> None:
        """It failed for good, as far as this run goes."""
        self.batch.failed(partition_key, error)

    def postponed(self, partition_key: str, error: ConnectorError) -> None:
        """It failed, and is tried again after the others."""
        self.batch.postponed(partition_key, error)


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
