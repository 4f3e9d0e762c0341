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
from connector_pipeline.cli.asked_first import confirm, refuse_unasked
from connector_pipeline.cli.json_output import print_json
from connector_pipeline.cli.local_services import SchemaUse, dagster_services, database_services
from connector_pipeline.cli.output import err, out
from connector_pipeline.cli.working import working
from connector_pipeline.engine.pruning import NotPostgres, UnknownRevision
from connector_pipeline.model.shop import parse_partition_key
from connector_pipeline.postgres.database import Database
from connector_pipeline.state import erase_demands


def run_erase(
    shop: str | None,
    *,
    merchant_id: str | None,
    demanded: bool,
    waits: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Erase a shop, all shops of a merchant, or all `demanded`; print what was deleted of each.

    Raises typer.Exit and BadParameter as `confirm` does, and what `erase_shop` raises.
    """
    if shop is not None:
        parse_partition_key(shop)
    with database_services(SchemaUse.ROWS) as settings:
        database = Database()
        refuse_without_rights(database)
        keys = _keys(database, shop, merchant_id)
        if not keys:
            nothing = (
                "No platform demands that a shop is erased."
                if demanded
                else f"Nothing is stored of the merchant {merchant_id!r}."
            )
            err.print(nothing, soft_wrap=True)
            return
        refuse_unasked(yes=yes, as_json=as_json)
        _say_what_goes(keys)
        confirm(shop or merchant_id or "demanded", yes=yes, as_json=as_json)
        with dagster_services(settings), DagsterInstance.get() as instance:
            for key in keys:
                try:
                    with working(f"Erasing {key}"):
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


def _keys(database: Database, shop: str | None, merchant_id: str | None) -> Sequence[str]:
    """The shops to erase: this one, the merchant's, or without either those that are demanded."""
    if shop is not None:
        return [shop]
    if merchant_id is not None:
        return shops_of_merchant(database, merchant_id)
    with database.connect() as connection:
        return [each.partition_key for each in erase_demands.waiting(connection)]


def _say_what_goes(keys: Sequence[str]) -> None:
    for key in keys:
        err.print(
            f"To be deleted is all that is stored of {key}: catalog, raw pages, history.",
            soft_wrap=True,
        )


def _print(key: str, counts: dict[str, int], *, as_json: bool) -> None:
    if as_json:
        print_json({"shop": key, "counts": counts})
        return
    counted = ", ".join(
        f"{number} {name.replace('_', ' ')}" for name, number in counts.items() if number
    )
    out.print(f"{key}: erased: {counted or 'there was nothing'}.", soft_wrap=True)
