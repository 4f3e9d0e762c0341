"""The definitions that a sync needs: assets, checks, the job of listed shops, the resources.

A command that executes its own run imports no other: sensors and schedules are the daemon's, and
what they import takes as long as a page of a platform.
"""

from dagster import (
    AssetsDefinition,
    BackfillPolicy,
    Definitions,
    ResourceDefinition,
    in_process_executor,
)

from connector_pipeline.archive.raw_archive import RawArchive
from connector_pipeline.assets.catalog_items import catalog_items
from connector_pipeline.assets.checks import catalog_checks
from connector_pipeline.assets.graph import Graph
from connector_pipeline.assets.raw_products import raw_products
from connector_pipeline.assets.resources import (
    SERVICES,
    adapter_resources,
    catalog_io_manager,
    default_io_manager,
    fixed,
    services_resource,
)
from connector_pipeline.assets.shop_health import shop_health
from connector_pipeline.assets.sync_shops import sync_shops
from connector_pipeline.credentials.real_or_sandbox import SandboxGuard
from connector_pipeline.credentials.token_service import TokenService
from connector_pipeline.platforms.adapters import adapter_classes, build_adapters
from connector_pipeline.postgres.database import Database
from connector_pipeline.settings import Settings
from connector_pipeline.state.registry import ShopRegistry


def syncing_definitions(settings: Settings) -> Definitions:
    """The part of the project's definitions that syncs need, under these settings."""
    graph = Graph(settings, adapter_classes())
    return Definitions(
        assets=[
            _in_runs_of(graph.raw_products(raw_products), settings.shops_per_run),
            # Another size on purpose: assets with the same policy share their runs, and then one
            # shop that cannot be fetched costs every other shop of its run the catalog.
            _in_runs_of(graph.catalog_items(catalog_items), settings.shops_per_run + 1),
            graph.shop_health(shop_health),
            *graph.external(),
        ],
        asset_checks=[catalog_checks],
        jobs=[sync_shops],
        resources=_resources(settings),
        # A run is a few dozen network waits: a process per step would cost more than the work.
        executor=in_process_executor,
    )


def _resources(settings: Settings) -> dict[str, ResourceDefinition]:
    """Every resource by its name; run config can change none of them (assets/resources.py)."""
    database = Database()
    adapters = build_adapters(settings)
    resources = {
        "database": fixed(database, "The Postgres that holds the catalog and the registry."),
        "registry": fixed(ShopRegistry(database=database), "The registered shops."),
        "token_service": fixed(
            TokenService(
                url=settings.token_service_url or "",
                timeout=settings.token_service_timeout,
                retry_count=settings.connector_max_retries,
                retry_delay=settings.connector_retry_delay,
                guard=SandboxGuard(database),
            ),
            "The service that gives the shops' credentials.",
        ),
        "raw_archive": fixed(
            RawArchive(
                url=settings.archive_url,
                keep=settings.raw_archive_keep,
                shop_bytes=settings.raw_archive_shop_limit,
            ),
            "The raw snapshots, as the platforms sent them.",
        ),
        SERVICES: services_resource(adapters),
        "catalog_io_manager": catalog_io_manager(),
        "io_manager": default_io_manager(),
    }
    return resources | adapter_resources(adapters, taken=resources)


def _in_runs_of(asset: AssetsDefinition, shops: int) -> AssetsDefinition:
    return asset.with_attributes(  # pyright: ignore[reportUnknownMemberType]  # partly untyped there
        backfill_policy=BackfillPolicy.multi_run(shops)
    )
