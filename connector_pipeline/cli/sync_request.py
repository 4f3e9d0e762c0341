"""`connector-pipeline sync SHOP --request`: asks for a sync and waits for nothing."""

from uuid import uuid4

from connector_pipeline.cli.active_shop import not_active
from connector_pipeline.cli.json_output import print_json
from connector_pipeline.cli.local_services import SchemaUse, database_services
from connector_pipeline.cli.output import out
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.model.sync_request import SyncRequest
from connector_pipeline.model.sync_type import RequestedSyncType
from connector_pipeline.postgres.database import Database
from connector_pipeline.state import inbox
from connector_pipeline.state.registry import ShopRegistry, registered_shop


def request_sync(shop: str, *, sync_type: RequestedSyncType, as_json: bool) -> None:
    """Leave a sync request in the inbox for the daemon, print its sync_id and do not wait.

    Raises UnknownShop, NotActive, SettingsError, DatabaseUnavailable, DatabaseNotMigrated.
    """
    with database_services(SchemaUse.ROWS):
        database = Database()
        registered = registered_shop(ShopRegistry(database=database), shop)
        if registered.state is ShopState.PAUSED:
            # The daemon would refuse it where nobody looks. A disconnected shop is tried.
            raise not_active(registered)
        request = SyncRequest(
            merchant_id=registered.merchant_id,
            platform_name=registered.platform_name,
            platform_shop_id=registered.platform_shop_id,
            domain=registered.domain,
            sync_id=str(uuid4()),
            sync_type=sync_type.value,
        )
        with database.connect() as connection:
            inbox.put(connection, [request])
    if as_json:
        print_json({"shop": shop, "sync_id": request.sync_id, "requested": True})
    else:
        out.print(
            f"{shop}: requested as sync {request.sync_id}; Dagster's daemon launches it, now or "
            "when it is started.",
            soft_wrap=True,
        )
