"""The sensor that looks at the platforms' change feeds, and leaves hints of what changed.

A look is one or two small requests. Each shop is looked at when it is due, at a distance that
`state/look_distances.py` computes from how often the shop changes. A look asks for no data: its
hints lead to a sync of what changed, as those of webhooks do. A look that fails, or is refused,
changes nothing but the time of the next one; whether a shop refuses us is for syncs to say.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import psycopg
from dagster import (
    DefaultSensorStatus,
    ResourceParam,
    SensorEvaluationContext,
    SkipReason,
    sensor,  # pyright: ignore[reportUnknownVariableType]  # partly untyped there
)

from connector_pipeline.automation.look_pacing import Pacing, after_its_sync
from connector_pipeline.automation.looks import Looks
from connector_pipeline.credentials.token_service import TokenService
from connector_pipeline.engine.daemon import gives_each_sensor_a_thread
from connector_pipeline.model.counted import counted
from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.platforms.adapters import build_adapters
from connector_pipeline.postgres.database import Database
from connector_pipeline.settings import load_settings
from connector_pipeline.state import change_looks
from connector_pipeline.state.change_looks import DueShop, Look
from connector_pipeline.state.look_distances import Quota

EVERY_SECONDS: Final = 30
_SECONDS_A_TICK: Final = 20.0
"""After so many seconds no further look begins. Dagster gives a tick 60 s."""
_SECONDS_WITHOUT_THREADS: Final = 3.0
"""The same where the daemon ticks one sensor after the other."""
_MOST_DUE: Final = 1_000
_SHOWN: Final = 20


@sensor(
    # The pages of the assets name the sensor. It asks for no run itself.
    asset_selection=["raw_products", "catalog_items"],
    minimum_interval_seconds=EVERY_SECONDS,
    default_status=DefaultSensorStatus.RUNNING,
    description=(
        "Asks shops cheaply what changed, those that change often more often, at most "
        "CHANGE_LOOKS_PER_MINUTE of them; what changed is synced."
    ),
)
def change_feeds(
    context: SensorEvaluationContext,
    database: ResourceParam[Database],
    token_service: ResourceParam[TokenService],
) -> SkipReason:
    """Look at the shops that are due."""
    settings = load_settings()
    if settings.change_looks_per_minute == 0:
        return SkipReason("CHANGE_LOOKS_PER_MINUTE is 0: no change feed is looked at.")
    threads = gives_each_sensor_a_thread(context.instance)
    quota = _quota(context.cursor, settings.change_looks_per_minute)
    adapters = build_adapters(settings)
    try:
        with database.connect() as connection:
            rates = change_looks.rates(
                connection, platforms=list(adapters), within=settings.change_look_every
            )
            found = change_looks.due(connection, platforms=list(adapters), limit=_MOST_DUE)
            pacing = Pacing.of(rates, settings, datetime.now(UTC))
            due = list(_left_to_look_at(connection, found, pacing))
        looks = Looks(database, token_service, adapters, pacing, quota)
        if due and quota.left(datetime.now(UTC)):
            seconds = _SECONDS_A_TICK if threads else _SECONDS_WITHOUT_THREADS
            asyncio.run(looks.at(due, seconds))
    except ConnectorError as error:
        return SkipReason(f"{error.code}: {error} The shops are looked at later.")
    finally:
        context.update_cursor(f"{quota.minute} {quota.used}")
    if looks.changed:
        shown = ", ".join(sorted(looks.changed)[:_SHOWN])
        more = ", …" if len(looks.changed) > _SHOWN else ""
        context.log.info(f"changed since the last look: {shown}{more}")
    counts = (
        f"{len(due)} of {counted(sum(rates.values()), 'shop')} with a change feed due; "
        f"{looks.begun} looked at, {len(looks.changed)} of them changed; "
        f"{counted(looks.failed, 'look')} failed."
    )
    error = looks.error
    return SkipReason(f"{counts} The last error: {error.code}: {error}" if error else counts)


def _quota(cursor: str | None, per_minute: int) -> Quota:
    try:
        minute, used = map(int, (cursor or "0 0").split())
    except ValueError:
        minute, used = 0, 0
    return Quota(per_minute, minute, used)


def _left_to_look_at(
    connection: psycopg.Connection, found: Sequence[DueShop], pacing: Pacing
) -> Iterator[DueShop]:
    """The shops that are due although they were synced; of the others, record when they are."""
    now = datetime.now(UTC)
    for each in found:
        due = each
        if due.throttled:
            later = now + pacing.sweeps
            seen = due.looked_at or due.synced_at
            change_looks.record(
                connection,
                Look(due, seen, later, due.changes_an_hour, due.cursor, failures=due.failures),
            )
            continue
        synced = after_its_sync(due, pacing)
        if synced is not None:
            change_looks.record(connection, synced)
            if synced.look_at > now:
                continue
            due = replace(due, looked_at=synced.looked_at, changes_an_hour=synced.changes_an_hour)
        yield due
