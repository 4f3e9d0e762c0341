"""`connector-pipeline doctor`: a line for each thing that a sync needs, with remedies."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Final

from pydantic import BaseModel

from connector_pipeline.archive.storage import ArchiveStorage
from connector_pipeline.cli.dev_session import running_session
from connector_pipeline.cli.local_services import (
    DAGSTER_DATABASE,
    LocalServices,
    SchemaUse,
    database_url,
    local_services,
)
from connector_pipeline.cli.output import out, print_json
from connector_pipeline.credentials.token_service import TokenService
from connector_pipeline.engine.storage_server import storage_connection
from connector_pipeline.engine.stored_runs import stored_runs
from connector_pipeline.model.errors import ConnectorError, Defect, ShopDisconnected
from connector_pipeline.model.extra import Extra, ExtraMissing, require
from connector_pipeline.model.finding import Finding
from connector_pipeline.model.shop import RegisteredShop, Shop, ShopState
from connector_pipeline.platforms.adapters import (
    BUILT_IN,
    adapter_classes,
    build_adapters,
    found_adapters,
)
from connector_pipeline.platforms.http.connecting import reach_proxy
from connector_pipeline.platforms.http.proxy import Proxy
from connector_pipeline.platforms.kit.contract import Adapter
from connector_pipeline.postgres.connections import connect
from connector_pipeline.postgres.database import Database
from connector_pipeline.postgres.limits import LOOKING
from connector_pipeline.postgres.revision import needed_revision, refuse_other_than_needed
from connector_pipeline.settings import Settings, SettingsError, load_settings
from connector_pipeline.state.outbox import unsent
from connector_pipeline.state.registry import ShopRegistry

_PROXY_TIMEOUT: Final = 10.0
_REPAIR: Final = "Repair or uninstall the package that brings it; its shops are not synced."


class _NoFields(BaseModel):
    """Credentials without a field: any answer of the Token Service will do."""


def run_doctor(*, as_json: bool) -> bool:
    """Print a finding for everything that a sync needs. Returns whether all are in order."""
    found = findings()
    for finding in found:
        if as_json:
            print_json(asdict(finding))
        else:
            mark = "[green]ok[/green]  " if finding.ok else "[red]fail[/red]"
            text = f"{finding.subject}: {finding.seen}" + (
                f" {finding.remedy}" if finding.remedy else ""
            )
            out.print(mark, end=" ")
            out.print(text, markup=False, soft_wrap=True)
    return all(finding.ok for finding in found)


def findings() -> list[Finding]:
    """A finding for each thing that a sync needs."""
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
            services = stack.enter_context(local_services(SchemaUse.INSPECT))
        except ExtraMissing as error:
            return [*found, Finding("extras", False, error.message, error.remedy)]
        except ConnectorError as error:
            return [*found, Finding("database", False, error.message, error.remedy)]
        except SettingsError as error:
            return [*found, *(Finding("settings", False, line) for line in error.lines)]
        found += [
            _looked_at("database", lambda: _database(services)),
            migrations := _looked_at("migrations", lambda: _migrations(services.settings)),
            _looked_at("dagster storage", lambda: _dagster_storage(services.settings)),
            _looked_at("raw archive", lambda: _raw_archive(services.settings)),
            _looked_at("token service", lambda: _token_service(services)),
        ]
        if (proxy := Proxy.of(services.settings)) is not None:
            found.append(_looked_at("proxy", lambda: _proxy(proxy)))
        if not migrations.ok:
            # The findings below read tables, which this database has not, or has otherwise.
            return found
        found += [
            _looked_at("shops", _shops),
            *_platforms(services.settings),
        ]
        if services.settings.nats_url is not None:
            found.append(_looked_at("nats", lambda: _nats(services.settings)))
    return found


def _looked_at(subject: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, True, look())
    except ConnectorError as error:
        return Finding(subject, False, error.message, error.remedy)
    except OSError as error:
        return Finding(subject, False, f"{type(error).__name__}: {error.strerror}.")


def _database(services: LocalServices) -> str:
    with connect(database_url(services.settings), limits=LOOKING) as connection:
        version = connection.info.server_version // 10_000
    where = "embedded" if services.embedded else "CONNECTOR_DATABASE_URL"
    return f"PostgreSQL {version} ({where})"


def _migrations(settings: Settings) -> str:
    with connect(database_url(settings), limits=LOOKING) as connection:
        refuse_other_than_needed(connection)
    return f"at {needed_revision()}"


def _dagster_storage(settings: Settings) -> str:
    if settings.dagster_postgres_url is None:
        return _dagster_database_to_come(settings)
    with storage_connection(settings.dagster_postgres_url.get_secret_value()) as connection:
        runs = stored_runs(connection)
    if runs is None:
        return "no tables yet: the first process that runs syncs makes them"
    return f"{runs} runs"


def _dagster_database_to_come(settings: Settings) -> str:
    with connect(database_url(settings), limits=LOOKING) as connection:
        row = connection.execute(
            "SELECT EXISTS (SELECT FROM pg_database WHERE datname = %s), rolcreatedb OR rolsuper"
            " FROM pg_roles WHERE rolname = current_user",
            (DAGSTER_DATABASE,),
        ).fetchone()
    there, may_be_made = row or (False, False)
    if there:
        return f"in database {DAGSTER_DATABASE} beside the catalog's"
    if may_be_made:
        return f"no database {DAGSTER_DATABASE} yet: `sync`, `backfill`, `dev` or `demo` makes it"
    raise ConnectorError(
        f"DAGSTER_POSTGRES_URL is not set, and there is no database {DAGSTER_DATABASE} beside the "
        "catalog's, nor may CONNECTOR_DATABASE_URL's user make one.",
        remedy="Set DAGSTER_POSTGRES_URL.",
    )


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
        async with _token_service_of(services.settings).open("doctor") as client:
            await client.credentials(_example_shop(), _NoFields)

    # A Token Service that does not know the shop answers as the contract says, too.
    with suppress(ShopDisconnected):
        asyncio.run(ask())
    sandbox = " (the sandbox)" if services.sandbox_url else ""
    return f"{services.settings.token_service_url} answers{sandbox}"


def _proxy(proxy: Proxy) -> str:
    asyncio.run(reach_proxy(proxy, _PROXY_TIMEOUT))
    but = f", except {', '.join(sorted(proxy.without))}" if proxy.without else ""
    return (
        f"{proxy} takes connections, its user and password are not tried here; "
        f"shops are asked through it{but}"
    )


def _token_service_of(settings: Settings) -> TokenService:
    return TokenService(
        url=settings.token_service_url or "",
        timeout=settings.token_service_timeout,
        retry_count=0,
    )


def _shops() -> str:
    shops = ShopRegistry(database=Database()).list()
    counts = {state: sum(shop.state is state for shop in shops) for state in ShopState}
    return ", ".join(f"{count} {state.value}" for state, count in counts.items())


def _example_shop() -> Shop:
    """A shop to ask the Token Service for. It need not exist."""
    name, adapter = next(iter(BUILT_IN.items()))
    return Shop(
        merchant_id="doctor",
        platform_name=name,
        platform_shop_id="doctor",
        domain=adapter.example_domain,
    )


def _platforms(settings: Settings) -> list[Finding]:
    """A finding for each adapter that cannot be used, and the findings of the others."""
    found = [
        Finding(f"platform {each.platform_name}", False, each.reason, _REPAIR)
        for each in found_adapters().unusable
    ]
    try:
        adapters = build_adapters(settings)
    except SettingsError as error:
        return [*found, *(Finding("settings", False, line) for line in error.lines)]
    found += [
        Finding(f"platform {name}", False, "its adapter cannot be made: see the log.", _REPAIR)
        for name in adapter_classes()
        if name not in adapters
    ]
    try:
        shops = ShopRegistry(database=Database()).list(ShopState.ACTIVE)
        return found + asyncio.run(_platforms_findings(settings, adapters, shops))
    except ConnectorError:
        # The database is down or there is no Token Service, which is among the findings already.
        return found


async def _platforms_findings(
    settings: Settings, adapters: Mapping[str, Adapter], shops: Sequence[RegisteredShop]
) -> list[Finding]:
    found: list[Finding] = []
    async with _token_service_of(settings).open("doctor") as credential_source:
        for name, adapter in adapters.items():
            try:
                found += await adapter.findings(_last_synced_first(name, shops), credential_source)
            except Exception as error:
                named = error if isinstance(error, ConnectorError) else Defect.from_exception(error)
                found.append(Finding(f"platform {name}", False, named.message, named.remedy))
    return found


def _last_synced_first(platform_name: str, shops: Sequence[RegisteredShop]) -> list[RegisteredShop]:
    never = datetime.min.replace(tzinfo=UTC)
    return sorted(
        (shop for shop in shops if shop.platform_name == platform_name),
        key=lambda shop: shop.last_successful_sync_at or never,
        reverse=True,
    )


def _nats(settings: Settings) -> str:
    require(Extra.NATS, setting_helps=True)
    # Imported here: its packages are an extra.
    from connector_pipeline.messaging.jetstream import described

    with Database().connect() as connection:
        waiting = unsent(connection)
    return f"{asyncio.run(described(settings))}; {waiting} events wait to be sent"
