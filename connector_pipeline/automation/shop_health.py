"""The sensor that reports `shop_health` and judges all shops by the checks on `catalog_items`.

It reports without a run: a process that starts costs seconds of a CPU, the statements a fifth of
one with 10,000 shops. What is reported stays in the event log until it is pruned, so a tick reports
only what has changed, and everything once an hour. Judging all shops reads the live rows of the
whole catalog, 1.3 s of Postgres for 1,000,000: after it took long, it pauses fifty times as long.
"""

import json
import time
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from dagster import (
    AssetCheckEvaluation,
    AssetMaterialization,
    AssetObservation,
    DefaultSensorStatus,
    ResourceParam,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,  # pyright: ignore[reportUnknownVariableType]  # partly untyped there
)
from pydantic import BaseModel, ValidationError

from connector_pipeline.assets.checks import as_evaluations, judgements_of_all
from connector_pipeline.assets.shop_health import (
    SHOP_HEALTH,
    health_evaluations,
    health_metadata,
    health_of,
)
from connector_pipeline.model.counted import counted
from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.postgres.database import Database
from connector_pipeline.settings import load_settings
from connector_pipeline.state.shop_health import ShopHealth
from connector_pipeline.state.sweep_times import next_sweep_begins

EVERY_SECONDS: Final = 300
_ALL_EVERY: Final = 3600.0
_PAUSE: Final = 50
"""So many times as long as judging all shops took, nobody judges them again: 2 % of a CPU."""


class Cursor(BaseModel):
    """What was reported last, by digest, and when all was; when all shops may be judged again."""

    reported: dict[str, str] = {}
    all_reported_at: float = 0.0
    judge_after: float = 0.0


@sensor(
    name="shop_health_report",
    # The page of the asset names the sensor. It asks for no run.
    asset_selection=["shop_health"],
    minimum_interval_seconds=EVERY_SECONDS,
    default_status=DefaultSensorStatus.RUNNING,
    description="Brings shop_health up to date, and judges all shops by the checks on "
    "catalog_items. Reports what has changed, and everything once an hour.",
)
def shop_health_report(
    context: SensorEvaluationContext, database: ResourceParam[Database]
) -> SensorResult | SkipReason:
    """Report the health of all shops and the checks on them, where they differ from the last."""
    cursor = _read(context.cursor)
    now = time.time()
    try:
        health = health_of(database)
        evaluations = health_evaluations(health)
        if now >= cursor.judge_after:
            evaluations += as_evaluations(judgements_of_all(database))
            cursor.judge_after = now + _PAUSE * (time.time() - now)
    except ConnectorError as error:
        return SkipReason(f"{error.code}: {error}")
    if now - cursor.all_reported_at >= _ALL_EVERY:
        cursor.reported, cursor.all_reported_at = {}, now
    begins = next_sweep_begins(load_settings())
    events: list[AssetMaterialization | AssetObservation | AssetCheckEvaluation] = []
    if _is_new(cursor, "shop_health", _what_changed(health)):
        metadata = health_metadata(health, next_sweep=begins)
        # Dagster takes an evaluation that is older than its asset for none: reported without them,
        # the asset would show red checks as not evaluated.
        for each in health_evaluations(health):
            cursor.reported.pop(each.check_name, None)
        events.append(AssetMaterialization(SHOP_HEALTH, metadata=metadata))
    events += [
        each
        for each in evaluations
        if _is_new(cursor, each.check_name, [each.passed, each.description])
    ]
    reported = (
        ", ".join(_name_of(event) for event in events) if events else "nothing, nothing changed"
    )
    return SensorResult(
        asset_events=events,
        # With spaces, at which the UI may break it: without them it is wider than the page.
        cursor=json.dumps(cursor.model_dump()),
        # Without it Dagster would say that the tick had an empty result.
        skip_reason=f"Reported: {reported}. {counted(health.shops, 'shop')}, {health.failing} "
        f"failing, {health.disconnected} disconnected. The next sweep begins at "
        f"{begins:%Y-%m-%d %H:%M} UTC (SYNC_CRON {load_settings().sync_cron}).",
    )


def _name_of(event: AssetMaterialization | AssetObservation | AssetCheckEvaluation) -> str:
    if isinstance(event, AssetCheckEvaluation):
        return event.check_name
    return event.asset_key.to_user_string()


def _what_changed(health: ShopHealth) -> Sequence[object]:
    """What is worth a new report. Ages and freshness change all the time, and wait for the hour."""
    return [
        sorted(health.states.items()),
        health.failing,
        health.never_synced,
        [(each.error_code, each.shops, each.oldest_shop) for each in health.causes],
        [(each.shop, each.since, each.error_code) for each in health.troubled],
    ]


def _is_new(cursor: Cursor, name: str, content: Sequence[object]) -> bool:
    digest = sha256(repr(content).encode()).hexdigest()[:16]
    if cursor.reported.get(name) == digest:
        return False
    cursor.reported[name] = digest
    return True


def _read(cursor: str | None) -> Cursor:
    try:
        return Cursor.model_validate_json(cursor or "{}")
    except ValidationError:
        # Somebody edited the cursor in the UI: a report twice is better than none.
        return Cursor()
