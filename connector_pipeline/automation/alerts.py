"""The sensor that tells somebody: a shop became disconnected, or too much of a sweep failed.

Driven by our own tables: a run status sensor handles five runs a tick, and what it misses stays
missed. Each alert is logged, and posted where ALERT_WEBHOOK_URL is set. The cursor moves with what
was taken, so an alert the webhook did not take is posted again at the next tick, and one that was
taken in vain because the tick died afterwards comes again under its `alert_id`.
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
"""Of fewer shops one that fails is more than 5 %, and no news."""
_SWEEPS_WATCHED: Final = timedelta(days=2)


class DisconnectedShop(BaseModel):
    """A shop that refuses us, as an alert names it."""

    shop: str
    merchant_id: str
    error: str | None
    since: datetime


class Alert(BaseModel):
    """One alert, as docs/contracts.md says; `shops` or `sweep` by its kind."""

    alert_id: str
    kind: str
    message: str
    raised_at: datetime
    shops: list[DisconnectedShop] | None = None
    shops_not_named: int | None = None
    sweep: dict[str, Any] | None = None


class Told(BaseModel):
    """The cursor: what was told already, of what is still so."""

    disconnected: dict[str, datetime] = {}
    sweeps: list[str] = []


def newly_disconnected(
    disconnected: Iterable[DisconnectedShop], told: Collection[tuple[str, datetime]]
) -> list[DisconnectedShop]:
    """Those to tell of: once for each time a shop became disconnected."""
    return [shop for shop in disconnected if (shop.shop, shop.since) not in told]


def failing(sweep: Sweep) -> bool:
    """Whether more than 5 % of the sweep's shops failed; a sweep of fewer than 20 is not judged.

    Of all its shops, so that the first run of a hundred does not speak for ten thousand; said as
    soon as it is certain and not at the sweep's end.
    """
    return sweep.shops >= FEWEST_SHOPS and sweep.failed > FAILED_SHARE * sweep.shops


def disconnected_alert(shops: Sequence[DisconnectedShop], now: datetime) -> Alert:
    """One alert for all shops of a tick: a sweep may find many at once."""
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
    """The alert that a sweep is failing."""
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
    """Tell what is to be told, once each."""
    told = _told(context.cursor)
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
    still = Told(
        disconnected={
            shop.shop: shop.since
            for shop in disconnected
            if told.disconnected.get(shop.shop) == shop.since
        },
        sweeps=[sweep.sweep_id for sweep in recent if sweep.sweep_id in told.sweeps],
    )
    count = 0
    for alert, afterwards in _to_tell(still, disconnected, recent, datetime.now(UTC)):
        if (trouble := _tell(context, alert)) is not None:
            return SensorResult(skip_reason=trouble, cursor=still.model_dump_json())
        still = afterwards
        count += 1
    reason = f"{count} alerts were told." if count else "Nothing to tell."
    return SensorResult(skip_reason=reason, cursor=still.model_dump_json())


def _to_tell(
    told: Told, disconnected: Sequence[DisconnectedShop], failing: Sequence[Sweep], now: datetime
) -> Iterator[tuple[Alert, Told]]:
    """Each alert with what is told once it was taken."""
    shops = newly_disconnected(disconnected, told.disconnected.items())
    if shops:
        now_told = {shop.shop: shop.since for shop in disconnected}
        told = told.model_copy(update={"disconnected": now_told})
        yield disconnected_alert(shops, now), told
    for sweep in failing:
        if sweep.sweep_id not in told.sweeps:
            told = told.model_copy(update={"sweeps": [*told.sweeps, sweep.sweep_id]})
            yield sweep_alert(sweep, now), told


def _tell(context: SensorEvaluationContext, alert: Alert) -> str | None:
    """Log the alert and post it; why it was not taken, or None."""
    url = load_settings().alert_webhook_url
    if url is not None:
        try:
            post(url, alert.model_dump(mode="json", exclude_none=True))
        except NotDelivered as trouble:
            said = (
                f"ALERT_WEBHOOK_URL did not take {alert.kind} ({trouble}); "
                f"it is posted again in {EVERY_SECONDS} s."
            )
            context.log.warning(said)
            return said
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


def _told(cursor: str | None) -> Told:
    try:
        return Told.model_validate_json(cursor or "{}")
    except ValidationError:
        # Somebody edited it in the UI: rather tell twice than never.
        return Told()


def _alert_id(*of: str) -> str:
    return str(uuid5(NAMESPACE_URL, "connector-pipeline:alert:" + "\n".join(of)))
