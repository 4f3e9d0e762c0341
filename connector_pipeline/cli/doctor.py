"""`connector-pipeline doctor`: a line for each thing that a sync needs, with remedies."""

import asyncio
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import uuid4

from rich.text import Text

from connector_pipeline.archive.storage import ArchiveStorage
from connector_pipeline.cli.dev_session import running_session
from connector_pipeline.cli.doctor_databases import (
    dagster_storage_seen,
    database_seen,
    migrations_seen,
    rights_seen,
    serves_seen,
)
from connector_pipeline.cli.doctor_looks import begun, looked_at
from connector_pipeline.cli.doctor_platforms import platforms_seen
from connector_pipeline.cli.doctor_processes import (
    code_server_seen,
    daemon_seen,
    queue_seen,
    workers_seen,
)
from connector_pipeline.cli.doctor_webhooks import webhooks_seen
from connector_pipeline.cli.json_output import print_json
from connector_pipeline.cli.local_services import LocalServices, SchemaUse, local_services
from connector_pipeline.cli.output import out
from connector_pipeline.cli.real_or_sandbox import ask_token_service, sandbox_elsewhere
from connector_pipeline.cli.shops_health import in_trouble
from connector_pipeline.cli.working import working
from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.model.extra import Extra, ExtraMissing, require
from connector_pipeline.model.finding import Finding
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.platforms.http.connecting import reach_proxy
from connector_pipeline.platforms.http.proxy import Proxy
from connector_pipeline.postgres.database import Database
from connector_pipeline.settings import Settings, SettingsError, load_settings
from connector_pipeline.state import erase_demands
from connector_pipeline.state.outbox import unsent
from connector_pipeline.state.registry import ShopRegistry

_PROXY_TIMEOUT: Final = 10.0
_ERASED_WITHIN: Final = timedelta(days=1)
"""Then an operator is to look why it is not. A platform may give thirty (docs/facts/shopify.md)."""
_NAMED_ERRORS: Final = 5
_SHOPS_EXPLAINED: Final = "`connector-pipeline shops health` says why, and what to do."


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
            begun("database", lambda: database_seen(services)),
            begun("migrations", lambda: migrations_seen(services.settings)),
            begun("rights", lambda: rights_seen(services.settings)),
            begun("dagster storage", lambda: dagster_storage_seen(services.settings)),
            begun("raw archive", lambda: _raw_archive(services.settings)),
        ]
        if (dagster := services.settings.dagster_postgres_url) is not None and not session:
            looks.append(begun("daemon", daemon_seen))
            looks.append(begun("queue", lambda: queue_seen(dagster.get_secret_value())))
            looks.append(begun("code server", lambda: code_server_seen(services.settings)))
        if services.settings.run_launcher == "celery":
            looks.append(begun("workers", lambda: workers_seen(services.settings)))
        if (proxy := Proxy.of(services.settings)) is not None:
            looks.append(begun("proxy", lambda: _proxy(proxy)))
        seen = [look() for look in looks]
        migrations = seen[1]
        found += seen
        elsewhere = sandbox_elsewhere(services.settings)
        found += [Finding("token service", False, line) for line in elsewhere]
        if not elsewhere:
            guarded = migrations.ok
            found.append(looked_at("token service", lambda: _token_service(services, guarded)))
        if not migrations.ok:
            # The findings below read tables, which this database has not, or has otherwise.
            return found
        found += [
            *serves_seen(services),
            looked_at("shops", _shops),
            *webhooks_seen(services.settings),
            *_erase_demands(),
            *platforms_seen(services.settings),
        ]
        if services.settings.nats_url is not None:
            found.append(looked_at("nats", lambda: _nats(services.settings)))
    return found


def _raw_archive(settings: Settings) -> str:
    storage = ArchiveStorage.at(settings.archive_url)
    # Its own name: another `doctor` may look at the same time.
    folder = f"doctor/{uuid4()}"
    storage.make_folder(folder)
    storage.write(f"{folder}/probe", b"can be written")
    storage.read(f"{folder}/probe")
    storage.delete(folder)
    return f"{storage.uri('')} can be written"


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


def _nats(settings: Settings) -> str:
    require(Extra.NATS, setting_helps=True)
    # Imported here: its packages are an extra.
    from connector_pipeline.messaging.jetstream import described

    with Database().connect() as connection:
        waiting = unsent(connection)
    return f"{asyncio.run(described(settings))}; {waiting} events wait to be sent"
