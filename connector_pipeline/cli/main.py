"""The command line `connector-pipeline`. Exit status: 0 done, 1 failed, 2 wrong usage."""

import sys
from contextlib import suppress
from datetime import timedelta
from typing import Annotated

import typer

from connector_pipeline.cli import catalog_commands, shops_commands
from connector_pipeline.cli.backfill import Selection, run_backfill
from connector_pipeline.cli.demo import run_demo
from connector_pipeline.cli.dev import UI_PORT, run_dev
from connector_pipeline.cli.dev_session import AlreadyRunning
from connector_pipeline.cli.doctor import run_doctor
from connector_pipeline.cli.local_services import SANDBOX_PORT, sandbox_server
from connector_pipeline.cli.migrate import migrate
from connector_pipeline.cli.output import JsonFlag, err, out, print_json
from connector_pipeline.cli.shops_commands import ShopArgument
from connector_pipeline.cli.supervisor import ChildEnded
from connector_pipeline.cli.sync import request_sync, run_sync
from connector_pipeline.model.errors import ConnectorError, InvalidShop
from connector_pipeline.model.extra import Extra, require
from connector_pipeline.model.sync import RequestedSyncType
from connector_pipeline.platforms.adapters import adapter_class
from connector_pipeline.settings import SettingsError

app = typer.Typer(
    name="connector-pipeline",
    help="Keep a Postgres catalog true to thousands of merchants' shops.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(shops_commands.app, name="shops")
app.add_typer(catalog_commands.app, name="catalog")
app.command()(migrate)


@app.command()
def dev(
    port: Annotated[int, typer.Option(help="The UI's port; the next free one if taken.")] = UI_PORT,
    as_json: JsonFlag = False,
) -> None:
    """Run everything here: Postgres, sandbox, Dagster's UI and daemon, until Ctrl-C."""
    run_dev(port=port, as_json=as_json)


@app.command()
def demo(as_json: JsonFlag = False) -> None:
    """Sync every sandbox shop as real Dagster runs, without the UI, and show the catalog."""
    _exit_unless(run_demo(as_json=as_json))


@app.command()
def sandbox(
    port: Annotated[int, typer.Option(help="The port; the next free one if taken.")] = SANDBOX_PORT,
    as_json: JsonFlag = False,
) -> None:
    """Serve the sandbox alone (Token Service and platforms on loopback) until Ctrl-C."""
    require(Extra.SANDBOX)
    server = sandbox_server(port)
    if as_json:
        print_json(server.environment())
    else:
        for name, value in server.environment().items():
            out.print(f"export {name}='{value}'", markup=False, soft_wrap=True)
    sys.stdout.flush()
    # An operator ends it by Ctrl-C, which is no error.
    with suppress(KeyboardInterrupt):
        server.run()


@app.command()
def doctor(as_json: JsonFlag = False) -> None:
    """Look at settings, database, migrations, Token Service and adapters, and name remedies."""
    _exit_unless(run_doctor(as_json=as_json))


@app.command()
def sync(
    shop: ShopArgument,
    sync_type: Annotated[
        RequestedSyncType, typer.Option("--type", help="Read everything, or only changes.")
    ] = RequestedSyncType.auto,
    allow_shrink: Annotated[
        bool, typer.Option("--allow-shrink", help="Confirm that most of the shop is gone.")
    ] = False,
    request: Annotated[
        bool, typer.Option("--request", help="Leave the sync to the daemon, and do not wait.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Sync one shop now, as a Dagster run, and wait for its end."""
    if request:
        if allow_shrink:
            raise typer.BadParameter("--allow-shrink cannot be combined with --request.")
        request_sync(shop, sync_type=sync_type, as_json=as_json)
        return
    _exit_unless(run_sync(shop, sync_type=sync_type, allow_shrink=allow_shrink, as_json=as_json))


def _known_platform(name: str | None) -> str | None:
    if name is not None:
        try:
            adapter_class(name)
        except InvalidShop as error:
            raise typer.BadParameter(f"{error}.") from None
    return name


@app.command()
def backfill(
    platform: Annotated[
        str | None,
        typer.Option(callback=_known_platform, help="Only shops of this platform."),
    ] = None,
    merchant_id: Annotated[str | None, typer.Option(help="Only this merchant's shops.")] = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only shops whose last sync failed.")
    ] = False,
    stale: Annotated[
        float | None,
        typer.Option(metavar="HOURS", min=0, help="Only shops not synced for so many hours."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Sync all active shops, or selected ones, many in a run, and wait for the end."""
    selection = Selection(
        platform=platform,
        merchant_id=merchant_id,
        failed=failed,
        stale=None if stale is None else timedelta(hours=stale),
    )
    _exit_unless(run_backfill(selection, as_json=as_json))


def main() -> None:
    """Run the command line. Errors that an operator can correct are printed without a traceback."""
    try:
        app()
    except SettingsError as error:
        _fail(*error.lines)
    except InvalidShop as error:
        _fail(str(error), status=2)
    except ConnectorError as error:
        _fail(f"{error.code}: {error}")
    except ChildEnded as error:
        _fail(str(error))
    except AlreadyRunning as error:
        session = error.session
        where = f" at {session.ui_url} (pid {session.pid})" if session else ", and just starting"
        _fail(f"connector-pipeline dev is already running{where}.")


def _fail(*lines: str, status: int = 1) -> None:
    for line in lines:
        err.print(line, markup=False, soft_wrap=True)
    sys.exit(status)


def _exit_unless(succeeded: bool) -> None:
    if not succeeded:
        raise typer.Exit(1)
