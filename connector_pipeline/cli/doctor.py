"""`connector-pipeline doctor`: a line for each thing that a sync needs, with remedies."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Final
from uuid import uuid4

from rich.text import Text

from connector_pipeline.archive.storage import ArchiveStorage
from connector_pipeline.cli.dev_session import running_session
from connector_pipeline.cli.doctor_processes import (
    code_server_seen,
    daemon_seen,
    queue_seen,
    workers_seen,
)
from connector_pipeline.cli.doctor_webhooks import webhooks_seen
from connector_pipeline.cli.json_output import print_json
from connector_pipeline.cli.local_services import (
    DAGSTER_DATABASE,
    LocalServices,
    SchemaUse,
    database_url,
    local_services,
)
from connector_pipeline.cli.output import out
from connector_pipeline.cli.real_or_sandbox import (
    ask_token_service,
    refuse_for_sandbox,
    sandbox_elsewhere,
    token_service_to_look_at,
)
from connector_pipeline.cli.shops_health import in_trouble
from connector_pipeline.cli.working import working
from connector_pipeline.credentials.real_or_sandbox import mixed_settings
from connector_pipeline.engine.storage_server import storage_connection
from connector_pipeline.engine.stored_runs import stored_runs
from connector_pipeline.model.errors import ConnectorError, Defect
from connector_pipeline.model.extra import Extra, ExtraMissing, require
from connector_pipeline.model.finding import Finding
from connector_pipeline.model.shop import RegisteredShop, ShopState
from connector_pipeline.platforms.adapters import (
    adapter_classes,
    build_adapters,
    found_adapters,
)
from connector_pipeline.platforms.http.connecting import reach_proxy
from connector_pipeline.platforms.http.proxy import Proxy
from connector_pipeline.platforms.kit.contract import Adapter
from connector_pipeline.postgres.bounded_connection import Pooling
from connector_pipeline.postgres.connections import connect
from connector_pipeline.postgres.database import Database
from connector_pipeline.postgres.limits import LOOKING
from connector_pipeline.postgres.revision import needed_revision, refuse_unsuitable
from connector_pipeline.postgres.rights import refuse_without_rights
from connector_pipeline.postgres.serves import Serves, serves
from connector_pipeline.settings import Settings, SettingsError, load_settings
from connector_pipeline.state import erase_demands
from connector_pipeline.state.outbox import unsent
from connector_pipeline.state.registry import ShopRegistry

_PROXY_TIMEOUT: Final = 10.0
_SERVES: Final = {
    Serves.REAL: "real shops",
    Serves.SANDBOX: "the sandbox's shops alone",
    None: "not marked yet: the first credentials of a Token Service on another machine mark it "
    "for real shops, or UPDATE connector.installation SET serves = 'real'",
}
_BEHIND: Final = {
    None: "",
    Pooling.SESSIONS: ", behind a pooler of sessions",
    Pooling.TRANSACTIONS: ", behind a pooler of transactions: only its user's own settings bound "
    "statements (ALTER ROLE … SET statement_timeout)",
}
_LONGEST_LOOK: Final = 30.0
_ERASED_WITHIN: Final = timedelta(days=1)
"""Then an operator is to look why it is not. A platform may give thirty (docs/facts/shopify.md)."""
"""Seconds. Something that answers byte by byte must not keep the other lines from an operator."""
_NAMED_ERRORS: Final = 5
_SHOPS_EXPLAINED: Final = "`connector-pipeline shops health` says why, and what to do."
_REPAIR: Final = "Repair or uninstall the package that brings it; its shops are not synced."


def run_doctor(*, as_json: bool) -> bool:
    """Print a finding for everything that a sync needs. Returns whether all are in order."""
    with working("Looking"):
        found = findings()
    for finding in found:
        if as_json:
            print_json(asdict(finding))
        else:
            mark = Text("ok  ", "green") if finding.ok else Text("fail", "red")
            text = f"{finding.subject}: {finding.seen}" + (
                f" {finding.remedy}" if finding.remedy else ""
            )
            out.print(mark, end=" ")
            out.print(text, soft_wrap=True)
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
        # At once: each of them may wait for its time-out.
        looks = [
            _begun("database", lambda: _database(services)),
            _begun("migrations", lambda: _migrations(services.settings)),
            _begun("rights", lambda: _rights(services.settings)),
            _begun("dagster storage", lambda: _dagster_storage(services.settings)),
            _begun("raw archive", lambda: _raw_archive(services.settings)),
        ]
        if (dagster := services.settings.dagster_postgres_url) is not None and not session:
            looks.append(_begun("daemon", daemon_seen))
            looks.append(_begun("queue", lambda: queue_seen(dagster.get_secret_value())))
            looks.append(_begun("code server", lambda: code_server_seen(services.settings)))
        if services.settings.run_launcher == "celery":
            looks.append(_begun("workers", lambda: workers_seen(services.settings)))
        if (proxy := Proxy.of(services.settings)) is not None:
            looks.append(_begun("proxy", lambda: _proxy(proxy)))
        seen = [look() for look in looks]
        migrations = seen[1]
        found += seen
        elsewhere = sandbox_elsewhere(services.settings)
        found += [Finding("token service", False, line) for line in elsewhere]
        if not elsewhere:
            guarded = migrations.ok
            found.append(_looked_at("token service", lambda: _token_service(services, guarded)))
        if not migrations.ok:
            # The findings below read tables, which this database has not, or has otherwise.
            return found
        found += [
            *_serves(services),
            _looked_at("shops", _shops),
            *webhooks_seen(services.settings),
            *_erase_demands(),
            *_platforms(services.settings),
        ]
        if services.settings.nats_url is not None:
            found.append(_looked_at("nats", lambda: _nats(services.settings)))
    return found


def _looked_at(subject: str, look: Callable[[], str], *, longest: float = _LONGEST_LOOK) -> Finding:
    return _begun(subject, look, longest=longest)()


def _begun(
    subject: str, look: Callable[[], str], *, longest: float = _LONGEST_LOOK
) -> Callable[[], Finding]:
    """Begin to look. Returns a function that waits for the finding."""
    seen: Future[str] = Future()

    def looking() -> None:
        try:
            seen.set_result(look())
        except BaseException as error:
            seen.set_exception(error)

    # A daemon: a look that hangs must not keep the command from ending.
    Thread(target=looking, name=f"doctor: {subject}", daemon=True).start()
    return lambda: _finding(subject, seen, longest)


def _finding(subject: str, seen: "Future[str]", longest: float) -> Finding:
    wait([seen], longest)
    if not seen.done():
        return _no_answer(subject, longest)
    try:
        return Finding(subject, True, seen.result())
    except ConnectorError as error:
        return Finding(subject, False, error.message, error.remedy)
    except SettingsError as error:
        return Finding(subject, False, " ".join(error.lines))
    except OSError as error:
        return Finding(subject, False, f"{type(error).__name__}: {error.strerror}.")


def _no_answer(subject: str, seconds: float) -> Finding:
    return Finding(
        subject,
        False,
        f"no whole answer within {seconds:g} s.",
        "It takes connections, but is too slow for a sync, or hangs: look at its own log.",
    )


def _database(services: LocalServices) -> str:
    with connect(database_url(services.settings), limits=LOOKING) as connection:
        version = connection.info.server_version // 10_000
        pooled = _BEHIND[connection.pooled]
    where = "embedded" if services.embedded else "CONNECTOR_DATABASE_URL"
    return f"PostgreSQL {version} ({where}{pooled})"


def _migrations(settings: Settings) -> str:
    with connect(database_url(settings), limits=LOOKING) as connection:
        revision = refuse_unsuitable(connection)
    needed = needed_revision()
    return f"at {revision}" + ("" if revision == needed else f", with which {needed} works, too")


def _rights(settings: Settings) -> str:
    with connect(database_url(settings), limits=LOOKING) as connection:
        refuse_without_rights(connection)
        return f"user {connection.info.user} may do all that a pipeline does"


def _dagster_storage(settings: Settings) -> str:
    if settings.dagster_postgres_url is None:
        return _dagster_database_to_come(settings)
    with storage_connection(settings.dagster_postgres_url.get_secret_value()) as connection:
        runs = stored_runs(connection)
        behind = _BEHIND[connection.pooled]
    if runs is None:
        return f"no tables yet: the first process that runs syncs makes them{behind}"
    return f"{runs} runs{behind}"


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
    # Its own name: another `doctor` may look at the same time.
    folder = f"doctor/{uuid4()}"
    storage.make_folder(folder)
    storage.write(f"{folder}/probe", b"can be written")
    storage.read(f"{folder}/probe")
    storage.delete(folder)
    return f"{storage.uri('')} can be written"


def _serves(services: LocalServices) -> list[Finding]:
    """What the database is for, and each setting that does not fit that."""
    settings = services.settings
    try:
        with connect(database_url(settings)) as connection:
            marked = serves(connection)
            if services.sandbox is not None:
                refuse_for_sandbox(connection, services.sandbox_shops())
    except SettingsError as error:
        return [Finding("serves", False, line) for line in error.lines]
    except ConnectorError as error:
        return [Finding("serves", False, error.message, error.remedy)]
    if mixed := mixed_settings(settings, marked):
        return [Finding("serves", False, line) for line in mixed]
    return [Finding("serves", True, _SERVES[marked])]


def _token_service(services: LocalServices, guarded: bool) -> str:
    ask_token_service(services.settings, guarded=guarded)
    sandbox = " (the sandbox)" if services.sandbox_url else ""
    return f"{services.settings.token_service_url} answers{sandbox}"


def _proxy(proxy: Proxy) -> str:
    asyncio.run(reach_proxy(proxy, _PROXY_TIMEOUT))
    but = f", except {', '.join(sorted(proxy.without))}" if proxy.without else ""
    return (
        f"{proxy} takes connections, its user and password are not tried here; "
        f"shops are asked through it{but}"
    )


def _shops() -> str:
    shops = ShopRegistry(database=Database()).list()
    counts = {state: sum(shop.state is state for shop in shops) for state in ShopState}
    seen = ", ".join(f"{count} {state.value}" for state, count in counts.items())
    failing = [shop for shop in shops if shop.state is ShopState.ACTIVE and shop.last_error_code]
    troubled = len(failing) + counts[ShopState.DISCONNECTED]
    if not troubled:
        return seen
    codes = Counter(str(shop.last_error_code) for shop in failing).most_common(_NAMED_ERRORS)
    if codes:
        named = ", ".join(f"{code} {number}" for code, number in codes)
        seen += f"; {in_trouble(len(failing))} ({named})"
    # Of many shops one is always in trouble. It is the deployment's when it is most of them.
    if 2 * troubled > counts[ShopState.ACTIVE] + counts[ShopState.DISCONNECTED]:
        raise ConnectorError(f"{seen}.", remedy=_SHOPS_EXPLAINED)
    return f"{seen}. {_SHOPS_EXPLAINED}"


def _erase_demands() -> list[Finding]:
    """A finding if a platform's demand to erase a shop has waited for a day."""
    with Database().connect() as connection:
        demands = erase_demands.waiting(connection)
    late = [each for each in demands if datetime.now(UTC) - each.demanded_at > _ERASED_WITHIN]
    if not late:
        return []
    first = min(each.demanded_at for each in late)
    return [
        Finding(
            "erase demands",
            False,
            f"platforms demand that {len(late)} shops are erased, since {first:%Y-%m-%d} and later",
            "As the owner of the schemas: `connector-pipeline shops erase --demanded`.",
        )
    ]


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
    async with token_service_to_look_at(settings).open("doctor") as credential_source:
        for name, adapter in adapters.items():
            try:
                async with asyncio.timeout(_LONGEST_LOOK):
                    found += await adapter.findings(
                        _last_synced_first(name, shops), credential_source
                    )
            except TimeoutError:
                found.append(_no_answer(f"platform {name}", _LONGEST_LOOK))
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
