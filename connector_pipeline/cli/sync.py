"""`connector-pipeline sync SHOP`: syncs one shop by a real Dagster run and waits for its end."""

from contextlib import AbstractContextManager, nullcontext
from typing import Final
from uuid import uuid4

from dagster import DagsterInstance

from connector_pipeline.automation.shop_partitions import add_active_partitions
from connector_pipeline.cli.active_shop import active_shop
from connector_pipeline.cli.json_output import print_json
from connector_pipeline.cli.local_services import SchemaUse, local_services
from connector_pipeline.cli.registration import register_sandbox_shops
from connector_pipeline.cli.runs import SyncOutcome, sync_job, sync_shop
from connector_pipeline.cli.working import may_be_terminal
from connector_pipeline.model.sync_type import RequestedSyncType
from connector_pipeline.postgres.database import Database
from connector_pipeline.state.registry import ShopRegistry

_COUNTS: Final = ("inserted", "updated", "revived", "unchanged", "deleted", "rejected")
_FRESHNESS: Final = ("freshness_seconds", "freshness_worst_seconds")


def run_sync(shop: str, *, sync_type: RequestedSyncType, allow_shrink: bool, as_json: bool) -> bool:
    """Sync one shop and print the outcome. Returns whether it succeeded.

    Raises UnknownShop, NotActive, SettingsError, DatabaseUnavailable, DatabaseNotMigrated.
    """
    with local_services(SchemaUse.ROWS) as services, DagsterInstance.get() as instance:
        registry = ShopRegistry(database=Database())
        register_sandbox_shops(registry, services.sandbox_shops())
        active_shop(registry, shop)
        add_active_partitions(instance, registry)
        sync_id = str(uuid4())
        with _progress(registry, shop, sync_id):
            outcome = sync_shop(
                sync_job(),
                instance,
                shop,
                run_id=str(uuid4()),
                sync_id=sync_id,
                # Only a full sync can show that most of the shop is gone.
                sync_type=RequestedSyncType.full if allow_shrink else sync_type,
                allow_shrink=allow_shrink,
            )
    _print(outcome, sync_id, as_json=as_json)
    return outcome.failure is None


def _progress(registry: ShopRegistry, shop: str, sync_id: str) -> AbstractContextManager[None]:
    if not may_be_terminal():
        return nullcontext()
    from connector_pipeline.cli.output import err
    from connector_pipeline.cli.progress import shown

    return shown(err, registry, shop, sync_id)


def _print(outcome: SyncOutcome, sync_id: str, *, as_json: bool) -> None:
    live = outcome.count("dagster/partition_row_count")
    read = outcome.count("items_read")
    if as_json:
        print_json(
            {
                "shop": outcome.partition_key,
                "run_id": outcome.run_id,
                "sync_id": sync_id,
                "status": outcome.status.value,
                "error_code": outcome.error_code,
                "error": outcome.failure,
                "live_items": live,
                "items_read": read,
                "warnings": list(outcome.warnings),
                **{
                    name: outcome.count(name)
                    for name in (*_COUNTS, "pages", "requests", "read_seconds", "publish_seconds")
                },
                **{name: outcome.metadata.get(name) for name in _FRESHNESS},
            }
        )
        return
    # Imported here: a program that reads JSON need not wait for it.
    from connector_pipeline.cli.output import err, out

    if outcome.failure is None:
        counts = ", ".join(f"{outcome.count(name)} {name}" for name in _COUNTS)
        out.print(
            f"{outcome.partition_key}: {live} live items, {read} items read: {counts}.",
            soft_wrap=True,
        )
    else:
        err.print(outcome.failure, soft_wrap=True)
    for warning in outcome.warnings:
        err.print(f"Warning: {warning}", soft_wrap=True)
