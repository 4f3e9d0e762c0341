"""Erase a shop: all that is stored of it, here and in Dagster, in an order that a kill may cut.

First the shop is paused, so that nothing begins a sync of it. Then the archive and Dagster's texts
are deleted, and last, in one transaction, every row of both schemas with the registry's. Each step
deletes what it finds, so an erasure that was killed is completed by the next one, and until then
the shop is paused. The whole time the shop's fetch lock is held, and during the last transaction
its publish lock: no run reads it or writes it meanwhile.
"""

import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import psycopg
from dagster import DagsterInstance, RunsFilter

from connector_pipeline.archive.raw_archive import RawArchive
from connector_pipeline.assets.partitions import shops
from connector_pipeline.automation.busy_shops import busy_shops
from connector_pipeline.automation.own_storage import refuse_storage_of_another
from connector_pipeline.catalog import erasing as catalog_erasing
from connector_pipeline.catalog.publish_lock import lock_name as publish_lock_name
from connector_pipeline.engine.backfills import a_backfill_is_under_way
from connector_pipeline.engine.mentions import erase_mentions
from connector_pipeline.engine.runs_under_way import runs_under_way
from connector_pipeline.model.errors import ConnectorError, DatabaseUnavailable, ShopBusy
from connector_pipeline.model.name_in_texts import replace_in_file
from connector_pipeline.model.shop import parse_partition_key
from connector_pipeline.postgres import named_locks
from connector_pipeline.postgres.bounded_connection import under
from connector_pipeline.postgres.connections import connect
from connector_pipeline.postgres.database import Database
from connector_pipeline.postgres.limits import DAGSTER_STORAGE
from connector_pipeline.state import erasing as state_erasing
from connector_pipeline.sync.locks import lock_name

HOLDER: Final = "`connector-pipeline shops erase`"
_LOOKED_EVERY: Final = 1.0
_CLOCKS_DIFFER_BY: Final = timedelta(minutes=5)


class MayNotErase(ConnectorError):
    """The database's user may not delete catalog rows: no user of a pipeline may."""

    default_remedy = (
        "Nothing was erased. Set CONNECTOR_DATABASE_URL to the user that owns the schemas, as for "
        "`connector-pipeline migrate`."
    )


def refuse_without_rights(database: Database) -> None:
    """Raise MayNotErase unless the database's user may delete catalog rows."""
    with database.connect() as connection:
        if not catalog_erasing.may_erase(connection):
            raise MayNotErase(f"user {connection.info.user} may not delete rows of the catalog.")


def erase_shop(
    partition_key: str,
    *,
    database: Database,
    raw_archive: RawArchive,
    instance: DagsterInstance,
    logs: Path,
    tells_readers: bool,
    waits: bool,
) -> dict[str, int]:
    """Erase the shop, whether it is registered or not. Returns what was deleted, by its kinds.

    `logs`: the folder of this machine's processes' logs. `tells_readers`: whether to put the event
    of it into the outbox. `waits`: for runs that have the shop; otherwise ShopBusy is raised for
    them, and the shop stays paused. Raises MayNotErase, StorageOfAnother, DatabaseUnavailable,
    ArchiveUnavailable, and what `erase_mentions` raises. Where all was deleted and a run that began
    meanwhile names the shop in Dagster again, ShopBusy is raised, too.
    """
    began = datetime.now(UTC)
    _, domain = parse_partition_key(partition_key)
    refuse_without_rights(database)
    refuse_storage_of_another(instance, database, claims=False)
    with database.connect() as connection:
        state_erasing.mark(connection, partition_key)
    while (busy := _busy(instance, database, partition_key)) is not None:
        if not waits:
            raise busy
        time.sleep(_LOOKED_EVERY)
    with _held(database, partition_key, waits=waits) as held:
        in_archive = raw_archive.erase(partition_key)
        in_dagster = erase_mentions(
            instance,
            partitions_name=str(shops.name),
            key=partition_key,
            domain=domain,
            is_of_it_alone=lambda run: busy_shops(instance, [run]) == {partition_key},
        )
        in_logs = sum(replace_in_file(file, domain) for file in _files(logs))
        with database.connect() as connection, under(connection, DAGSTER_STORAGE):
            shop = state_erasing.identity(connection, partition_key) or catalog_erasing.identity(
                connection, partition_key
            )
            items = catalog_erasing.erase(connection, partition_key)
            rows = state_erasing.erase(
                connection, partition_key, locks=[publish_lock_name(partition_key)]
            )
            if shop is not None and tells_readers:
                state_erasing.put_event(connection, partition_key, shop)
            _refuse_lost(held, partition_key)
    _refuse_later_runs(instance, partition_key, since=began)
    return {
        "catalog_items": items,
        **rows,
        **{f"archive_{name}": number for name, number in asdict(in_archive).items()},
        **{f"dagster_{name}": number for name, number in asdict(in_dagster).items()},
        "mentions_in_logs": in_logs,
    }


def shops_of_merchant(database: Database, merchant_id: str) -> list[str]:
    """The partition keys of all shops of which something of this merchant is stored."""
    with database.connect() as connection, under(connection, DAGSTER_STORAGE):
        return sorted(
            {
                *state_erasing.shops_of_merchant(connection, merchant_id),
                *catalog_erasing.shops_of_merchant(connection, merchant_id),
            }
        )


def _busy(instance: DagsterInstance, database: Database, partition_key: str) -> ShopBusy | None:
    """The error that says why the shop cannot be erased now; None if no run has it."""
    with database.connect() as connection:
        taken = state_erasing.is_taken(connection, partition_key)
    runs = [
        run.run_id
        for run in runs_under_way(instance)
        if partition_key in busy_shops(instance, [run])
    ]
    if runs:
        why = f"Dagster run {runs[0]} has the shop."
    elif taken:
        why = "the queue has given the shop to a run that has not begun."
    elif a_backfill_is_under_way(instance):
        why = "one of Dagster's own backfills is under way, and may have the shop."
    else:
        return None
    return ShopBusy(
        why,
        partition_key=partition_key,
        remedy="Nothing was erased, and the shop is paused. Cancel the run or wait for its end, "
        "then erase again; `--wait` waits.",
    )


@contextmanager
def _held(database: Database, partition_key: str, *, waits: bool) -> Generator[psycopg.Connection]:
    """Hold the lock under which runs fetch the shop. Raises ShopBusy if a run has it."""
    name = lock_name(partition_key)
    with connect(database.connection_url()) as connection:
        connection.autocommit = True
        key = named_locks.begin_session(connection)
        while (other := named_locks.take(connection, key, name, holder=HOLDER)) is not None:
            if not waits:
                raise ShopBusy(
                    f"{other} has the shop.",
                    partition_key=partition_key,
                    remedy="Nothing was erased, and the shop is paused. Erase again when that run "
                    "has ended; `--wait` waits.",
                )
            time.sleep(_LOOKED_EVERY)
        try:
            yield connection
        finally:
            named_locks.release(connection, key, name)


def _refuse_later_runs(instance: DagsterInstance, partition_key: str, *, since: datetime) -> None:
    # Dagster's server has a clock of its own. An older run does not name the shop any more.
    runs = instance.get_runs(RunsFilter(created_after=since - _CLOCKS_DIFFER_BY))
    if naming := [run for run in runs if partition_key in busy_shops(instance, [run])]:
        raise ShopBusy(
            f"Dagster run {naming[0].run_id} began while the shop was erased, and names it.",
            partition_key=partition_key,
            remedy="All else is erased. Erase the shop again when that run has ended.",
        )


def _refuse_lost(held: psycopg.Connection, partition_key: str) -> None:
    if named_locks.held_by(held, lock_name(partition_key)) != HOLDER:
        raise DatabaseUnavailable(
            "the shop's lock was lost before its rows were deleted.",
            partition_key=partition_key,
            remedy="The shop is paused; erase it again.",
        )


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []
