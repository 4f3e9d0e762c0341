"""The alerts that the sensor raises, in the form of docs/contracts.md."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from pydantic import BaseModel

from connector_pipeline.model.storable import clipped_lines
from connector_pipeline.state.sweeps import Sweep
from connector_pipeline.state.troubles import Trouble

MOST_SHOPS_NAMED: Final = 100
_LONGEST_ERROR: Final = 1_000


class DisconnectedShop(BaseModel):
    """A shop that is disconnected or lacks webhooks, as an alert names it."""

    shop: str
    merchant_id: str
    error: str | None
    since: datetime


class PlatformTrouble(BaseModel):
    """A platform most of whose shops failed at once, as an alert names it."""

    platform_name: str
    shops: int
    failed: int
    refused: int
    most_frequent_error: str


class Alert(BaseModel):
    """One alert, in the form of docs/contracts.md.

    Its kind decides on `shops`, `sweep` or `platforms`.
    """

    alert_id: str
    kind: str
    message: str
    raised_at: datetime
    shops: list[DisconnectedShop] | None = None
    shops_not_named: int | None = None
    sweep: dict[str, Any] | None = None
    platforms: list[PlatformTrouble] | None = None


def disconnected_alert(shops: Sequence[DisconnectedShop], now: datetime) -> Alert:
    """Make one alert for all shops of a tick: a sweep may find many at once."""
    count = "A shop" if len(shops) == 1 else f"{len(shops)} shops"
    return _alert_of_shops(
        shops,
        now,
        kind="shops_disconnected",
        begins=f"{count} became disconnected",
        ends="The error of each says what the merchant can do. The connector asks them again at "
        "growing distances; `connector-pipeline shops resume SHOP` has a shop synced at once.",
    )


def webhooks_alert(shops: Sequence[DisconnectedShop], now: datetime) -> Alert:
    """Make one alert for all shops of a tick that were found to lack webhooks."""
    count = "A shop lacks" if len(shops) == 1 else f"{len(shops)} shops lack"
    return _alert_of_shops(
        shops,
        now,
        kind="webhooks_lost",
        id_prefix="webhooks ",
        begins=f"{count} webhooks that could not be restored",
        ends="Sweeps find their changes, later than webhooks do. The error of each says what to "
        "do; if they are many, look whether the receiver is reachable at WEBHOOKS_URL.",
    )


def failing_alert(shops: Sequence[DisconnectedShop], now: datetime) -> Alert:
    """Make one alert for all shops of a tick that have failed for a day."""
    count = "A shop has" if len(shops) == 1 else f"{len(shops)} shops have"
    return _alert_of_shops(
        shops,
        now,
        kind="shops_failing",
        id_prefix="failing ",
        begins=f"{count} failed for a day",
        ends="Readers see the catalog of then. The error of each ends with the remedy; "
        "`connector-pipeline shops health` and the asset `shop_health` have them all.",
    )


def _alert_of_shops(
    shops: Sequence[DisconnectedShop],
    now: datetime,
    *,
    kind: str,
    begins: str,
    ends: str,
    id_prefix: str = "",
) -> Alert:
    """One alert for shops in the same trouble. `id_prefix` keeps the ids of kinds apart."""
    named = [_bounded(shop) for shop in shops[:MOST_SHOPS_NAMED]]
    listed = ", ".join(shop.shop for shop in named[:5]) + (" …" if len(shops) > 5 else "")
    return Alert(
        alert_id=_alert_id(*(f"{id_prefix}{shop.shop} {shop.since.isoformat()}" for shop in shops)),
        kind=kind,
        message=f"{begins}: {listed}. {ends}",
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
            f"{sweep.failed} of {sweep.shops} shops failed in the sweep of {sweep.sweep_id}. The "
            "next sweep tries them again. See the failed runs in Dagster's UI; `connector-pipeline "
            "doctor` looks at what all shops share."
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


def trouble_alert(troubles: Sequence[Trouble], now: datetime) -> Alert:
    """Make the alert that most shops of these platforms fail, or that most of them are refused."""
    refused = troubles[0].of_refusals
    counts = " and ".join(
        f"{trouble.refused if refused else trouble.failed} of {trouble.shops} "
        f"{trouble.platform_name} shops"
        for trouble in troubles
    )
    errors = ", ".join(sorted({trouble.most_frequent for trouble in troubles}))
    return Alert(
        alert_id=_alert_id(*(f"{each.platform_name} {each.began_with}" for each in troubles)),
        kind="many_shops_refused" if refused else "many_shops_failing",
        message=(
            f"{counts} refuse us at once. Look on our side first: the address that we ask from, "
            "the app, the Token Service (`connector-pipeline doctor`). No shop is marked "
            "disconnected for it, and every sync asks again."
            if refused
            else f"{counts} failed at once, most with {errors}. The next sync tries them again. "
            "See the failed runs in Dagster's UI; `connector-pipeline doctor` looks at what all "
            "shops share."
        ),
        raised_at=now,
        platforms=[
            PlatformTrouble(
                platform_name=each.platform_name,
                shops=each.shops,
                failed=each.failed,
                refused=each.refused,
                most_frequent_error=each.most_frequent,
            )
            for each in troubles
        ],
    )


def _bounded(shop: DisconnectedShop) -> DisconnectedShop:
    # Of a hundred shops: PagerDuty refuses more than 512 KB.
    error = shop.error and clipped_lines(shop.error, most_bytes=_LONGEST_ERROR)
    return shop.model_copy(update={"error": error})


def _alert_id(*of: str) -> str:
    return str(uuid5(NAMESPACE_URL, "connector-pipeline:alert:" + "\n".join(of)))
