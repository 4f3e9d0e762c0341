"""`connector-pipeline migrate`: the only command that changes the schemas of any database."""

import sys
from typing import Annotated

import typer

from connector_pipeline.cli.local_services import SchemaUse, database_services, database_url
from connector_pipeline.cli.output import JsonFlag, out, print_json
from connector_pipeline.postgres import migrate as migrations
from connector_pipeline.postgres.connections import connect
from connector_pipeline.postgres.revision import database_revision, needed_revision


def migrate(
    check: Annotated[
        bool,
        typer.Option("--check", help="Change nothing; exit 1 unless it is at the needed revision."),
    ] = False,
    print_sql: Annotated[
        bool, typer.Option("--sql", help="Change nothing; print the SQL that would run.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Bring the database's schemas to the revision that this version needs."""
    if check and print_sql:
        raise typer.BadParameter("choose one of --check and --sql.")
    if check:
        _check(as_json=as_json)
    elif print_sql:
        _print_sql(as_json=as_json)
    else:
        _migrate(as_json=as_json)


def _migrate(*, as_json: bool) -> None:
    with database_services(SchemaUse.MIGRATE) as settings:
        done = migrations.migrate(database_url(settings))
    if as_json:
        print_json({"before": done.before, "revision": done.after, "granted": done.granted})
    elif done.before == done.after:
        _say(f"The database is at revision {done.after} already.")
    else:
        _say(f"The database was at {_shown(done.before)} and is at revision {done.after}.")


def _check(*, as_json: bool) -> None:
    with (
        database_services(SchemaUse.INSPECT) as settings,
        connect(database_url(settings)) as connection,
    ):
        revision = database_revision(connection)
    needed = needed_revision()
    if as_json:
        print_json({"revision": revision, "needed": needed})
    else:
        _say(f"The database is at {_shown(revision)}, and this version needs {needed}.")
    if revision != needed:
        raise typer.Exit(1)


def _print_sql(*, as_json: bool) -> None:
    with database_services(SchemaUse.INSPECT) as settings:
        script = migrations.migration_sql(database_url(settings))
    if as_json:
        print_json({"sql": script})
    else:
        sys.stdout.write(script)


def _say(text: str) -> None:
    out.print(text, markup=False, soft_wrap=True)


def _shown(revision: str | None) -> str:
    return "no revision" if revision is None else f"revision {revision}"
