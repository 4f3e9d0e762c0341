"""`connector-pipeline shops …`: shows and changes the registry.

A command imports what it works with when it is called: its help needs no database.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from connector_pipeline.cli.arguments import (
    JsonFlag,
    NewShopArgument,
    OptionalShopArgument,
    PlatformOption,
    ShopArgument,
    ShopsArgument,
    YesFlag,
)
from connector_pipeline.cli.examples import PLATFORM, SHOP, SHOP_IN_A_FOLDER, examples
from connector_pipeline.model.shop_state import ShopState

if TYPE_CHECKING:
    from connector_pipeline.state.registry import ShopRegistry

app = typer.Typer(
    help="The registry of shops: each is a partition unless it is paused.", no_args_is_help=True
)

StateOption = Annotated[ShopState | None, typer.Option(help="Only shops of this state.")]
FileOption = Annotated[
    typer.FileText | None,
    typer.Option(
        help="A file with one partition key a line; - is standard input.",
        encoding="utf-8",
        errors="replace",
    ),
]


@app.command(
    epilog=examples(
        f"shops add {SHOP} --merchant-id m-1",
        f"shops add {SHOP_IN_A_FOLDER} --merchant-id m-2 --path /shop",
    )
)
def add(
    shop: NewShopArgument,
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
    from connector_pipeline.model.shop import Shop, valid_currency
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


@app.command("import", epilog=examples("shops import shops.csv"))
def import_csv(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", exists=True, dir_okay=False)],
    as_json: JsonFlag = False,
) -> None:
    """Register the shops of a CSV file, all or none.

    Its header is merchant_id,platform_name,platform_shop_id,domain, perhaps with path.
    """
    from connector_pipeline.cli.json_output import print_json
    from connector_pipeline.cli.output import out

    with _registry() as registry:
        outcomes = registry.import_csv(file)
    if as_json:
        print_json(dict(outcomes))
    else:
        counted = ", ".join(f"{number} {outcome}" for outcome, number in outcomes.items())
        out.print(f"{file}: {counted}.", markup=False, soft_wrap=True)


@app.command("list", epilog=examples("shops list", "shops list --state disconnected --json"))
def list_shops(
    state: Annotated[ShopState | None, typer.Option(help="Only shops of this state.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """List the registered shops, each with its error and since when it fails."""
    from connector_pipeline.cli.shops_health import run_list

    with _registry() as registry:
        run_list(
            list(registry.list(state)),
            as_json=as_json,
            empty="No shops are registered: connector-pipeline shops add SHOP --merchant-id M"
            if state is None
            else f"No shop is {state.value}.",
        )


@app.command(epilog=examples(f"shops show {SHOP}"))
def show(shop: ShopArgument, as_json: JsonFlag = False) -> None:
    """Show a shop: its state, its error with the remedy, since when, and the next try."""
    from connector_pipeline.cli.shops_health import run_show

    run_show(shop, as_json=as_json)


@app.command(epilog=examples("shops health", "shops health --json"))
def health(as_json: JsonFlag = False) -> None:
    """Show all shops at a glance: which fail, since when, why, and what to do."""
    from connector_pipeline.cli.shops_health import run_health

    run_health(as_json=as_json)


@app.command(epilog=examples(f"shops pause {SHOP}", "shops pause --file shops.txt"))
def pause(
    shops: ShopsArgument = None,
    state: StateOption = None,
    platform: PlatformOption = None,
    file: FileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Stop syncing shops; their catalog stays."""
    _set_states(ShopState.PAUSED, shops, state, platform, file, as_json=as_json)


@app.command(
    epilog=examples(
        f"shops resume {SHOP}", f"shops resume --state disconnected --platform {PLATFORM}"
    )
)
def resume(
    shops: ShopsArgument = None,
    state: StateOption = None,
    platform: PlatformOption = None,
    file: FileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Sync paused or disconnected shops again, at once while a daemon runs, then in each sweep."""
    _set_states(ShopState.ACTIVE, shops, state, platform, file, as_json=as_json)


@app.command(epilog=examples(f"shops remove {SHOP}"))
def remove(shop: ShopArgument, as_json: JsonFlag = False) -> None:
    """Remove a shop from the registry; its catalog rows and its history stay: see `erase`."""
    from connector_pipeline.model.shop import parse_partition_key

    parse_partition_key(shop)
    with _registry() as registry:
        registry.remove(shop)
    _say(shop, "removed", as_json=as_json)


@app.command(epilog=examples(f"shops erase {SHOP}", "shops erase --merchant-id m-1 --wait"))
def erase(
    shop: OptionalShopArgument = None,
    merchant_id: Annotated[str | None, typer.Option(help="All shops of this merchant.")] = None,
    demanded: Annotated[
        bool, typer.Option("--demanded", help="All shops of which a platform demands it.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the runs that have the shop.")
    ] = False,
    yes: YesFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Delete all that is stored of a shop, here, in the archive and in Dagster, for good."""
    from connector_pipeline.cli.shops_erase import run_erase

    if (shop is not None) + (merchant_id is not None) + demanded != 1:
        raise typer.BadParameter("name a shop, or a --merchant-id, or choose --demanded.")
    run_erase(
        shop,
        merchant_id=merchant_id,
        demanded=demanded,
        waits=wait,
        yes=yes,
        as_json=as_json,
    )


@app.command(epilog=examples(f"shops export {SHOP}", f"shops export {SHOP} --to acme.zip"))
def export(
    shop: ShopArgument,
    to: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="A new folder, or a file whose name ends in .zip."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Write all that is stored of a shop to files, for a merchant who asks for it."""
    from connector_pipeline.cli.shops_export import run_export

    run_export(shop, to=to, as_json=as_json)


def _set_states(
    state: ShopState,
    shops: list[str] | None,
    now_in: ShopState | None,
    platform: str | None,
    file: typer.FileText | None,
    *,
    as_json: bool,
) -> None:
    """Set the state of the shops that meet all conditions. Unknown shops end it with status 1."""
    from connector_pipeline.cli.output import err, out
    from connector_pipeline.model.shop import parse_partition_key

    keys = _named(shops, file)
    if keys is None and now_in is None:
        raise typer.BadParameter("name shops, or a --file of them, or their --state.")
    if keys is not None:
        for key in keys:
            parse_partition_key(key)
    with _registry() as registry:
        known = None if keys is None else registry.registered(keys)
        changed = registry.set_states(state, keys=known, now_in=now_in, platform_name=platform)
        if state is ShopState.ACTIVE:
            _have_synced(registry, changed)
        unknown = registry.unknown(sorted(set(keys or ()) - set(known or ())))
    for key in changed:
        _say(key, state.value, as_json=as_json)
    if not as_json and len(changed) != 1:
        out.print(f"{len(changed)} shops: {state.value}.")
    for error in unknown:
        err.print(f"{error.code}: {error}", soft_wrap=True)
    if unknown:
        raise typer.Exit(1)


def _have_synced(registry: "ShopRegistry", keys: Sequence[str]) -> None:
    """Put resumed shops into the queue: their catalogs are old, and remedies promise it."""
    from connector_pipeline.model.queue import QueueReason
    from connector_pipeline.state import queue_intake

    with registry.database.connect() as connection:
        queue_intake.put_shops(connection, keys, reason=QueueReason.CHANGE)


def _named(shops: list[str] | None, file: typer.FileText | None) -> list[str] | None:
    """The partition keys of the command and of the file, one a line; None if there is neither."""
    if not shops and file is None:
        return None
    lines = (line.strip() for line in file or ())
    return list(dict.fromkeys([*(shops or ()), *(line for line in lines if line)]))


def _say(shop: str, outcome: str, *, as_json: bool) -> None:
    from connector_pipeline.cli.json_output import print_json
    from connector_pipeline.cli.output import out

    if as_json:
        print_json({"shop": shop, "outcome": outcome})
    else:
        out.print(f"{shop}: {outcome}.", markup=False, soft_wrap=True)


@contextmanager
def _registry() -> Generator["ShopRegistry"]:
    """The registry of the database that the settings name. Raises as `database_services` does."""
    from connector_pipeline.cli.local_services import SchemaUse, database_services
    from connector_pipeline.postgres.database import Database
    from connector_pipeline.state.registry import ShopRegistry

    with database_services(SchemaUse.ROWS):
        yield ShopRegistry(database=Database())
