"""`connector-pipeline doctor`: a line for each thing a sync needs, with the mend it lacks."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass

from dagster import DagsterInstance
from pydantic import BaseModel

from connector_pipeline.archive.storage import ArchiveStorage
from connector_pipeline.catalog.migrate import current_and_head
from connector_pipeline.cli.dev_session import running_session
from connector_pipeline.cli.local_services import LocalServices, local_services
from connector_pipeline.cli.output import out, print_json
from connector_pipeline.database import Database
from connector_pipeline.model.errors import ConnectorError, ShopDisconnected
from connector_pipeline.model.shop import PlatformName, Shop, ShopState
from connector_pipeline.registry import ShopRegistry
from connector_pipeline.settings import Settings, SettingsError, load_settings
from connector_pipeline.token_service import TokenService

_PROBE = Shop(
    merchant_id="doctor",
    platform_name=PlatformName.SHOPIFY,
    platform_shop_id="doctor",
    domain="connector-pipeline-doctor.myshopify.com",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, whether it is well, what was seen, what to do."""

    subject: str
    ok: bool
    seen: str
    mend: str = ""


class _NoFields(BaseModel):
    """Credentials of which nothing is needed."""


def run_doctor(*, as_json: bool) -> bool:
    """Look at everything and print it; whether all is well."""
    findings = list(_findings())
    for finding in findings:
        if as_json:
            print_json(asdict(finding))
        else:
            mark = "[green]ok[/green]  " if finding.ok else "[red]fail[/red]"
            text = f"{finding.subject}: {finding.seen}" + (
                f" {finding.mend}" if finding.mend else ""
            )
            out.print(mark, end=" ")
            out.print(text, markup=False, soft_wrap=True)
    return all(finding.ok for finding in findings)


def _findings() -> list[Finding]:
    try:
        settings = load_settings()
    except SettingsError as error:
        return [Finding("settings", False, line) for line in error.lines]
    found = [Finding("settings", True, f"valid; CONNECTOR_HOME is {settings.home}")]
    session = running_session(settings.home)
    found.append(
        Finding(
            "dev",
            True,
            f"running at {session.ui_url} (pid {session.pid})" if session else "not running",
        )
    )
    with ExitStack() as stack:
        try:
            services = stack.enter_context(local_services())
        except ConnectorError as error:
            return [*found, Finding("database", False, error.message, error.mend)]
        except SettingsError as error:
            return [*found, *(Finding("settings", False, line) for line in error.lines)]
        found += [
            _looked_at("database", lambda: _database(services)),
            _looked_at("migrations", _migrations),
            _looked_at("dagster storage", _dagster_storage),
            _looked_at("raw archive", lambda: _raw_archive(services.settings)),
            _looked_at("token service", lambda: _token_service(services)),
            _looked_at("shops", _shops),
        ]
    return found


def _looked_at(subject: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, True, look())
    except ConnectorError as error:
        return Finding(subject, False, error.message, error.mend)
    except OSError as error:
        return Finding(subject, False, f"{type(error).__name__}: {error.strerror}.")


def _database(services: LocalServices) -> str:
    with Database().connect() as connection:
        version = connection.info.server_version // 10_000
    where = "embedded" if services.embedded else "CONNECTOR_DATABASE_URL"
    return f"PostgreSQL {version} ({where})"


def _migrations() -> str:
    with Database().connect() as connection:
        current, head = current_and_head(connection)
    return f"at {current}" if current == head else f"at {current}, newest is {head}"


def _dagster_storage() -> str:
    with DagsterInstance.get() as instance:
        return f"{instance.get_runs_count()} runs"


def _raw_archive(settings: Settings) -> str:
    storage = ArchiveStorage.at(settings.archive_url)
    probe = "doctor/probe"
    storage.make_folder("doctor")
    storage.write(probe, b"can be written")
    storage.read(probe)
    storage.delete("doctor")
    return f"{storage.uri('')} can be written"


def _token_service(services: LocalServices) -> str:
    async def ask() -> None:
        service = TokenService(
            url=services.settings.token_service_url or "",
            timeout=services.settings.token_service_timeout,
            retry_count=0,
        )
        async with service.open("doctor") as client:
            await client.credentials(_PROBE, _NoFields)

    # It knows no such shop, and says so as the contract has it.
    with suppress(ShopDisconnected):
        asyncio.run(ask())
    sandbox = " (the sandbox)" if services.sandbox_url else ""
    return f"{services.settings.token_service_url} answers{sandbox}"


def _shops() -> str:
    shops = ShopRegistry(database=Database()).list()
    counts = {state: sum(shop.state is state for shop in shops) for state in ShopState}
    return ", ".join(f"{count} {state.value}" for state, count in counts.items())
