"""The sensor that raises alerts: shops disconnected, too many shops of a run or a sweep failed,
shops that have failed for a day, webhooks lost.

One trouble is one alert. While most shops of a platform fail or are refused, a sweep that fails for
no other reason raises none, and it is the other way round where the sweep's alert came first.

It reads the project's own tables, because a run status sensor of Dagster handles five runs a tick
and never comes back to a run that it missed. Each alert is logged, and posted to every target of
ALERT_WEBHOOK_URL. The cursor records for the log and for each target what was reported to it. So an
alert that a target did not take is posted there again at the next tick, and holds up no other alert
and no other target. If a tick dies after a target took an alert, the alert is posted there again
under the same `alert_id`.
"""

from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import psycopg
from dagster import (
    DefaultSensorStatus,
    ResourceParam,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,  # pyright: ignore[reportUnknownVariableType]  # partly untyped there
)
from pydantic import BaseModel, ValidationError

from connector_pipeline.automation import alerted_shops
from connector_pipeline.automation.alert import (
    Alert,
    DisconnectedShop,
    disconnected_alert,
    failing_alert,
    sweep_alert,
    trouble_alert,
    webhooks_alert,
)
from connector_pipeline.automation.alert_forms import body
from connector_pipeline.automation.alert_targets import Target, targets
from connector_pipeline.automation.alert_webhook import NotDelivered, post
from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.postgres.database import Database
from connector_pipeline.settings import load_settings
from connector_pipeline.state import sweeps, troubles
from connector_pipeline.state.sweeps import Sweep
from connector_pipeline.state.troubles import Trouble

EVERY_SECONDS: Final = 30
TROUBLE_WATCHED: Final = timedelta(days=1)
"""A trouble of many shops is forgotten if none of them was synced for so long."""

FAILED_SHARE: Final = 0.05
FEWEST_SHOPS: Final = 20
"""In a sweep of fewer shops a single failed one is more than 5 %, and no reason for an alert."""
_SWEEPS_WATCHED: Final = timedelta(days=2)


class Reported(BaseModel):
    """The cursor: the shops, sweeps and platforms that alerts have reported and are still so."""

    disconnected: dict[str, datetime] = {}
    without_webhooks: list[str] = []
    failing: list[str] = []
    sweeps: list[str] = []
    platforms: list[str] = []


class Cursor(BaseModel):
    """The digests of all that has been reported, to the log and to each target."""

    log: Reported = Reported()
    targets: dict[str, Reported] = {}


@dataclass(frozen=True, slots=True)
class New:
    """A new trouble: its alert, and what is reported once that was delivered.

    None in place of an alert: another one has reported the same trouble.
    """

    alert: Alert | None
    reports: Reported


@dataclass(frozen=True, slots=True)
class Found:
    """A tick's findings: `sweeps` that fail, and those of them that fail by `troubles` alone."""

    disconnected: Sequence[DisconnectedShop]
    without_webhooks: Sequence[DisconnectedShop]
    failing: Sequence[DisconnectedShop]
    troubles: Sequence[Trouble]
    sweeps: Sequence[Sweep]
    explained: Collection[str]


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


@sensor(
    minimum_interval_seconds=EVERY_SECONDS,
    default_status=DefaultSensorStatus.RUNNING,
    description=(
        "Logs and posts to ALERT_WEBHOOK_URL: shops disconnected, sweeps that fail, platforms most "
        "of whose shops fail or refuse us at once, shops that failed for a day, webhooks lost."
    ),
)
def alerts(
    context: SensorEvaluationContext, database: ResourceParam[Database]
) -> SensorResult | SkipReason:
    """Raise an alert for each new disconnected shop, trouble of many shops and failing sweep."""
    cursor = _read(context.cursor)
    try:
        with database.connect() as connection:
            found = _found(connection)
    except ConnectorError as error:
        return SkipReason(f"{error.code}: {error}")
    now = datetime.now(UTC)
    log = _still(cursor.log, found)
    new = new_alerts(log, found, now)
    for each in new:
        log = _with(log, each.reports)
        if each.alert is not None:
            context.log.warning(f"{each.alert.kind}: {each.alert.message}")
    receivers = targets(load_settings().alert_webhook_url)

    def post_to(target: Target) -> tuple[Reported, list[str]]:
        return _post(
            target, _still(cursor.targets.get(target.digest, Reported()), found), found, now
        )

    # A receiver that is down takes its time, and another's alerts must not wait for it.
    with ThreadPoolExecutor(max(len(receivers), 1)) as threads:
        posted = list(threads.map(post_to, receivers))
    refusals = [refusal for _, refused in posted for refusal in refused]
    for refusal in refusals:
        context.log.warning(refusal)
    count = sum(each.alert is not None for each in new)
    raised = [f"Alerts raised: {count}."] if count else []
    reports = {target.digest: to for target, (to, _) in zip(receivers, posted, strict=True)}
    return SensorResult(
        skip_reason=" ".join([*raised, *refusals]) or "There is no new alert.",
        cursor=Cursor(log=log, targets=reports).model_dump_json(),
    )


def _post(
    target: Target, reported: Reported, found: Found, now: datetime
) -> tuple[Reported, list[str]]:
    """Post what is new to the target. Returns what is reported to it now, and why the rest is not.

    A target that does not answer is not tried again in this tick.
    """
    refused: list[str] = []
    for each in new_alerts(reported, found, now):
        if each.alert is not None:
            try:
                post(target.url, body(each.alert, target))
            except NotDelivered as trouble:
                refused.append(
                    f"ALERT_WEBHOOK_URL: {target.name} did not take {each.alert.kind} ({trouble}); "
                    f"it is posted there again in {EVERY_SECONDS} s."
                )
                if trouble.answered:
                    continue
                break
        reported = _with(reported, each.reports)
    return reported, refused


def _found(connection: psycopg.Connection) -> Found:
    troubled = troubles.current(connection, since=TROUBLE_WATCHED)
    platforms = [trouble.platform_name for trouble in troubled]
    recent = sweeps.recent(connection, since=_SWEEPS_WATCHED)
    elsewhere = (
        sweeps.recent(connection, since=_SWEEPS_WATCHED, platforms_left_out=platforms)
        if platforms
        else recent
    )
    unexplained = {sweep.sweep_id for sweep in elsewhere if failing(sweep)}
    fail = [sweep for sweep in recent if failing(sweep)]
    return Found(
        disconnected=alerted_shops.disconnected(connection),
        without_webhooks=alerted_shops.without_webhooks(connection),
        failing=alerted_shops.failing_long(connection),
        troubles=troubled,
        sweeps=fail,
        explained={sweep.sweep_id for sweep in fail} - unexplained,
    )


def _still(reported: Reported, found: Found) -> Reported:
    """Those that were reported and are still so."""
    return Reported(
        disconnected={
            shop.shop: shop.since
            for shop in found.disconnected
            if reported.disconnected.get(shop.shop) == shop.since
        },
        without_webhooks=[
            shop.shop for shop in found.without_webhooks if shop.shop in reported.without_webhooks
        ],
        failing=[each.shop for each in found.failing if each.shop in reported.failing],
        sweeps=[each.sweep_id for each in found.sweeps if each.sweep_id in reported.sweeps],
        platforms=[
            each.platform_name
            for each in found.troubles
            if each.platform_name in reported.platforms
        ],
    )


def new_alerts(reported: Reported, found: Found, now: datetime) -> list[New]:
    """The new troubles, of those that were not reported. Each can be delivered without the others.

    A sweep that fails by a platform's trouble alone is quiet, and so is a trouble of sweeps that
    were reported.
    """
    new: list[New] = []
    shops = newly_disconnected(found.disconnected, reported.disconnected.items())
    if shops:
        since = {shop.shop: shop.since for shop in found.disconnected}
        new.append(New(disconnected_alert(shops, now), Reported(disconnected=since)))
    lost = [each for each in found.without_webhooks if each.shop not in reported.without_webhooks]
    if lost:
        names = [each.shop for each in lost]
        new.append(New(webhooks_alert(lost, now), Reported(without_webhooks=names)))
    in_trouble = {each.platform_name for each in found.troubles}
    long = [
        each
        for each in found.failing
        if each.shop not in reported.failing and each.shop.partition("/")[0] not in in_trouble
    ]
    if long:
        new.append(New(failing_alert(long, now), Reported(failing=[each.shop for each in long])))
    troubles_now = [each for each in found.troubles if each.platform_name not in reported.platforms]
    for of_refusals in (True, False):
        alike = [each for each in troubles_now if each.of_refusals is of_refusals]
        if not alike:
            continue
        loud = [each for each in alike if not _is_of_sweeps(each, reported.sweeps)]
        names = [each.platform_name for each in alike]
        new.append(New(trouble_alert(loud, now) if loud else None, Reported(platforms=names)))
    new += [
        New(
            None if sweep.sweep_id in found.explained else sweep_alert(sweep, now),
            Reported(sweeps=[sweep.sweep_id]),
        )
        for sweep in found.sweeps
        if sweep.sweep_id not in reported.sweeps
    ]
    return new


def _with(reported: Reported, more: Reported) -> Reported:
    return Reported(
        disconnected=reported.disconnected | more.disconnected,
        without_webhooks=[*reported.without_webhooks, *more.without_webhooks],
        failing=[*reported.failing, *more.failing],
        sweeps=[*reported.sweeps, *more.sweeps],
        platforms=[*reported.platforms, *more.platforms],
    )


def _is_of_sweeps(trouble: Trouble, sweep_ids: Collection[str]) -> bool:
    """Whether sweeps were reported as failing by this trouble before it was seen.

    A refused shop does not count as failed in a sweep.
    """
    if trouble.of_refusals or not trouble.sweep_ids:
        return False
    return set(trouble.sweep_ids) <= set(sweep_ids)


def _read(cursor: str | None) -> Cursor:
    try:
        return Cursor.model_validate_json(cursor or "{}")
    except ValidationError:
        # Somebody edited the cursor in the UI: an alert twice is better than none.
        return Cursor()
