"""Everything Dagster knows of the project: its table of contents."""

from dagster import Definitions, SensorDefinition

from connector_pipeline.assets.syncing import syncing_definitions
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
from connector_pipeline.engine.guarded_output import guard_dagsters_output
from connector_pipeline.garbage_collection import spare_what_is_there
from connector_pipeline.model.extra import Extra, require
from connector_pipeline.settings import Settings, load_settings


def build_definitions(settings: Settings) -> Definitions:
    """The project's definitions under these settings."""
    return Definitions.merge(
        syncing_definitions(settings),
        Definitions(
            jobs=[prune_logs, erase_demanded_shops],
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
        ),
    )


def _event_sensors(settings: Settings) -> list[SensorDefinition]:
    """The queue of syncs, and events out where there is a NATS to send them to."""
    if settings.nats_url is None:
        return [sync_queue_sensor()]
    require(Extra.NATS, setting_helps=True)
    # Imported here: their packages are an extra.
    from connector_pipeline.automation.event_relay import event_relay_sensor
    from connector_pipeline.messaging.requests import RequestStream

    return [sync_queue_sensor(RequestStream(settings)), event_relay_sensor(settings)]


guard_dagsters_output()
defs = build_definitions(load_settings())

spare_what_is_there()
