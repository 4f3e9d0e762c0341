"""The command line `connector-pipeline`.

Exit status: 0 done, 1 failed, 2 wrong usage, 130 ended by Ctrl-C (docs/operating.md, Commands).

A command imports its module when it is called. Dagster, which most commands do without, takes
longer to import than they take to run.
"""

import io
import sys
from contextlib import AbstractContextManager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from connector_pipeline.cli import (
    catalog_commands,
    queue_commands,
    shops_commands,
    webhooks_commands,
)
from connector_pipeline.cli.arguments import (
    MOST_HOURS,
    JsonFlag,
    PlatformOption,
    ShopArgument,
    YesFlag,
)
from connector_pipeline.cli.debug import DebugFlag, debug_first
from connector_pipeline.cli.examples import PLATFORM, SHOP, examples
from connector_pipeline.cli.ports import METRICS_PORT, SANDBOX_PORT, UI_PORT
from connector_pipeline.cli.terminal import settle
from connector_pipeline.cli.version import VersionFlag
from connector_pipeline.engine.unused_imports import leave_out_unused_imports
from connector_pipeline.model.process_output import guard_output, traceback_text
from connector_pipeline.model.sync_type import RequestedSyncType

app = typer.Typer(
    name="connector-pipeline",
    help="Keep a Postgres catalog true to thousands of merchants' shops.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
    epilog=examples("dev", f"sync {SHOP}", "doctor", "shops --help", "--install-completion"),
)
app.add_typer(shops_commands.app, name="shops")
app.add_typer(catalog_commands.app, name="catalog")
app.add_typer(queue_commands.app, name="queue")
app.add_typer(webhooks_commands.app, name="webhooks")


@app.callback()
def _options(version: VersionFlag = False, debug: DebugFlag = False) -> None:  # pyright: ignore[reportUnusedFunction]
    """Keep a Postgres catalog true to thousands of merchants' shops."""


def _prefix(path: str) -> str:
    if path and (not path.startswith("/") or path.endswith("/")):
        raise typer.BadParameter("begin it with a slash, and end it with none.")
    return path


def _folder(path: str) -> str:
    # As a Path it would be the working directory, which a variable that is not set does not mean.
    if not path:
        raise typer.BadParameter("it must not be empty.")
    return path


WorkspaceOption = Annotated[
    Path | None,
    typer.Option(
        "--workspace",
        "-w",
        exists=True,
        dir_okay=False,
        help="A file that names code servers, in place of the one at CONNECTOR_CODE_SERVER.",
    ),
]


@app.command(epilog=examples("dev", "dev --port 3100"))
def dev(
    port: Annotated[
        int, typer.Option(min=1, max=65_535, help="The UI's port; the next free one if taken.")
    ] = UI_PORT,
    as_json: JsonFlag = False,
) -> None:
    """Run everything here: Postgres, sandbox, Dagster's UI and daemon, until Ctrl-C."""
    with _loading():
        from connector_pipeline.cli.dev import run_dev

    run_dev(port=port, as_json=as_json)


@app.command(epilog=examples("ui", "ui --host 0.0.0.0 --read-only"))
def ui(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65_535, help="The port to listen on.")] = UI_PORT,
    workspace: WorkspaceOption = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Launch and change nothing by this UI.")
    ] = False,
    path_prefix: Annotated[
        str, typer.Option(callback=_prefix, help="The path under which a proxy has it: /dagster.")
    ] = "",
) -> None:
    """Serve Dagster's UI behind a gate against foreign web pages, until Ctrl-C."""
    from connector_pipeline.cli.ui import run_ui

    run_ui(host=host, port=port, workspace=workspace, read_only=read_only, path_prefix=path_prefix)


@app.command("code-server", epilog=examples("code-server", "code-server --check"))
def code_server(
    listen: Annotated[
        str | None,
        typer.Option(help="Where to listen, if others reach it by CONNECTOR_CODE_SERVER."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Start nothing; exit 1 unless one answers there.")
    ] = False,
) -> None:
    """Serve the project's definitions to UI and daemon at CONNECTOR_CODE_SERVER, until Ctrl-C."""
    from connector_pipeline.cli.code_server import run_code_server

    run_code_server(listen=listen, check=check)


@app.command(epilog=examples("daemon", "daemon --check"))
def daemon(
    workspace: WorkspaceOption = None,
    check: Annotated[
        bool, typer.Option("--check", help="Start nothing; exit 1 unless one has run within 90 s.")
    ] = False,
) -> None:
    """Run sensors, schedules, the queue of runs and their retries, until Ctrl-C."""
    from connector_pipeline.cli.daemon import run_daemon

    run_daemon(workspace=workspace, check=check)


@app.command(epilog=examples("init /etc/connector"))
def init(
    folder: Annotated[
        str, typer.Argument(metavar="DIR", callback=_folder, help="A new folder, or an empty one.")
    ],
    as_json: JsonFlag = False,
) -> None:
    """Write the folder of a deployment: dagster.yaml, settings, roles and what to do with them."""
    from connector_pipeline.cli.init import run_init

    run_init(Path(folder), as_json=as_json)


@app.command(epilog=examples("metrics --host 127.0.0.1 --port 9464"))
def metrics(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="The port.")] = METRICS_PORT,
) -> None:
    """Serve /metrics for Prometheus, from the view connector.metrics, until Ctrl-C."""
    from connector_pipeline.cli.metrics import run_metrics

    run_metrics(host=host, port=port)


@app.command(epilog=examples("worker"))
def worker() -> None:
    """Execute runs in warm processes, as the Celery broker brings them, until SIGTERM."""
    from connector_pipeline.cli.worker import run_worker

    raise typer.Exit(run_worker())


@app.command(epilog=examples("demo", "demo --json"))
def demo(as_json: JsonFlag = False) -> None:
    """Sync every sandbox shop as real Dagster runs, without the UI, and show the catalog."""
    leave_out_unused_imports()
    with _loading():
        from connector_pipeline.cli.demo import run_demo

    _exit_unless(run_demo(as_json=as_json))


@app.command(epilog=examples("sandbox", "sandbox --port 4020"))
def sandbox(
    port: Annotated[
        int, typer.Option(min=1, max=65_535, help="The port; the next free one if taken.")
    ] = SANDBOX_PORT,
    as_json: JsonFlag = False,
) -> None:
    """Serve the sandbox alone (Token Service and platforms on loopback) until Ctrl-C."""
    from connector_pipeline.cli.json_output import print_json
    from connector_pipeline.cli.local_services import sandbox_server
    from connector_pipeline.cli.output import out
    from connector_pipeline.model.extra import Extra, require

    require(Extra.SANDBOX)
    server = sandbox_server(port)
    if as_json:
        print_json(server.environment())
    else:
        for name, value in server.environment().items():
            out.print(f"export {name}='{value}'", soft_wrap=True)
    sys.stdout.flush()
    # An operator ends it by Ctrl-C, which is no error.
    with suppress(KeyboardInterrupt):
        server.run()


@app.command(epilog=examples("doctor", "doctor --json"))
def doctor(as_json: JsonFlag = False) -> None:
    """Look at settings, database, migrations, Token Service and adapters, and name remedies."""
    with _loading():
        from connector_pipeline.cli.doctor import run_doctor

    _exit_unless(run_doctor(as_json=as_json))


@app.command(epilog=examples("migrate", "migrate --check", "migrate --sql"))
def migrate(
    check: Annotated[
        bool,
        typer.Option("--check", help="Change nothing; exit 1 unless it is at the needed revision."),
    ] = False,
    print_sql: Annotated[
        bool, typer.Option("--sql", help="Change nothing; print the SQL that would run.")
    ] = False,
    print_roles: Annotated[
        bool,
        typer.Option(
            "--roles", help="Change nothing; print the SQL that makes the roles, for once."
        ),
    ] = False,
    to: Annotated[
        str | None,
        typer.Option(metavar="REVISION", help="Go back to this older revision, for a rollback."),
    ] = None,
    yes: YesFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Bring the database's schemas to the revision that this version needs."""
    from connector_pipeline.cli.migrate import run_downgrade, run_migrate

    if check + print_sql + print_roles + (to is not None) > 1:
        raise typer.BadParameter("choose one of --check, --sql, --roles and --to.")
    if to is not None:
        run_downgrade(to, yes=yes, as_json=as_json)
        return
    run_migrate(check=check, print_sql=print_sql, print_roles=print_roles, as_json=as_json)


@app.command(
    epilog=examples(f"sync {SHOP}", f"sync {SHOP} --type full", f"sync {SHOP} --request --json")
)
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
        from connector_pipeline.cli.sync_request import request_sync

        if allow_shrink:
            raise typer.BadParameter("--allow-shrink cannot be combined with --request.")
        request_sync(shop, sync_type=sync_type, as_json=as_json)
        return
    leave_out_unused_imports()
    with _loading():
        from connector_pipeline.cli.sync import run_sync

    _exit_unless(run_sync(shop, sync_type=sync_type, allow_shrink=allow_shrink, as_json=as_json))


@app.command(
    epilog=examples("backfill", "backfill --failed", f"backfill --platform {PLATFORM} --stale 24")
)
def backfill(
    platform: PlatformOption = None,
    merchant_id: Annotated[str | None, typer.Option(help="Only this merchant's shops.")] = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only shops whose last sync failed.")
    ] = False,
    stale: Annotated[
        float | None,
        typer.Option(
            metavar="HOURS",
            min=0,
            max=MOST_HOURS,
            help="Only shops not synced for so many hours.",
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Sync all active shops, or selected ones, many in a run, and wait for the end."""
    leave_out_unused_imports()
    with _loading():
        from connector_pipeline.cli.backfill import Selection, run_backfill

    selection = Selection(
        platform=platform,
        merchant_id=merchant_id,
        failed=failed,
        stale=None if stale is None else timedelta(hours=stale),
    )
    _exit_unless(run_backfill(selection, as_json=as_json))


@app.command(epilog=examples("schema", "schema sync", "schema shops list"))
def schema(
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[COMMAND]...", help="E.g. `shops list`.")
    ] = None,
) -> None:
    """Print the JSON Schema of what a command prints with --json; without one, of all."""
    from connector_pipeline.cli.schema import print_schema

    print_schema(" ".join(command or ()))


def main() -> None:
    """Run the command line. An error is printed on a line, with the remedy; see `--debug`."""
    settle()
    guard_output()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A title may have what the terminal's encoding has not.
            stream.reconfigure(errors="backslashreplace")
    words, debug = debug_first(sys.argv[1:])
    try:
        status = app(words, prog_name="connector-pipeline", standalone_mode=False)
    except Exception as error:
        from connector_pipeline.cli.failures import failure_of
        from connector_pipeline.cli.output import err

        if debug and not isinstance(error, typer.TyperException):
            # Printed here: Python's own traceback quotes URLs and credentials.
            sys.stderr.write(traceback_text(error))
        failure = failure_of(error)
        for line in failure.lines:
            err.print(line, soft_wrap=True)
        status = failure.status
    if status:
        sys.exit(status)


def _loading() -> AbstractContextManager[None]:
    """A word on a terminal: Dagster takes a second or two to import."""
    from connector_pipeline.cli.working import working

    return working("Loading")


def _exit_unless(succeeded: bool) -> None:
    if not succeeded:
        raise typer.Exit(1)
