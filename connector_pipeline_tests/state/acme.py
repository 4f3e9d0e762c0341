"""One shop, and syncs of it."""

from datetime import UTC, datetime, timedelta

from connector_pipeline.model.shop import Shop
from connector_pipeline.model.sync import Sync
from connector_pipeline.model.sync_type import SyncType

ACME = Shop(
    merchant_id="m1",
    platform_name="shopify",
    platform_shop_id="101",
    domain="acme.myshopify.com",
)
KEY = ACME.partition_key


def sync_of(shop: Shop, sync_id: str = "sync-1", *, hours_ago: float = 0) -> Sync:
    """A full sync of the shop, started so long ago."""
    return Sync(
        sync_id=sync_id,
        partition_key=shop.partition_key,
        sync_type=SyncType.FULL,
        correlation_id="correlation-1",
        started_at=datetime.now(UTC) - timedelta(hours=hours_ago),
    )


def changed(shop: Shop, **changes: object) -> Shop:
    """The shop with other values."""
    return Shop.model_validate(shop.model_dump() | changes)
