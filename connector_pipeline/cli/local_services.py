"""What a command needs around it: a migrated database, a Token Service, Dagster's home.

Whatever the environment names is used as it is. What it leaves open is brought: the embedded
Postgres, and the sandbox of a running `connector-pipeline dev` or one for this command alone.
Both are exported to the environment, where definitions and child processes find them.
"""

import os
import shutil
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from connector_pipeline.cli.dev_session import running_session
from connector_pipeline.cli.extras import Extra, require_stand_ins, stand_ins
from connector_pipeline.cli.ports import free_port
from connector_pipeline.model.errors import DatabaseUnavailable
from connector_pipeline.postgres.embedded.server import EmbeddedPostgres
from connector_pipeline.postgres.migrate import migrate
from connector_pipeline.settings import Settings, SettingsError, load_settings

if TYPE_CHECKING:
    from connector_pipeline.sandbox.server import SandboxServer
    from connector_pipeline.sandbox.shops.spec import ShopSpec

SANDBOX_PORT: Final = 4010
DAGSTER_DATABASE: Final = "dagster"


@dataclass(frozen=True, slots=True)
class LocalServices:
    """What a command found or was brought. `settings` name all of it; URLs may hold secrets."""

    settings: Settings
    embedded: bool
    sandbox: "SandboxServer | None"
    sandbox_url: str | None

    def sandbox_shops(self) -> "list[ShopSpec]":
        """The shops of the sandbox this command brought; none where it brought none."""
        return [] if self.sandbox is None else [shop.spec for shop in self.sandbox.store]


@contextmanager
def database_services() -> Generator[Settings]:
    """A migrated database, named by the yielded settings and the environment.

    Raises SettingsError, ExtraMissing and DatabaseUnavailable.
    """
    settings = load_settings()
    if settings.connector_database_url is None:
        require_stand_ins([Extra.EMBEDDED])
    settings.home.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        exported: dict[str, str] = {}
        if settings.connector_database_url is None:
            postgres = stack.enter_context(EmbeddedPostgres(settings.home))
            exported["CONNECTOR_DATABASE_URL"] = url = postgres.url("catalog")
            dagster_url = postgres.dagster_url
        else:
            url = settings.connector_database_url.get_secret_value()
            dagster_url = None
        if settings.dagster_postgres_url is None:
            exported["DAGSTER_POSTGRES_URL"] = dagster_url or _dagster_database(url)
        stack.enter_context(_exported(exported))
        migrate(url)
        yield load_settings()


@contextmanager
def local_services(
    *, sandbox_port: int | None = None, own_sandbox: bool = False
) -> Generator[LocalServices]:
    """All that a sync needs. `own_sandbox` starts one even where `dev` has one running.

    The sandbox is on `sandbox_port` or the next free one. Raises SettingsError, ExtraMissing and
    DatabaseUnavailable.
    """
    settings = load_settings()
    embedded = settings.connector_database_url is None
    session = None if own_sandbox else running_session(settings.home)
    running_sandbox = {} if session is None else session.sandbox_environment
    needed = stand_ins(settings)
    if running_sandbox and Extra.SANDBOX in needed:
        needed.remove(Extra.SANDBOX)
    require_stand_ins(needed)
    with ExitStack() as stack:
        stack.enter_context(database_services())
        sandbox, sandbox_url = None, None
        if settings.token_service_url is None:
            if session is not None and running_sandbox:
                stack.enter_context(_exported(running_sandbox))
                sandbox_url = session.sandbox_url
            else:
                sandbox = stack.enter_context(sandbox_server(sandbox_port))
                stack.enter_context(_exported(sandbox.environment()))
                sandbox_url = sandbox.url
        stack.enter_context(_exported(_dagster_home(settings.home)))
        yield LocalServices(
            settings=load_settings(), embedded=embedded, sandbox=sandbox, sandbox_url=sandbox_url
        )


def sandbox_server(port: int | None) -> "SandboxServer":
    """A sandbox that is not started yet, on `port` or the next free one. Needs its extra."""
    # Imported here: its packages are an extra.
    from connector_pipeline.sandbox.server import SandboxServer

    return SandboxServer(port=0 if port is None else free_port(port))


@contextmanager
def _exported(variables: Mapping[str, str]) -> Generator[None]:
    """The variables in the environment, for definitions and child processes, until the end."""
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
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(instance_config(), folder / "dagster.yaml")
    return {"DAGSTER_HOME": str(folder)}


def instance_config() -> Path:
    """The project's dagster.yaml: a wheel has it in the package, a checkout at its top."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "dagster.yaml"
    return installed if installed.is_file() else package.parent / "dagster.yaml"


def _dagster_database(connector_url: str) -> str:
    """Dagster's own database beside ours on the same server, created when it is not there."""
    parts = urlsplit(connector_url)
    try:
        with psycopg.connect(connector_url, autocommit=True, connect_timeout=10) as connection:
            found = connection.execute(
                "SELECT 1 FROM pg_database WHERE datname = %s", [DAGSTER_DATABASE]
            ).fetchone()
            if found is None:
                connection.execute(
                    sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DAGSTER_DATABASE))
                )
    except psycopg.errors.InsufficientPrivilege:
        raise SettingsError(
            [
                "DAGSTER_POSTGRES_URL: not set, and CONNECTOR_DATABASE_URL's user may not create "
                f"a database {DAGSTER_DATABASE!r} beside it. "
                "Example: DAGSTER_POSTGRES_URL=postgresql+psycopg2://dagster@db.internal/dagster"
            ]
        ) from None
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable(
            f"Postgres at {parts.hostname or 'its socket'} does not answer "
            f"({type(error).__name__})."
        ) from None
    return urlunsplit(parts._replace(scheme="postgresql+psycopg2", path=f"/{DAGSTER_DATABASE}"))
