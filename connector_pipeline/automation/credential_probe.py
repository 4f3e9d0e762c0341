"""The sensor that makes disconnected shops active again when they have new credentials."""

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
"""Dagster gives a tick 60 s. A slow Token Service must not keep the tick from its end."""


def are_new(refused: str | None, given: BaseModel) -> bool:
    """Whether the credentials are worth a sync: not the refused ones, or the first that there are.

    `refused` is the digest of the refused ones, or None if the Token Service had none.
    """
    return refused is None or not is_digest_of(refused, given)


@sensor(
    minimum_interval_seconds=EVERY_SECONDS,
    default_status=DefaultSensorStatus.RUNNING,
    description=(
        "Asks the Token Service for the credentials of disconnected shops, some at a time, and "
        "makes a shop active that has other ones than the refused ones. Asks no platform."
    ),
)
def credential_probe(
    context: SensorEvaluationContext,
    registry: ResourceParam[ShopRegistry],
    token_service: ResourceParam[TokenService],
) -> SkipReason:
    """Probe the next shops after the cursor; after the last shop, begin with the first again."""
    try:
        shops = registry.disconnected_after(context.cursor or "", limit=SHOPS_A_TICK)
        if not shops:
            context.update_cursor("")
            return SkipReason("No shop is disconnected, or all have been probed.")
        probe = asyncio.run(_probe(shops, registry, token_service))
    except ConnectorError as error:
        return SkipReason(f"{error.code}: {error}")
    at_the_end = probe.asked_for == len(shops) < SHOPS_A_TICK
    context.update_cursor("" if at_the_end else shops[probe.asked_for - 1].shop.partition_key)
    if probe.reconnected:
        keys = ", ".join(probe.reconnected)
        context.log.info(f"these shops have new credentials and are active again: {keys}")
    counts = (
        f"{probe.asked_for} disconnected shops probed, {len(probe.reconnected)} of them have new "
        "credentials and are active again."
    )
    return SkipReason(f"{counts} The last error: {probe.error}" if probe.error else counts)


@dataclass(slots=True)
class _Probe:
    """The number of probed shops, the keys of those made active, and the last error."""

    asked_for: int = 0
    reconnected: list[str] = field(default_factory=list[str])
    error: ConnectorError | None = None


async def _probe(
    shops: list[DisconnectedShop], registry: ShopRegistry, token_service: TokenService
) -> _Probe:
    """Probe as many of the shops as time allows, at least one."""
    until = time.monotonic() + _SECONDS_A_TICK
    probe = _Probe()
    async with token_service.open(f"probe-{uuid4()}") as client:
        for shop in shops:
            try:
                if await _has_new_credentials(client, shop) and registry.reconnect(shop):
                    probe.reconnected.append(shop.shop.partition_key)
            except TokenServiceUnavailable as error:
                # The error may concern this shop alone, so the others are probed all the same.
                probe.error = error
            probe.asked_for += 1
            if time.monotonic() > until:
                break
    return probe


async def _has_new_credentials(client: TokenServiceClient, shop: DisconnectedShop) -> bool:
    adapter = adapter_classes().get(shop.shop.platform_name)
    if adapter is None:
        # The adapter's package was uninstalled, so no credentials would let the shop be synced.
        return False
    try:
        given = await client.credentials(shop.shop, adapter.credentials_model)
    except ShopDisconnected:
        return False
    return are_new(shop.refused, given)
