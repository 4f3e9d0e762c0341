"""`connector-pipeline migrate`: the only command that changes the schemas of any database."""

import sys

import typer

from connector_pipeline.cli.asked_first import confirm
from connector_pipeline.cli.json_output import print_json
from connector_pipeline.cli.local_services import SchemaUse, database_services, database_url
from connector_pipeline.cli.output import err, out
from connector_pipeline.cli.real_or_sandbox import mark_if_for_real_shops
from connector_pipeline.cli.working import working
from connector_pipeline.postgres import migrate as migrations
from connector_pipeline.postgres.connections import connect
from connector_pipeline.postgres.downgrade import downgrade, steps_back
from connector_pipeline.postgres.revision import (
    database_revision,
    is_newer_and_suits,
    needed_revision,
)
from connector_pipeline.postgres.roles import roles_sql


def run_downgrade(revision: str, *, yes: bool, as_json: bool) -> None:
    """Take the database back to an older revision, after it was said what is lost and confirmed.

    Raises typer.Exit and BadParameter as `confirm` does, and what `downgrade` raises.
    """
    with database_services(SchemaUse.INSPECT) as settings:
        url = database_url(settings)
        undone = steps_back(url, revision)
        if undone:
            for step in undone:
                _warn(f"{step.revision} is undone. Lost: {step.lost_by_downgrade}")
            _warn("First stop every process of a version that needs a later revision.")
            confirm(revision, yes=yes, as_json=as_json)
        with working(f"Going back to {revision}"):
            done = downgrade(url, revision)
    if as_json:
        print_json(
            {
                "before": done.before,
                "revision": done.after,
                "lost": {step.revision: step.lost_by_downgrade for step in undone},
            }
        )
    else:
        _say(_moved(done))


def run_migrate(*, check: bool, print_sql: bool, print_roles: bool, as_json: bool) -> None:
    """Migrate the database, or only print its revision, the SQL that would run, or that of roles.

    Raises typer.Exit(1) if `check` finds another revision than the needed one, and what
    `database_services` and `postgres.migrate.migrate` raise.
    """
    if check:
        _check(as_json=as_json)
    elif print_sql:
        _print_sql(as_json=as_json)
    elif print_roles:
        _print_script(roles_sql(), as_json=as_json)
    else:
        _migrate(as_json=as_json)


def _migrate(*, as_json: bool) -> None:
    with database_services(SchemaUse.MIGRATE) as settings:
        with working("Migrating"):
            done = migrations.migrate(database_url(settings))
        mark_if_for_real_shops(settings, database_url(settings))
    if as_json:
        print_json({"before": done.before, "revision": done.after, "granted": done.granted})
    else:
        _say(_moved(done))


def _check(*, as_json: bool) -> None:
    with (
        database_services(SchemaUse.INSPECT) as settings,
        connect(database_url(settings)) as connection,
    ):
        revision = database_revision(connection)
        newer = revision is not None and is_newer_and_suits(connection, revision)
    needed = needed_revision()
    if as_json:
        print_json({"revision": revision, "needed": needed, "works": newer or revision == needed})
    elif newer:
        _say(
            f"A newer version brought the database to revision {revision}, and this version, of "
            f"{needed}, works with it."
        )
    else:
        _say(f"The database is at {_shown(revision)}, and this version needs {needed}.")
    if revision != needed and not newer:
        raise typer.Exit(1)


def _print_sql(*, as_json: bool) -> None:
    with database_services(SchemaUse.INSPECT) as settings:
        script = migrations.migration_sql(database_url(settings))
    _print_script(script, as_json=as_json)


def _print_script(script: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"sql": script})
    else:
        sys.stdout.write(script)


def _moved(done: migrations.Migration) -> str:
    if done.before == done.after:
        return f"The database is at revision {done.after} already."
    return f"The database was at {_shown(done.before)} and is at revision {done.after}."


def _say(text: str) -> None:
    out.print(text, soft_wrap=True)


def _warn(text: str) -> None:
    err.print(text, soft_wrap=True)


def _shown(revision: str | None) -> str:
    return "no revision" if revision is None else f"revision {revision}"
