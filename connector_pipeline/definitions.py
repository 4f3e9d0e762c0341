"""Everything Dagster knows of the project: its table of contents."""

from dagster import (
    AssetsDefinition,
    BackfillPolicy,
    Definitions,
    ResourceDefinition,
    SensorDefinition,
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
from connector_pipeline.automation.alerts import alerts
from connector_pipeline.automation.change_feeds import change_feeds
from connector_pipeline.automation.credential_probe import credential_probe
from connector_pipeline.automation.erase_demands import (
    erase_demanded_shops,
    erase_demanded_shops_quarter_hourly,
)
from connector_pipeline.automation.pruning import prune_logs, prune_logs_daily
from connector_pipeline.automation.shop_health import shop_health_report
from connector_pipeline.automation.shop_partitions import shop_partitions
from connector_pipeline.automation.sweep import sweep
from connector_pipeline.automation.sync_outcomes import sync_outcomes
from connector_pipeline.automation.sync_queue import sync_queue_sensor
from connector_pipeline.automation.webhook_checks import webhook_checks
from connector_pipeline.credentials.real_or_sandbox import SandboxGuard
from connector_pipeline.credentials.token_service import TokenService
from connector_pipeline.engine.guarded_output import guard_dagsters_output
from connector_pipeline.garbage_collection import spare_what_is_there
from connector_pipeline.model.extra import Extra, require
from connector_pipeline.platforms.adapters import adapter_classes, build_adapters
from connector_pipeline.postgres.database import Database
from connector_pipeline.settings import Settings, load_settings
from connector_pipeline.state.registry import ShopRegistry


def build_definitions(settings: Settings) -> Definitions:
    """The project's definitions under these settings."""
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
        jobs=[sync_shops, prune_logs, erase_demanded_shops],
        schedules=[prune_logs_daily, erase_demanded_shops_quarter_hourly],
        sensors=[
            shop_partitions,
            credential_probe,
            change_feeds,
            sweep,
            alerts,
            sync_outcomes,
            shop_health_report,
            *_event_sensors(settings),
            # Without an address for deliveries no shop has webhooks of ours.
            *([] if settings.webhooks_url is None else [webhook_checks]),
        ],
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


def _event_sensors(settings: Settings) -> list[SensorDefinition]:
    """The queue of syncs, and events out where there is a NATS to send them to."""
    if settings.nats_url is None:
        return [sync_queue_sensor()]
    require(Extra.NATS, setting_helps=True)
    # Imported here: their packages are an extra.
    from connector_pipeline.automation.event_relay import event_relay_sensor
    from connector_pipeline.messaging.requests import RequestStream

    return [sync_queue_sensor(RequestStream(settings)), event_relay_sensor(settings)]


def _in_runs_of(asset: AssetsDefinition, shops: int) -> AssetsDefinition:
    return asset.with_attributes(  # pyright: ignore[reportUnknownMemberType]  # partly untyped there
        backfill_policy=BackfillPolicy.multi_run(shops)
    )


guard_dagsters_output()
settings_of_defs = load_settings()
defs = build_definitions(settings_of_defs)

spare_what_is_there()
