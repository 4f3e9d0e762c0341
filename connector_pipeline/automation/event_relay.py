"""The sensor that sends events to NATS. The definitions have it only if NATS_URL is set."""

from typing import Final

from dagster import (
    DefaultSensorStatus,
    ResourceParam,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
    sensor,  # pyright: ignore[reportUnknownVariableType]  # partly untyped there
)

from connector_pipeline.archive.reader import Snapshot
from connector_pipeline.messaging.relay import SyncedProducts, relay
from connector_pipeline.model.catalog_item import CatalogItem
from connector_pipeline.model.counted import counted
from connector_pipeline.model.errors import ConnectorError, SnapshotMissing
from connector_pipeline.platforms.adapters import adapter_of
from connector_pipeline.settings import Settings
from connector_pipeline.state.registry import registered_shop
from connector_pipeline.sync.services import SyncServices

EVERY_SECONDS: Final = 1
"""Less than the 5 seconds in which Dagster's daemon goes round its sensors: at every round."""


def event_relay_sensor(settings: Settings) -> SensorDefinition:
    """Make the sensor that sends the events in the outbox to the stream of these settings."""

    @sensor(
        minimum_interval_seconds=EVERY_SECONDS,
        default_status=DefaultSensorStatus.RUNNING,
        description="Sends the events in connector.outbox to NATS JetStream, in order per shop.",
    )
    def event_relay(
        context: SensorEvaluationContext, services: ResourceParam[SyncServices]
    ) -> SkipReason:
        """Send the events that wait, as many as a tick has time for."""

        def read_products(partition_key: str, sync_id: str) -> SyncedProducts:
            shop = registered_shop(services.registry, partition_key)
            manifest = services.raw_archive.finished(partition_key, sync_id)
            if manifest is None:
                raise SnapshotMissing(
                    f"the raw snapshot of sync {sync_id} is no longer kept.",
                    partition_key=partition_key,
                )
            pages = Snapshot(services.raw_archive.storage(), manifest).pages()
            adapter = adapter_of(shop, services.adapters)
            normalized = adapter.normalize(shop, manifest.currency, pages)
            return SyncedProducts(
                shop, (item for item in normalized if isinstance(item, CatalogItem))
            )

        try:
            done = relay(
                settings,
                services.database,
                read_products=read_products if settings.publish_product_batches else None,
            )
        except ConnectorError as error:
            context.log.warning(f"{error.code}: {error}")
            return SkipReason(f"{error.code}: {error}")
        for problem in done.problems:
            context.log.warning(problem)
        return SkipReason(
            f"Sent: {counted(done.sent, 'event')}, and of products {done.batches} in batches; "
            f"waiting: {done.waiting}."
        )

    return event_relay
