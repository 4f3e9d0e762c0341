"""`connector-pipeline dev`: runs everything on this machine until Ctrl-C."""

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

from dagster import DagsterInstance
from rich.console import Console
from rich.text import Text

from connector_pipeline.automation.shop_partitions import add_active_partitions
from connector_pipeline.cli.dagster_processes import DagsterProcesses
from connector_pipeline.cli.dev_session import DevSession, announce, sole_session
from connector_pipeline.cli.dev_webhooks import sandbox_secrets, start_receiver
from connector_pipeline.cli.extras import needed_extras
from connector_pipeline.cli.json_output import print_json
from connector_pipeline.cli.local_services import (
    LocalServices,
    SchemaUse,
    exported,
    local_services,
)
from connector_pipeline.cli.output import err, out
from connector_pipeline.cli.own_runs import OwnRuns
from connector_pipeline.cli.ports import SANDBOX_PORT, UI_PORT
from connector_pipeline.cli.real_or_sandbox import refuse_sandbox_elsewhere
from connector_pipeline.cli.registration import register_sandbox_shops
from connector_pipeline.cli.supervisor import ChildEnded, Supervisor
from connector_pipeline.model.errors import DatabaseUnavailable
from connector_pipeline.model.extra import Extra, require
from connector_pipeline.model.shop import RegisteredShop
from connector_pipeline.platforms.adapters import build_adapters
from connector_pipeline.postgres.database import Database
from connector_pipeline.postgres.embedded.server import EmbeddedPostgres
from connector_pipeline.settings import load_settings
from connector_pipeline.state.registry import ShopRegistry


class _Stop(BaseException):
    """Ctrl-C or a TERM signal. Like KeyboardInterrupt, no handler of errors may catch it."""


def run_dev(*, port: int = UI_PORT, as_json: bool = False) -> None:
    """Run everything until Ctrl-C or SIGTERM, then stop it.

    Raises AlreadyRunning, ChildEnded, SettingsError, ExtraMissing, DatabaseUnavailable.
    """
    # With --json the session is the only object on standard output.
    console = err if as_json else out
    settings = load_settings()
    refuse_sandbox_elsewhere(settings)
    require(Extra.UI, *needed_extras(settings))
    shares_dagster = not (
        settings.connector_database_url is None and settings.dagster_postgres_url is None
    )
    with sole_session(settings.home):
        try:
            # `dev` starts no worker, and those of a deployment must not get its runs.
            with _stop_on_signals(console), exported({"RUN_LAUNCHER": "default"}):
                _run(console, port, shares_dagster=shares_dagster, as_json=as_json)
        except _Stop:
            console.print("Stopped.")


def _run(console: Console, wanted_port: int, *, shares_dagster: bool, as_json: bool) -> None:
    with (
        local_services(SchemaUse.RUN_HERE, sandbox_port=SANDBOX_PORT, own_sandbox=True) as services,
        _embedded_postgres(services) as postgres,
    ):
        home = services.settings.home
        registry = ShopRegistry(database=Database())
        with DagsterInstance.get() as instance:
            own_runs = OwnRuns(instance, home)
            if shares_dagster:
                own_runs.refuse_beside_others()
            register_sandbox_shops(registry, services.sandbox_shops())
            _print_templates(console, services)
            add_active_partitions(instance, registry)
            console.print(
                "The database is up. Dagster's code server, daemon and UI start, for up to a "
                f"minute; their logs are in {_short(home / 'logs')}.",
                soft_wrap=True,
            )
            supervisor = Supervisor(home / "logs")
            processes = DagsterProcesses(supervisor, own_runs, home)
            try:
                with exported(sandbox_secrets(services)):
                    ui_url = processes.start(wanted_port)
                    webhooks_url = start_receiver(supervisor, services)
                _print_if_moved(console, "the sandbox", SANDBOX_PORT, services.sandbox_url)
                _print_if_moved(console, "the UI", wanted_port, ui_url)
                session = _session(services, ui_url, webhooks_url, postgres)
                announce(home, session)
                if as_json:
                    print_json(session.model_dump())
                    sys.stdout.flush()
                else:
                    _welcome(services, registry.list(), session)
                while True:
                    processes.check()
                    if postgres is not None and postgres.revive():
                        console.print("The embedded PostgreSQL had died and was started again.")
                    time.sleep(0.5)
            except (ChildEnded, DatabaseUnavailable):
                processes.abandon()
                raise
            except BaseException:
                processes.stop()
                raise


@contextmanager
def _embedded_postgres(services: LocalServices) -> Generator[EmbeddedPostgres | None]:
    """The embedded server, held so that it can be revived; None if another server is used."""
    if not services.embedded:
        yield None
        return
    with EmbeddedPostgres(services.settings.home) as postgres:
        yield postgres


def _session(
    services: LocalServices,
    ui_url: str,
    webhooks_url: str | None,
    postgres: EmbeddedPostgres | None,
) -> DevSession:
    return DevSession(
        pid=os.getpid(),
        ui_url=ui_url,
        database_url=None if postgres is None else postgres.url(),
        sandbox_url=services.sandbox_url,
        sandbox_environment=services.sandbox.environment() if services.sandbox else {},
        webhooks_url=webhooks_url,
    )


def _print_if_moved(console: Console, server: str, wanted: int, url: str | None) -> None:
    if url is not None and urlsplit(url).port != wanted:
        console.print(f"Port {wanted} is taken: {server} is at {url}.")


def _print_templates(console: Console, services: LocalServices) -> None:
    if services.sandbox is not None:
        return
    for name, adapter in build_adapters(services.settings).items():
        if adapter.asked_elsewhere is not None:
            console.print(f"{name} shops are asked at {adapter.asked_elsewhere}.")


def _welcome(services: LocalServices, shops: Sequence[RegisteredShop], session: DevSession) -> None:
    counts = Counter(shop.platform_name for shop in shops)
    counted = ", ".join(f"{number} {platform}" for platform, number in sorted(counts.items()))
    example = shops[0].partition_key if shops else "SHOP"
    database = (
        f"embedded PostgreSQL in {_short(services.settings.home / 'postgres')}"
        if services.embedded
        else "the server of CONNECTOR_DATABASE_URL"
    )
    origin = (
        f"the sandbox at {services.sandbox_url}" if services.sandbox_url else "TOKEN_SERVICE_URL"
    )
    program = _short(Path(sys.argv[0]).absolute())
    lines = (
        ("UI", session.ui_url),
        (
            "First",
            "open the UI, under Catalog tick raw_products and catalog_items, press Materialize "
            f"selected, pick {example}, and press Launch 1 run",
        ),
        ("Database", database),
        *((("DSN", session.database_url),) if session.database_url else ()),
        (
            "Shops",
            f"{counted or 'none yet: connector-pipeline shops add'}; credentials from {origin}",
        ),
        ("Webhooks", _webhooks(services, session)),
        ("Catalog", f"{program} catalog show {example}"),
        ("Stop", f"Ctrl-C (logs are in {_short(services.settings.home / 'logs')})"),
    )
    for name, value in lines:
        out.print(Text.assemble((f"{name:<9}", "bold"), " ", value), soft_wrap=True)


def _webhooks(services: LocalServices, session: DevSession) -> str:
    if session.webhooks_url is None:
        return "are not taken here: they need the extra `webhooks`, and a sandbox or WEBHOOKS_URL"
    senders = "the sandbox sends them" if services.sandbox else "for what you put in front of it"
    return f"are taken at {session.webhooks_url}; {senders}"


def _short(path: Path) -> str:
    """The path relative to the working directory where possible."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


@contextmanager
def _stop_on_signals(console: Console) -> Generator[None]:
    stopping = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        if stopping:
            # A second Ctrl-C must not interrupt the stop and leave processes behind.
            return
        stopping = True
        console.print("\nStopping: runs under way are cancelled, then everything ends.")
        raise _Stop

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
