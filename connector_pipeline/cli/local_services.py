"""The services around a command: a database, a Token Service, Dagster's home.

A service that the environment names is used as it is. In place of the others a command uses the
embedded Postgres, and beside that the sandbox of a running `connector-pipeline dev` or one of its
own. It exports both to the environment, where definitions and child processes find them.
"""

import os
import shutil
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from connector_pipeline.cli.dev_session import refuse_while_starting, running_session
from connector_pipeline.cli.extras import needed_extras
from connector_pipeline.cli.ports import free_port
from connector_pipeline.cli.working import working
from connector_pipeline.model.extra import Extra, require
from connector_pipeline.postgres.connections import connect
from connector_pipeline.postgres.embedded.postmaster import data_directory
from connector_pipeline.postgres.embedded.server import EmbeddedPostgres
from connector_pipeline.postgres.revision import (
    DatabaseNotMigrated,
    refuse_unsuitable,
)
from connector_pipeline.private_files import make_private_folder
from connector_pipeline.settings import Settings, SettingsError, load_settings

if TYPE_CHECKING:
    from connector_pipeline.sandbox.server import SandboxServer
    from connector_pipeline.sandbox.shops.spec import ShopSpec

DAGSTER_DATABASE: Final = "dagster"


class SchemaUse(Enum):
    """The use that a command makes of the schemas `catalog` and `connector`.

    Only MIGRATE, and RUN_HERE on the embedded server, change a schema. INSPECT and ROWS make no
    embedded server: a new one has no schema to use.
    """

    INSPECT = "looks at the revision, whichever it is"
    ROWS = "reads or writes rows: refused unless the database is at the needed revision"
    RUN_HERE = "runs everything here: migrates an embedded database, uses another one as ROWS"
    MIGRATE = "migrates the database itself"


@dataclass(frozen=True, slots=True)
class LocalServices:
    """The services of a command. `settings` name them all; their URLs may hold secrets.

    `sandbox` is one of the command's own. `sandbox_url` is also set for that of a running `dev`.
    """

    settings: Settings
    embedded: bool
    sandbox: "SandboxServer | None"
    sandbox_url: str | None

    def sandbox_shops(self) -> "list[ShopSpec]":
        """The shops of the command's own sandbox; none if it has no sandbox of its own."""
        return [] if self.sandbox is None else [shop.spec for shop in self.sandbox.store]


@contextmanager
def database_services(use: SchemaUse) -> Generator[Settings]:
    """The database, which the yielded settings and the environment name.

    Raises SettingsError, ExtraMissing, DatabaseUnavailable; DatabaseNotMigrated and SchemaNotOurs
    if the database is not at the revision that the use needs.
    """
    settings = load_settings()
    if settings.connector_database_url is None:
        require(Extra.EMBEDDED, setting_helps=True)
    with ExitStack() as stack:
        if settings.connector_database_url is None:
            if use in (SchemaUse.INSPECT, SchemaUse.ROWS):
                _refuse_without_server(settings.home)
            with working("Starting the embedded PostgreSQL"):
                postgres = stack.enter_context(EmbeddedPostgres(settings.home))
            found = {"CONNECTOR_DATABASE_URL": postgres.url("catalog")}
            if settings.dagster_postgres_url is None:
                found["DAGSTER_POSTGRES_URL"] = postgres.dagster_url
            stack.enter_context(exported(found))
            if use is SchemaUse.RUN_HERE:
                # Imported here: it brings Alembic, and most commands migrate nothing.
                from connector_pipeline.cli.real_or_sandbox import mark_if_for_real_shops
                from connector_pipeline.postgres.migrate import migrate

                with working("Migrating the embedded PostgreSQL"):
                    migrate(found["CONNECTOR_DATABASE_URL"])
                mark_if_for_real_shops(settings, found["CONNECTOR_DATABASE_URL"])
        settings = load_settings()
        if use not in (SchemaUse.INSPECT, SchemaUse.MIGRATE):
            with connect(database_url(settings)) as connection:
                refuse_unsuitable(connection)
        yield settings


def database_url(settings: Settings) -> str:
    """The URL of the database that `database_services` found or started."""
    if settings.connector_database_url is None:
        raise RuntimeError("database_services has not exported CONNECTOR_DATABASE_URL")
    return settings.connector_database_url.get_secret_value()


@contextmanager
def local_services(
    use: SchemaUse, *, sandbox_port: int | None = None, own_sandbox: bool = False
) -> Generator[LocalServices]:
    """All that a sync needs. `own_sandbox` starts a sandbox even if a running `dev` has one.

    The sandbox is on `sandbox_port` or the next free one. If DAGSTER_POSTGRES_URL is not set,
    Dagster's database is made beside the connector's, unless the use is INSPECT, which also leaves
    out the sandbox where it must not serve. Raises as `database_services` does, and SettingsError
    for a sandbox beside anything but an embedded database of its own, before anything is written,
    and AlreadyRunning where a `dev` that is just starting will have the sandbox.
    """
    # Imported here: it brings SQLAlchemy and an HTTP client, and commands over rows need neither.
    from connector_pipeline.cli.real_or_sandbox import (
        claim_for_sandbox,
        refuse_mixed,
        refuse_sandbox_elsewhere,
        sandbox_elsewhere,
    )

    settings = load_settings()
    if use is not SchemaUse.INSPECT:
        refuse_sandbox_elsewhere(settings)
    embedded = settings.connector_database_url is None
    without_sandbox = bool(sandbox_elsewhere(settings))
    if not own_sandbox and settings.token_service_url is None and not without_sandbox:
        refuse_while_starting(settings.home)
    session = None if own_sandbox else running_session(settings.home)
    running_sandbox = {} if session is None else session.sandbox_environment
    needed = needed_extras(settings)
    if (running_sandbox or without_sandbox) and Extra.SANDBOX in needed:
        needed.remove(Extra.SANDBOX)
    require(*needed, setting_helps=True)
    with ExitStack() as stack:
        settings = stack.enter_context(database_services(use))
        checked = use in (SchemaUse.ROWS, SchemaUse.RUN_HERE)
        if checked and settings.token_service_url is not None:
            refuse_mixed(settings, database_url(settings))
        if settings.dagster_postgres_url is None and use is not SchemaUse.INSPECT:
            dagster_url = _dagster_database(database_url(settings))
            stack.enter_context(exported({"DAGSTER_POSTGRES_URL": dagster_url}))
        sandbox, sandbox_url = None, None
        if settings.token_service_url is None and not without_sandbox:
            if session is not None and running_sandbox:
                stack.enter_context(exported(running_sandbox))
                sandbox_url = session.sandbox_url
                specs = []
            else:
                sandbox = stack.enter_context(sandbox_server(sandbox_port))
                stack.enter_context(exported(sandbox.environment()))
                sandbox_url = sandbox.url
                specs = [shop.spec for shop in sandbox.store]
            if checked:
                claim_for_sandbox(database_url(settings), specs)
        stack.enter_context(exported(_dagster_home(settings.home)))
        yield LocalServices(
            settings=load_settings(), embedded=embedded, sandbox=sandbox, sandbox_url=sandbox_url
        )


@contextmanager
def dagster_services(settings: Settings) -> Generator[None]:
    """Dagster's database and home, for a command that uses its storage and syncs nothing.

    Within `database_services`. Raises as it does, and SettingsError.
    """
    with ExitStack() as stack:
        if settings.dagster_postgres_url is None:
            dagster_url = _dagster_database(database_url(settings))
            stack.enter_context(exported({"DAGSTER_POSTGRES_URL": dagster_url}))
        stack.enter_context(exported(_dagster_home(settings.home)))
        yield


def sandbox_server(port: int | None) -> "SandboxServer":
    """A sandbox that is not started yet, on `port` or the next free one. Needs its extra."""
    # Imported here: its packages are an extra.
    from connector_pipeline.sandbox.server import SandboxServer

    return SandboxServer(port=0 if port is None else free_port(port))


def _refuse_without_server(home: Path) -> None:
    if not data_directory(home).exists():
        raise DatabaseNotMigrated(
            f"there is no embedded Postgres under {home} yet.",
            remedy="Run `connector-pipeline migrate` to make it, or set CONNECTOR_DATABASE_URL.",
        )


@contextmanager
def exported(variables: Mapping[str, str]) -> Generator[None]:
    """Set the variables in the environment until the end of the block."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _dagster_home(home: Path) -> dict[str, str]:
    """DAGSTER_HOME below CONNECTOR_HOME with the project's dagster.yaml, unless one is set."""
    if os.environ.get("DAGSTER_HOME"):
        return {}
    folder = home / "dagster"
    make_private_folder(home, passable=os.geteuid() == 0)
    make_private_folder(folder)
    shutil.copyfile(instance_config(), folder / "dagster.yaml")
    return {"DAGSTER_HOME": str(folder)}


def instance_config() -> Path:
    """The project's dagster.yaml: a wheel has it in the package, a checkout at its top."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "dagster.yaml"
    return installed if installed.is_file() else package.parent / "dagster.yaml"


def _dagster_database(connector_url: str) -> str:
    """The URL of Dagster's own database on the server of ours. Creates it if it does not exist."""
    parts = urlsplit(connector_url)
    with connect(connector_url) as connection:
        connection.autocommit = True
        found = connection.execute(
            "SELECT 1 FROM pg_database WHERE datname = %s", [DAGSTER_DATABASE]
        ).fetchone()
        if found is None:
            _create_dagster_database(connection)
    return urlunsplit(parts._replace(scheme="postgresql+psycopg2", path=f"/{DAGSTER_DATABASE}"))


def _create_dagster_database(connection: psycopg.Connection) -> None:
    try:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DAGSTER_DATABASE)))
    except psycopg.errors.InsufficientPrivilege:
        raise SettingsError(
            [
                "DAGSTER_POSTGRES_URL: not set, and CONNECTOR_DATABASE_URL's user may not create "
                f"a database {DAGSTER_DATABASE!r} beside it. "
                "Example: DAGSTER_POSTGRES_URL=postgresql+psycopg2://dagster@db.internal/dagster"
            ]
        ) from None
