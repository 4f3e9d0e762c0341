"""Publish normalized shops to Postgres, each in one transaction, and read them back."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

import pandas as pd
from dagster import ConfigurableIOManager, InputContext, OutputContext, ResourceDependency

from connector_pipeline.archive.manifest import SnapshotManifest
from connector_pipeline.assets.metadata import publish_metadata
from connector_pipeline.assets.shop_batch import RETRY_DELAYS, PartitionMetadata, ShopBatch
from connector_pipeline.catalog.publish import Chunk, publish
from connector_pipeline.catalog.read import preview, shop_items
from connector_pipeline.model.errors import ConnectorError, DatabaseUnavailable, Defect
from connector_pipeline.model.shop import Shop
from connector_pipeline.model.sync import Sync
from connector_pipeline.postgres.database import Database
from connector_pipeline.settings import load_settings
from connector_pipeline.state.liveness import alive
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline.sync.log_context import log_as, log_as_none

_PREVIEW_ROWS: Final = 5

PUBLISHED_AT_ONCE: Final = 2
"""Shops published at a time: one is normalized while Postgres compares the other. Measured on two
cores, a hundred shops of twenty variants take 2.3 s instead of 3.0 so, and a third adds nothing."""


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
        with alive(self.database, context.run_id):
            postponed: list[str] = []
            for key, outcome in self._outcomes(batch.partition_keys, obj):
                if not isinstance(outcome, _Failed):
                    batch.succeeded(key, outcome)
                elif outcome.error.retryable:
                    batch.postponed(key, outcome.error)
                    postponed.append(key)
                else:
                    self._fail(batch, key, outcome)
            if postponed:
                time.sleep(load_settings().connector_retry_delay * RETRY_DELAYS)
            for key, outcome in self._outcomes(postponed, obj):
                if isinstance(outcome, _Failed):
                    self._fail(batch, key, outcome)
                else:
                    batch.succeeded(key, outcome)
        log_as_none()
        batch.finish()

    def load_input(self, context: InputContext) -> pd.DataFrame:
        """The rows of the partitions asked for, tombstones left out."""
        keys = list(context.asset_partition_keys)
        with self.database.connect() as connection:
            return pd.concat([shop_items(connection, key) for key in keys], ignore_index=True)

    def _outcomes(
        self, partition_keys: Sequence[str], shops: NormalizedShops
    ) -> Iterator[tuple[str, "PartitionMetadata | _Failed"]]:
        """Publish the shops, PUBLISHED_AT_ONCE at a time; each with its outcome, in their order."""
        with ThreadPoolExecutor(PUBLISHED_AT_ONCE, thread_name_prefix="publish") as threads:
            publish_each = partial(self._publish, shops=shops)
            yield from zip(partition_keys, threads.map(publish_each, partition_keys), strict=True)

    def _publish(self, partition_key: str, shops: NormalizedShops) -> "PartitionMetadata | _Failed":
        """Publish the shop, unless the run that this one takes the place of has."""
        sync = None
        log_as_none()
        root_run_id = shops.batch.root_run_id
        try:
            normalized = shops.normalize(partition_key)
            manifest = normalized.manifest
            sync = manifest.sync
            log_as(sync.sync_id, sync.correlation_id)
            counts = None
            if shops.batch.retried:
                # Compared once more, all of it would count as unchanged.
                counts = self.registry.published(sync.sync_id, root_run_id)
            with self.database.connect() as connection:
                if counts is None:
                    counts = publish(
                        connection,
                        shop=normalized.shop,
                        sync=sync,
                        complete=manifest.complete,
                        gone=manifest.gone,
                        absences_confirmed=manifest.absences_confirmed,
                        chunks=normalized.chunks,
                        whole_products=normalized.whole_products,
                        allow_shrink=shops.allow_shrink,
                        published_by=root_run_id,
                    )
                rows = preview(connection, partition_key, limit=_PREVIEW_ROWS)
        except Exception as error:
            named = error if isinstance(error, ConnectorError) else Defect.from_exception(error)
            return _Failed(named, sync)
        return publish_metadata(manifest, counts, rows)

    def _fail(self, batch: ShopBatch, partition_key: str, failed: "_Failed") -> None:
        if failed.sync is not None:
            log_as(failed.sync.sync_id, failed.sync.correlation_id)
            # Where the database is what failed, the partition's own failure still says so.
            with suppress(DatabaseUnavailable):
                self.registry.fail_sync(failed.sync.sync_id, failed.error)
        batch.failed(partition_key, failed.error)
        log_as_none()


@dataclass(frozen=True, slots=True)
class _Failed:
    """A shop was not published; `sync` is known where its snapshot was found."""

    error: ConnectorError
    sync: Sync | None
