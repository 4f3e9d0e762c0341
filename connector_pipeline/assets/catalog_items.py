"""The asset `catalog_items`: the newest raw snapshot of a shop as rows of the internal schema."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Final

import pandas as pd
from dagster import AssetExecutionContext, Config, ResourceParam, asset

from connector_pipeline.archive.raw_archive import RawArchive
from connector_pipeline.assets.checks import evaluations
from connector_pipeline.assets.io_manager import NormalizedShop, NormalizedShops
from connector_pipeline.assets.partitions import shops
from connector_pipeline.assets.raw_products import raw_products
from connector_pipeline.assets.shop_batch import ShopBatch
from connector_pipeline.catalog.publish import Chunk
from connector_pipeline.model.catalog_item import ITEM_COLUMNS, CatalogRow, RejectedVariant
from connector_pipeline.platforms.adapters import adapter_of
from connector_pipeline.platforms.shopify.adapter import ShopifyAdapter
from connector_pipeline.platforms.woocommerce.adapter import WooCommerceAdapter
from connector_pipeline.postgres.database import Database
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline.sync.fetch import registered_shop

CHUNK_ROWS: Final = 5_000
"""Rows normalized before they are copied: a shop of any size is never in memory whole."""


class CatalogItemsConfig(Config):
    """Run config of `catalog_items`. `allow_shrink` confirms that a shop lost most of its items."""

    allow_shrink: bool = False


@asset(
    partitions_def=shops,
    deps=[raw_products],
    io_manager_key="catalog_io_manager",
    kinds={"postgres", "pandas"},
    group_name="catalog",
    description=(
        "The shop's variants in the internal schema, published to `catalog.catalog_items` in one "
        "transaction. Made from the raw archive alone: re-materializing asks no platform."
    ),
)
def catalog_items(
    context: AssetExecutionContext,
    config: CatalogItemsConfig,
    database: Database,
    registry: ShopRegistry,
    raw_archive: RawArchive,
    shopify: ResourceParam[ShopifyAdapter],
    woocommerce: ResourceParam[WooCommerceAdapter],
) -> NormalizedShops:
    """Hand the IO manager what it needs to normalize and publish each shop of the run."""
    platforms = {platform.platform_name: platform for platform in (shopify, woocommerce)}

    def normalize(partition_key: str) -> NormalizedShop:
        shop = registered_shop(registry, partition_key)
        snapshot = raw_archive.latest(partition_key)
        manifest = snapshot.manifest
        platform = adapter_of(shop, platforms)
        return NormalizedShop(
            shop=shop,
            manifest=manifest,
            chunks=chunks(platform.rows(shop, manifest.currency, snapshot.pages())),
            whole_products=platform.whole_products,
        )

    return NormalizedShops(
        batch=ShopBatch(context, evaluate=partial(evaluations, database)),
        normalize=normalize,
        allow_shrink=config.allow_shrink,
    )


def chunks(normalized: Iterable[CatalogRow | RejectedVariant]) -> Iterator[Chunk]:
    """Gather rows into frames of at most CHUNK_ROWS, with the rejects met on the way."""
    rows: list[CatalogRow] = []
    rejected: list[RejectedVariant] = []
    for each in normalized:
        if isinstance(each, CatalogRow):
            rows.append(each)
        else:
            rejected.append(each)
        if len(rows) + len(rejected) == CHUNK_ROWS:
            yield _chunk(rows, rejected)
            rows, rejected = [], []
    if rows or rejected:
        yield _chunk(rows, rejected)


def _chunk(rows: list[CatalogRow], rejected: list[RejectedVariant]) -> Chunk:
    # dtype object: pandas would make floats of Decimals' neighbours and NaN of None.
    items = pd.DataFrame(rows, columns=list(ITEM_COLUMNS), dtype=object)
    return Chunk(items=items, rejected=rejected)
