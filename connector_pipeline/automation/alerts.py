"""The sensor that raises alerts: a shop became disconnected, or too many shops of a sweep failed.

It reads the project's own tables, because a run status sensor of Dagster handles five runs a tick
and never comes back to a run that it missed. Each alert is logged, and posted if ALERT_WEBHOOK_URL
is set. The cursor records the alerts that the webhook took. So an alert that it did not take is
posted again at the next tick. If a tick dies after the webhook took an alert, the alert is posted
again under the same `alert_id`.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

import psycopg
from dagster import (
    DefaultSensorStatus,
    ResourceParam,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,  # pyright: ignore[reportUnknownVariableType]  # partly untyped there
)
from psycopg.rows import class_row
from pydantic import BaseModel, ValidationError

from connector_pipeline.automation.alert_webhook import NotDelivered, post
from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.model.shop import ShopState
from connector_pipeline.postgres.database import Database
from connector_pipeline.settings import load_settings
from connector_pipeline.state import sweeps
from connector_pipeline.state.sweeps import Sweep

EVERY_SECONDS: Final = 30
MOST_SHOPS_NAMED: Final = 100

FAILED_SHARE: Final = 0.05
FEWEST_SHOPS: Final = 20
"""In a sweep of fewer shops a single failed one is more than 5 %, and no reason for an alert."""
_SWEEPS_WATCHED: Final = timedelta(days=2)


class DisconnectedShop(BaseModel):
    """A disconnected shop, as an alert names it."""

    shop: str
    merchant_id: str
    error: str | None
    since: datetime


class Alert(BaseModel):
    """One alert, in the form of docs/contracts.md. Its kind decides on `shops` or `sweep`."""

    alert_id: str
    kind: str
    message: str
    raised_at: datetime
    shops: list[DisconnectedShop] | None = None
    shops_not_named: int | None = None
    sweep: dict[str, Any] | None = None


class Reported(BaseModel):
    """The cursor: the shops and sweeps that alerts have reported and that still need one."""

    disconnected: dict[str, datetime] = {}
    sweeps: list[str] = []


def newly_disconnected(
    disconnected: Iterable[DisconnectedShop], reported: Collection[tuple[str, datetime]]
) -> list[DisconnectedShop]:
    """The shops to report: each one once for each time that it became disconnected."""
    return [shop for shop in disconnected if (shop.shop, shop.since) not in reported]


def failing(sweep: Sweep) -> bool:
    """Whether more than 5 % of the sweep's shops failed; never for a sweep of fewer than 20 shops.

    The share is of all shops of the sweep, so a bad first run of a hundred does not condemn a sweep
    of ten thousand. The answer is known before the sweep's end, once enough shops have failed.
    """
    return sweep.shops >= FEWEST_SHOPS and sweep.failed > FAILED_SHARE * sweep.shops


def disconnected_alert(shops: Sequence[DisconnectedShop], now: datetime) -> Alert:
    """Make one alert for all shops of a tick: a sweep may find many at once."""
    named = list(shops[:MOST_SHOPS_NAMED])
    count = "A shop" if len(shops) == 1 else f"{len(shops)} shops"
    return Alert(
        alert_id=_alert_id(*(f"{shop.shop} {shop.since.isoformat()}" for shop in shops)),
        kind="shops_disconnected",
        message=(
            f"{count} became disconnected: {', '.join(shop.shop for shop in named[:5])}"
            f"{' …' if len(shops) > 5 else ''}. Ask the merchant to reconnect, then "
            "`connector-pipeline shops resume SHOP`."
        ),
        raised_at=now,
        shops=named,
        shops_not_named=len(shops) - len(named),
    )


def sweep_alert(sweep: Sweep, now: datetime) -> Alert:
    """Make the alert that a sweep is failing."""
    return Alert(
        alert_id=_alert_id(sweep.sweep_id),
        kind="sweep_failing",
        message=(
            f"{sweep.failed} of {sweep.shops} shops failed in the sweep of {sweep.sweep_id}. "
            "See the failed runs in Dagster's UI; `connector-pipeline doctor` looks at what all "
            "shops share."
        ),
        raised_at=now,
        sweep={
            "sweep_id": sweep.sweep_id,
            "shops": sweep.shops,
            "taken": sweep.taken,
            "succeeded": sweep.succeeded,
            "failed": sweep.failed,
        },
    )


@sensor(
    minimum_interval_seconds=EVERY_SECONDS,
    default_status=DefaultSensorStatus.RUNNING,
    description="Logs and posts to ALERT_WEBHOOK_URL: shops disconnected, sweeps that fail.",
)
def alerts(
    context: SensorEvaluationContext, database: ResourceParam[Database]
) -> SensorResult | SkipReason:
    """Raise an alert for each newly disconnected shop and failing sweep, once each."""
    reported = _reported(context.cursor)
    try:
        with database.connect() as connection:
            disconnected = _disconnected(connection)
            recent = [
                sweep
                for sweep in sweeps.recent(connection, since=_SWEEPS_WATCHED)
                if failing(sweep)
            ]
    except ConnectorError as error:
        return SkipReason(f"{error.code}: {error}")
    still = Reported(
        disconnected={
            shop.shop: shop.since
            for shop in disconnected
            if reported.disconnected.get(shop.shop) == shop.since
        },
        sweeps=[sweep.sweep_id for sweep in recent if sweep.sweep_id in reported.sweeps],
    )
    count = 0
    for alert, afterwards in _new_alerts(still, disconnected, recent, datetime.now(UTC)):
        if (trouble := _deliver(context, alert)) is not None:
            return SensorResult(skip_reason=trouble, cursor=still.model_dump_json())
        still = afterwards
        count += 1
    reason = f"Alerts raised: {count}." if count else "There is no new alert."
    return SensorResult(skip_reason=reason, cursor=still.model_dump_json())


def _new_alerts(
    reported: Reported,
    disconnected: Sequence[DisconnectedShop],
    failing: Sequence[Sweep],
    now: datetime,
) -> Iterator[tuple[Alert, Reported]]:
    """Yield each new alert, and the cursor for when it has been delivered."""
    shops = newly_disconnected(disconnected, reported.disconnected.items())
    if shops:
        since = {shop.shop: shop.since for shop in disconnected}
        reported = reported.model_copy(update={"disconnected": since})
        yield disconnected_alert(shops, now), reported
    for sweep in failing:
        if sweep.sweep_id not in reported.sweeps:
            reported = reported.model_copy(update={"sweeps": [*reported.sweeps, sweep.sweep_id]})
            yield sweep_alert(sweep, now), reported


def _deliver(context: SensorEvaluationContext, alert: Alert) -> str | None:
    """Post the alert if there is a webhook, and log it. Returns why that failed, or None."""
    url = load_settings().alert_webhook_url
    if url is not None:
        try:
            post(url, alert.model_dump(mode="json", exclude_none=True))
        except NotDelivered as trouble:
            reason = (
                f"ALERT_WEBHOOK_URL did not take {alert.kind} ({trouble}); "
                f"it is posted again in {EVERY_SECONDS} s."
            )
            context.log.warning(reason)
            return reason
    context.log.warning(f"{alert.kind}: {alert.message}")
    return None


def _disconnected(connection: psycopg.Connection) -> list[DisconnectedShop]:
    cursor = connection.cursor(row_factory=class_row(DisconnectedShop))
    return cursor.execute(
        """
        SELECT platform_name || '/' || domain AS shop, merchant_id, last_error_message AS error,
            updated_at AS since
        FROM connector.shops WHERE state = %s ORDER BY updated_at, platform_name, domain
        """,
        (ShopState.DISCONNECTED,),
    ).fetchall()


def _reported(cursor: str | None) -> Reported:
    try:
        return Reported.model_validate_json(cursor or "{}")
    except ValidationError:
        # Somebody edited the cursor in the UI: an alert twice is better than none.
        return Reported()


def _alert_id(*of: str) -> str:
    return str(uuid5(NAMESPACE_URL, "connector-pipeline:alert:" + "\n".join(of)))
