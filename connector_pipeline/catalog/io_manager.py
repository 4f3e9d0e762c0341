"""Publish normalized shops to Postgres, each in one transaction, and read them back."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import pandas as pd
from dagster import ConfigurableIOManager, InputContext, OutputContext, ResourceDependency

from connector_pipeline.archive.manifest import SnapshotManifest
from connector_pipeline.batch import PartitionMetadata, ShopBatch
from connector_pipeline.catalog.metadata import publish_metadata
from connector_pipeline.catalog.publish import Chunk, publish
from connector_pipeline.catalog.read import preview, shop_items
from connector_pipeline.database import Database
from connector_pipeline.model.errors import ConnectorError, DatabaseUnavailable, Defect
from connector_pipeline.model.shop import Shop
from connector_pipeline.registry import ShopRegistry

_PREVIEW_ROWS: Final = 5


@dataclass(frozen=True, slots=True)
class NormalizedShop:
    """A shop ready to be published: its snapshot's manifest and its items, chunk by chunk.

    `whole_products`: a product in it comes with all its variants.
    """

    shop: Shop
    manifest: SnapshotManifest
    chunks: Iterator[Chunk]
    whole_products: bool


@dataclass(frozen=True, slots=True)
class NormalizedShops:
    """What the asset `catalog_items` hands over: how to normalize each shop of its batch."""

    batch: ShopBatch
    normalize: Callable[[str], NormalizedShop]
    allow_shrink: bool = False


class CatalogIOManager(ConfigurableIOManager):
    """`catalog.catalog_items`: a shop's rows change all at once or not at all.

    Writes NormalizedShops, shop by shop; what fails for one shop leaves the others alone. Reads a
    partition as a DataFrame with the table's columns (Decimal prices, aware UTC times, None).
    """

    database: ResourceDependency[Database]
    registry: ResourceDependency[ShopRegistry]

    def handle_output(self, context: OutputContext, obj: NormalizedShops) -> None:
        """Publish every shop of the batch. Raises Failure, at the end, if any failed."""
        batch = obj.batch
        for key in batch.partition_keys:
            try:
                batch.succeeded(key, self._publish(key, obj))
            except ConnectorError as error:
                batch.failed(key, error)
        batch.finish()

    def load_input(self, context: InputContext) -> pd.DataFrame:
        """The rows of the partitions asked for, tombstones left out."""
        keys = list(context.asset_partition_keys)
        with self.database.connect() as connection:
            return pd.concat([shop_items(connection, key) for key in keys], ignore_index=True)

    def _publish(self, partition_key: str, shops: NormalizedShops) -> PartitionMetadata:
        normalized = None
        try:
            normalized = shops.normalize(partition_key)
            with self.database.connect() as connection:
                counts = publish(
                    connection,
                    shop=normalized.shop,
                    sync=normalized.manifest.sync,
                    complete=normalized.manifest.complete,
                    gone=normalized.manifest.gone,
                    absences_confirmed=normalized.manifest.absences_confirmed,
                    chunks=normalized.chunks,
                    whole_products=normalized.whole_products,
                    allow_shrink=shops.allow_shrink,
                )
                rows = preview(connection, partition_key, limit=_PREVIEW_ROWS)
        except Exception as error:
            named = error if isinstance(error, ConnectorError) else Defect.from_exception(error)
            if normalized is not None:
                self._record_failure(normalized, named)
            if named is error:
                raise
            raise named from error
        return publish_metadata(normalized.manifest, counts, rows)

    def _record_failure(self, normalized: NormalizedShop, error: ConnectorError) -> None:
        # Where the database is what failed, the partition's own failure still says so.
        with suppress(DatabaseUnavailable):
            self.registry.fail_sync(normalized.manifest.sync.sync_id, error)
