"""`connector-pipeline shops …`: shows and changes the registry.

A command imports what it works with when it is called: its help needs no database.
"""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector_pipeline.cli.arguments import JsonFlag, ShopArgument
from connector_pipeline.model.shop import (
    RegisteredShop,
    Shop,
    ShopState,
    parse_partition_key,
    valid_currency,
)

if TYPE_CHECKING:
    from connector_pipeline.state.registry import ShopRegistry

app = typer.Typer(
    help="The registry of shops: each active one is a partition.", no_args_is_help=True
)

_COLUMNS = (
    "shop",
    "state",
    "last_successful_sync_at",
)


@app.command()
def add(
    shop: ShopArgument,
    merchant_id: Annotated[str, typer.Option(help="The merchant whose shop it is.")],
    platform_shop_id: Annotated[
        str | None, typer.Option(help="The platform's id of the shop; its domain if left out.")
    ] = None,
    currency: Annotated[
        str | None,
        typer.Option(help="ISO 4217 code, for a shop whose credentials may not read it."),
    ] = None,
    path: Annotated[
        str | None,
        typer.Option(
            metavar="/FOLDER",
            help="The folder of the domain in which the shop lies, / for none; kept if left out.",
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Register a shop, or change its registration."""
    from connector_pipeline.platforms.adapters import parse_shop_key

    platform_name, domain = parse_shop_key(shop)
    registered = Shop.of(
        merchant_id=merchant_id,
        platform_name=platform_name,
        platform_shop_id=platform_shop_id or domain,
        domain=domain,
        currency=None if currency is None else valid_currency(currency),
        path=path,
    )
    with _registry() as registry:
        outcome = registry.add(registered)
    _say(registered.partition_key, outcome, as_json=as_json)


@app.command("import")
def import_csv(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", exists=True, dir_okay=False)],
    as_json: JsonFlag = False,
) -> None:
    """Register the shops of a CSV file, all or none.

    Its header is merchant_id,platform_name,platform_shop_id,domain, perhaps with path.
    """
    from connector_pipeline.cli.output import out, print_json

    with _registry() as registry:
        outcomes = registry.import_csv(file)
    if as_json:
        print_json(dict(outcomes))
    else:
        counted = ", ".join(f"{number} {outcome}" for outcome, number in outcomes.items())
        out.print(f"{file}: {counted}.")


@app.command("list")
def list_shops(
    state: Annotated[ShopState | None, typer.Option(help="Only shops of this state.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """List the registered shops."""
    from connector_pipeline.cli.output import print_rows

    with _registry() as registry:
        shops = registry.list(state)
    print_rows(
        [_row(shop) for shop in shops],
        columns=_COLUMNS,
        as_json=as_json,
        empty="No shops are registered: connector-pipeline shops add SHOP --merchant-id M",
    )


@app.command()
def pause(shop: ShopArgument, as_json: JsonFlag = False) -> None:
    """Stop syncing a shop; its catalog stays."""
    _set_state(shop, ShopState.PAUSED, as_json=as_json)


@app.command()
def resume(shop: ShopArgument, as_json: JsonFlag = False) -> None:
    """Sync a paused or disconnected shop again."""
    _set_state(shop, ShopState.ACTIVE, as_json=as_json)


@app.command()
def remove(shop: ShopArgument, as_json: JsonFlag = False) -> None:
    """Remove a shop from the registry; its catalog rows stay until they are deleted by hand."""
    parse_partition_key(shop)
    with _registry() as registry:
        registry.remove(shop)
    _say(shop, "removed", as_json=as_json)


def _set_state(shop: str, state: ShopState, *, as_json: bool) -> None:
    parse_partition_key(shop)
    with _registry() as registry:
        registry.set_state(shop, state)
    _say(shop, state.value, as_json=as_json)


def _say(shop: str, outcome: str, *, as_json: bool) -> None:
    from connector_pipeline.cli.output import out, print_json

    if as_json:
        print_json({"shop": shop, "outcome": outcome})
    else:
        out.print(f"{shop}: {outcome}.")


@contextmanager
def _registry() -> Generator["ShopRegistry"]:
    """The registry of the database that the settings name. Raises as `database_services` does."""
    from connector_pipeline.cli.local_services import SchemaUse, database_services
    from connector_pipeline.postgres.database import Database
    from connector_pipeline.state.registry import ShopRegistry

    with database_services(SchemaUse.ROWS):
        yield ShopRegistry(database=Database())


def _row(shop: RegisteredShop) -> dict[str, Any]:
    return {"shop": shop.partition_key, **shop.model_dump()}
