"""`connector-pipeline demo`: syncs every sandbox shop by real Dagster runs."""

import time
from collections.abc import Sequence
from typing import Any, Final
from uuid import uuid4

from dagster import DagsterInstance
from rich.text import Text

from connector_pipeline.automation.shop_partitions import add_active_partitions
from connector_pipeline.catalog.read import preview
from connector_pipeline.cli.extras import needed_extras
from connector_pipeline.cli.json_output import print_json
from connector_pipeline.cli.local_services import SchemaUse, local_services
from connector_pipeline.cli.output import err, new_table, out, print_rows, print_table
from connector_pipeline.cli.progress import followed, sync_progress
from connector_pipeline.cli.real_or_sandbox import refuse_all_but_sandbox
from connector_pipeline.cli.registration import register_sandbox_shops
from connector_pipeline.cli.runs import SyncOutcome, sync_job, sync_shop
from connector_pipeline.model.extra import require
from connector_pipeline.model.shop import Shop
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.model.sync_type import RequestedSyncType
from connector_pipeline.postgres.database import Database
from connector_pipeline.settings import load_settings
from connector_pipeline.state.registry import ShopRegistry

_ROWS: Final = 10
_CHANGES: Final = ("inserted", "updated", "revived", "unchanged", "deleted", "rejected")
_COUNTS: Final = (*_CHANGES, "pages", "requests")
_ITEM_COLUMNS: Final = (
    "variant_id",
    "product_title",
    "variant_title",
    "price",
    "currency",
    "inventory",
)


def run_demo(*, as_json: bool) -> bool:
    """Sync every sandbox shop and show the outcomes. Returns whether all succeeded.

    Beside a running `dev` these are its active shops, read from its sandbox: another sandbox would
    overwrite what was edited in that one.

    Raises SettingsError where anything but the sandbox is set, and ExtraMissing.
    """
    settings = load_settings()
    refuse_all_but_sandbox(settings)
    require(*needed_extras(settings))
    with (
        local_services(SchemaUse.RUN_HERE) as services,
        DagsterInstance.get() as instance,
    ):
        database = Database()
        registry = ShopRegistry(database=database)
        shops = register_sandbox_shops(registry, services.sandbox_shops())
        if services.sandbox is None:
            err.print(
                "connector-pipeline dev is running: its shops are synced, from its sandbox at "
                f"{services.sandbox_url}.",
                soft_wrap=True,
            )
            shops = registry.list(ShopState.ACTIVE)
        add_active_partitions(instance, registry)
        timed = _sync_all(instance, registry, shops)
        with database.connect() as connection:
            rows = [
                row
                for shop in shops
                for row in preview(connection, shop.partition_key, limit=_rows_of_each(shops))
            ][:_ROWS]
    _show(timed, rows, as_json=as_json)
    return all(outcome.failure is None for outcome, _ in timed)


def _sync_all(
    instance: DagsterInstance, registry: ShopRegistry, shops: Sequence[Shop]
) -> list[tuple[SyncOutcome, float]]:
    timed: list[tuple[SyncOutcome, float]] = []
    job = sync_job()
    with sync_progress(err) as progress:
        overall = progress.add_task("all shops", total=len(shops), note="")
        for shop in shops:
            sync_id = str(uuid4())
            task = progress.add_task(shop.partition_key, total=None, note="starting")
            started = time.monotonic()
            with followed(progress, task, registry, sync_id):
                outcome = sync_shop(
                    job,
                    instance,
                    shop.partition_key,
                    run_id=str(uuid4()),
                    sync_id=sync_id,
                    # A second demo shows every row unchanged; an increment would read none of them.
                    sync_type=RequestedSyncType.full,
                )
            timed.append((outcome, time.monotonic() - started))
            items = outcome.count("dagster/partition_row_count")
            note = f"{items} variants" if outcome.failure is None else "failed"
            progress.update(task, total=1, completed=1, note=note)
            progress.advance(overall)
    return timed


def _variants(outcome: SyncOutcome) -> str:
    """How many variants were inserted, updated and so on."""
    if outcome.failure is not None:
        return "failed"
    counted = [f"{outcome.count(name)} {name}" for name in _CHANGES if outcome.count(name)]
    return ", ".join(counted) or "none"


def _rows_of_each(shops: Sequence[Shop]) -> int:
    return -(-_ROWS // max(1, len(shops)))


def _show(
    timed: Sequence[tuple[SyncOutcome, float]], rows: Sequence[dict[str, Any]], *, as_json: bool
) -> None:
    if as_json:
        for outcome, seconds in timed:
            print_json(
                {
                    "shop": outcome.partition_key,
                    "run_id": outcome.run_id,
                    "status": outcome.status.value,
                    "error_code": outcome.error_code,
                    "error": outcome.failure,
                    "live_items": outcome.count("dagster/partition_row_count"),
                    **{name: outcome.count(name) for name in _COUNTS},
                    "seconds": round(seconds, 3),
                }
            )
        return
    table = new_table()
    table.add_column("shop", no_wrap=True)
    table.add_column("variants")
    for name in ("pages", "requests", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    for outcome, seconds in timed:
        table.add_row(
            Text(outcome.partition_key),
            _variants(outcome),
            str(outcome.count("pages")),
            str(outcome.count("requests")),
            f"{seconds:.1f}",
        )
    print_table(table)
    out.print()
    print_rows(rows, columns=_ITEM_COLUMNS, as_json=False, empty="The catalog is empty.")
    for outcome, _ in timed:
        if outcome.failure is not None:
            err.print(outcome.failure, soft_wrap=True)
