"""`connector-pipeline doctor`: what a sync needs, a line each, and remedies."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from dagster import DagsterInstance
from pydantic import BaseModel

from connector_pipeline.archive.storage import ArchiveStorage
from connector_pipeline.cli.dev_session import running_session
from connector_pipeline.cli.extras import ExtraMissing
from connector_pipeline.cli.local_services import (
    DAGSTER_DATABASE,
    LocalServices,
    SchemaUse,
    database_url,
    local_services,
)
from connector_pipeline.cli.output import out, print_json
from connector_pipeline.credentials.token_service import TokenService
from connector_pipeline.model.errors import ConnectorError, ShopDisconnected
from connector_pipeline.model.shop import PlatformName, RegisteredShop, Shop, ShopState
from connector_pipeline.platforms.shopify.adapter import ShopifyAdapter
from connector_pipeline.platforms.shopify.versions import ApiVersions
from connector_pipeline.postgres.connections import connect
from connector_pipeline.postgres.database import Database
from connector_pipeline.postgres.revision import needed_revision, refuse_other_than_needed
from connector_pipeline.settings import Settings, SettingsError, load_settings
from connector_pipeline.state.outbox import unsent
from connector_pipeline.state.registry import ShopRegistry

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
    remedy: str = ""


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
                f" {finding.remedy}" if finding.remedy else ""
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
        if not migrations.ok:
            # What follows reads tables that are not there, or are other ones.
            return found
        found += [
            _looked_at("shops", _shops),
            _looked_at("shopify api", lambda: _shopify_api(services)),
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
    with connect(database_url(services.settings)) as connection:
        version = connection.info.server_version // 10_000
    where = "embedded" if services.embedded else "CONNECTOR_DATABASE_URL"
    return f"PostgreSQL {version} ({where})"


def _migrations(settings: Settings) -> str:
    with connect(database_url(settings)) as connection:
        refuse_other_than_needed(connection)
    return f"at {needed_revision()}"


def _dagster_storage(settings: Settings) -> str:
    # Looked for first: Dagster makes the tables of its storage where it finds none.
    if settings.dagster_postgres_url is None:
        return _dagster_database_to_come(settings)
    url = settings.dagster_postgres_url.get_secret_value().replace("+psycopg2", "", 1)
    with connect(url) as connection:
        row = connection.execute("SELECT to_regclass('runs') IS NULL").fetchone()
    if row is not None and row[0]:
        return "no tables yet: the first process that runs syncs makes them"
    with DagsterInstance.get() as instance:
        return f"{instance.get_runs_count()} runs"


def _dagster_database_to_come(settings: Settings) -> str:
    with connect(database_url(settings)) as connection:
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
            await client.credentials(_PROBE, _NoFields)

    # It knows no such shop, and says so as the contract has it.
    with suppress(ShopDisconnected):
        asyncio.run(ask())
    sandbox = " (the sandbox)" if services.sandbox_url else ""
    return f"{services.settings.token_service_url} answers{sandbox}"


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


def _shopify_api(services: LocalServices) -> str:
    settings = services.settings
    asked = settings.shopify_api_version
    shop = _a_shopify_shop(ShopRegistry(database=Database()).list(ShopState.ACTIVE))
    if shop is None:
        return f"asks for {asked}; not compared, no active Shopify shop is registered to ask"
    api = ShopifyAdapter(
        api_version=asked,
        max_retries=0,
        base_url=settings.shopify_base_url,
        allow_private_hosts=settings.allow_private_hosts,
    )

    async def ask() -> ApiVersions:
        async with _token_service_of(settings).open("doctor") as credential_source:
            return await api.api_versions(shop, credential_source)

    try:
        versions = asyncio.run(ask())
    except ConnectorError as error:
        # The shop's trouble, which its own partition tells of.
        return (
            f"asks for {asked}; not compared, {shop.partition_key}: {error.code}: {error.message}"
        )
    supported = f"supported are {', '.join(versions.supported)}"
    if not versions.as_asked:
        raise ConnectorError(
            f"asks for {asked}, but {shop.partition_key} answers with {versions.served}; "
            f"{supported}.",
            remedy="Set SHOPIFY_API_VERSION to one of these.",
        )
    return f"{shop.partition_key} answers with {asked} as asked; {supported}"


def _nats(settings: Settings) -> str:
    try:
        from connector_pipeline.messaging.jetstream import described
    except ModuleNotFoundError:
        raise ConnectorError(
            "NATS_URL is set, and the extra `nats` is not installed.",
            remedy="pip install 'connector-pipeline[nats]'",
        ) from None
    with Database().connect() as connection:
        waiting = unsent(connection)
    return f"{asyncio.run(described(settings))}; {waiting} events wait to be sent"


def _a_shopify_shop(shops: Sequence[RegisteredShop]) -> RegisteredShop | None:
    """The one that was synced last: most likely it answers."""
    known = [shop for shop in shops if shop.platform_name is PlatformName.SHOPIFY]
    never = datetime.min.replace(tzinfo=UTC)
    return max(known, key=lambda shop: shop.last_successful_sync_at or never, default=None)
