"""The sensor that looks at the webhooks of subscribed shops, each about once a day.

A platform deletes or disables a webhook whose deliveries failed, and tells nobody. What it ended is
restored; what somebody of the shop paused, or what the credentials do not allow, is recorded with
the shop and reported. It is no part of a sync: a shop whose webhooks are lost is synced all the
same.
"""

import asyncio
from datetime import timedelta
from typing import Final

from dagster import (
    DefaultSensorStatus,
    ResourceParam,
    SensorEvaluationContext,
    SkipReason,
    sensor,  # pyright: ignore[reportUnknownVariableType]  # partly untyped there
)

from connector_pipeline.credentials.token_service import TokenService
from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.model.shop import RegisteredShop
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.platforms.adapters import build_adapters
from connector_pipeline.postgres.database import Database
from connector_pipeline.settings import SettingsError, load_settings
from connector_pipeline.state import subscriptions
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline.sync.subscriptions import SHOPS_AT_ONCE, Care, Cared, Subscriptions

EVERY_SECONDS: Final = 60
CHECKED_EVERY: Final = timedelta(hours=20)
"""Of each shop, so that a day has one check whatever hour it is."""
SHOPS_A_TICK: Final = 2 * SHOPS_AT_ONCE
"""23,000 shops a day."""
_SECONDS_A_SHOP: Final = 22.0
"""Dagster gives a tick 60 s, in which two slow shops may come one after the other."""


@sensor(
    minimum_interval_seconds=EVERY_SECONDS,
    default_status=DefaultSensorStatus.RUNNING,
    description=(
        "Looks about once a day at the webhooks of each shop that has some of ours, and restores "
        "those that its platform ended."
    ),
)
def webhook_checks(
    context: SensorEvaluationContext,
    database: ResourceParam[Database],
    token_service: ResourceParam[TokenService],
) -> SkipReason:
    """Look at the shops that are due, some at a time."""
    settings = load_settings()
    try:
        shops = _due(database)
        if not shops:
            return SkipReason("No shop's webhooks are due to be looked at.")
        care = Subscriptions.of(database, token_service, build_adapters(settings), settings)
        asked = care.take_care(shops, Care.RESTORE, seconds_a_shop=_SECONDS_A_SHOP)
        cared = asyncio.run(asked)
    except SettingsError as error:
        return SkipReason(" ".join(error.lines))
    except ConnectorError as error:
        return SkipReason(f"{error.code}: {error}")
    for each in cared:
        if each.changed:
            context.log.warning(f"{each.shop}: {each.changed} webhooks were lost and are restored.")
        if each.trouble is not None:
            context.log.warning(f"{each.shop}: {each.trouble}")
    return SkipReason(_counts(cared))


def _due(database: Database) -> list[RegisteredShop]:
    registry = ShopRegistry(database=database)
    with database.connect() as connection:
        keys = subscriptions.due(connection, every=CHECKED_EVERY, limit=SHOPS_A_TICK)
    return [shop for key in keys if (shop := registry.get(key)).state is ShopState.ACTIVE]


def _counts(cared: list[Cared]) -> str:
    restored = sum(each.changed for each in cared)
    troubled = sum(each.trouble is not None for each in cared)
    failed = [each.error for each in cared if each.error is not None]
    counts = (
        f"The webhooks of {len(cared)} shops looked at: {restored} restored, {troubled} shops "
        f"lack some, {len(failed)} did not answer."
    )
    return f"{counts} The last error: {failed[-1].code}: {failed[-1]}" if failed else counts
