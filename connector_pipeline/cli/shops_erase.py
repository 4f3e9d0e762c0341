"""`connector-pipeline shops erase SHOP`: deletes all that is stored of a shop, or of a merchant."""

from collections.abc import Sequence

import typer
from dagster import DagsterInstance

from connector_pipeline.archive.raw_archive import RawArchive
from connector_pipeline.automation.erasing import (
    erase_shop,
    refuse_without_rights,
    shops_of_merchant,
)
from connector_pipeline.cli.asked_first import confirm
from connector_pipeline.cli.local_services import SchemaUse, dagster_services, database_services
from connector_pipeline.cli.output import err, out, print_json
from connector_pipeline.engine.pruning import NotPostgres, UnknownRevision
from connector_pipeline.model.shop import parse_partition_key
from connector_pipeline.postgres.database import Database


def run_erase(
    shop: str | None, *, merchant_id: str | None, waits: bool, yes: bool, as_json: bool
) -> None:
    """Erase a shop, or all shops of a merchant, and print what was deleted of each.

    Raises typer.Exit and BadParameter as `confirm` does, and what `erase_shop` raises.
    """
    if shop is not None:
        parse_partition_key(shop)
    with database_services(SchemaUse.ROWS) as settings:
        database = Database()
        refuse_without_rights(database)
        keys = [shop] if shop is not None else shops_of_merchant(database, merchant_id or "")
        if not keys:
            err.print(f"Nothing is stored of the merchant {merchant_id}.", soft_wrap=True)
            return
        _say_what_goes(keys)
        confirm(shop or merchant_id or "", yes=yes, as_json=as_json)
        with dagster_services(settings), DagsterInstance.get() as instance:
            for key in keys:
                try:
                    counts = erase_shop(
                        key,
                        database=database,
                        raw_archive=RawArchive(url=settings.archive_url),
                        instance=instance,
                        logs=settings.home / "logs",
                        tells_readers=settings.nats_url is not None,
                        waits=waits,
                    )
                except (NotPostgres, UnknownRevision) as error:
                    err.print(f"{type(error).__name__}: {error}", soft_wrap=True)
                    raise typer.Exit(1) from None
                _print(key, counts, as_json=as_json)


def _say_what_goes(keys: Sequence[str]) -> None:
    for key in keys:
        err.print(
            f"All that is stored of {key} is deleted: catalog, raw pages, history.", soft_wrap=True
        )


def _print(key: str, counts: dict[str, int], *, as_json: bool) -> None:
    if as_json:
        print_json({"shop": key, **counts})
        return
    counted = ", ".join(
        f"{number} {name.replace('_', ' ')}" for name, number in counts.items() if number
    )
    out.print(f"{key}: erased: {counted or 'there was nothing'}.", soft_wrap=True)
