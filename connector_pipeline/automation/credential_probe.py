"""The sensor that takes disconnected shops up again when they have new credentials."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Final
from uuid import uuid4

from dagster import (
    DefaultSensorStatus,
    ResourceParam,
    SensorEvaluationContext,
    SkipReason,
    sensor,  # pyright: ignore[reportUnknownVariableType]  # partly untyped there
)
from pydantic import BaseModel

from connector_pipeline.credentials.refused import is_digest_of
from connector_pipeline.credentials.token_service import TokenService, TokenServiceClient
from connector_pipeline.model.errors import (
    ConnectorError,
    ShopDisconnected,
    TokenServiceUnavailable,
)
from connector_pipeline.platforms.adapters import adapter_classes
from connector_pipeline.state.registry import DisconnectedShop, ShopRegistry

EVERY_SECONDS: Final = 600
SHOPS_A_TICK: Final = 100
"""A merchant who reconnects one of a thousand disconnected shops waits for less than two hours."""
_SECONDS_A_TICK: Final = 40.0
"""Dagster gives a tick 60 s; a Token Service that takes its time must not cost the others' turn."""


def are_new(refused: str | None, given: BaseModel) -> bool:
    """Whether the credentials are worth a sync: others than were refused, or the first there are.

    `refused` is the digest of those refused, None where the Token Service had none.
    """
    return refused is None or not is_digest_of(refused, given)


@sensor(
    minimum_interval_seconds=EVERY_SECONDS,
    default_status=DefaultSensorStatus.RUNNING,
    description=(
        "Asks the Token Service for the credentials of disconnected shops, some at a time, and "
        "makes a shop active that has other ones than were refused. Asks no platform."
    ),
)
def credential_probe(
    context: SensorEvaluationContext,
    registry: ResourceParam[ShopRegistry],
    token_service: ResourceParam[TokenService],
) -> SkipReason:
    """Probe the next shops after the cursor, and begin anew after the last."""
    try:
        shops = registry.disconnected_after(context.cursor or "", limit=SHOPS_A_TICK)
        if not shops:
            context.update_cursor("")
            return SkipReason("No shop is disconnected, or all have been asked for.")
        probe = asyncio.run(_probe(shops, registry, token_service))
    except ConnectorError as error:
        return SkipReason(f"{error.code}: {error}")
    everybody = probe.asked_for == len(shops) < SHOPS_A_TICK
    context.update_cursor("" if everybody else shops[probe.asked_for - 1].shop.partition_key)
    if probe.reconnected:
        keys = ", ".join(probe.reconnected)
        context.log.info(f"have new credentials and are active again: {keys}")
    said = (
        f"{probe.asked_for} disconnected shops asked for, {len(probe.reconnected)} of them have "
        "new credentials and are active again."
    )
    return SkipReason(f"{said} The last trouble: {probe.trouble}" if probe.trouble else said)


@dataclass(slots=True)
class _Probe:
    """How many shops were asked for, the keys of those made active, and what went wrong last."""

    asked_for: int = 0
    reconnected: list[str] = field(default_factory=list[str])
    trouble: ConnectorError | None = None


async def _probe(
    shops: list[DisconnectedShop], registry: ShopRegistry, token_service: TokenService
) -> _Probe:
    """Ask for as many of the shops as time allows, one at least."""
    until = time.monotonic() + _SECONDS_A_TICK
    probe = _Probe()
    async with token_service.open(f"probe-{uuid4()}") as client:
        for shop in shops:
            try:
                if await _has_new_credentials(client, shop) and registry.reconnect(shop):
                    probe.reconnected.append(shop.shop.partition_key)
            except TokenServiceUnavailable as error:
                # Of this shop perhaps alone: the others must not wait for it.
                probe.trouble = error
            probe.asked_for += 1
            if time.monotonic() > until:
                break
    return probe


async def _has_new_credentials(client: TokenServiceClient, shop: DisconnectedShop) -> bool:
    adapter = adapter_classes().get(shop.shop.platform_name)
    if adapter is None:
        # Its package was uninstalled: it could not be synced, whatever its credentials.
        return False
    try:
        given = await client.credentials(shop.shop, adapter.credentials_model)
    except ShopDisconnected:
        return False
    return are_new(shop.refused, given)
