"""What `connector-pipeline doctor` says of the shops' webhooks."""

import asyncio
from collections.abc import Sequence
from uuid import uuid4

from connector_pipeline.cli.webhooks_of_shops import token_service_of
from connector_pipeline.credentials.token_service import TokenService
from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.model.finding import Finding
from connector_pipeline.model.shop import RegisteredShop
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.platforms.adapters import build_adapters
from connector_pipeline.platforms.kit.webhooks import WebhookReader
from connector_pipeline.postgres.database import Database
from connector_pipeline.settings import Settings
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline.sync.subscriptions import lacks_app_secret


def webhooks_seen(settings: Settings) -> list[Finding]:
    """How the shops' webhooks are, by what was last seen of them; nothing where nobody has any."""
    try:
        shops = ShopRegistry(database=Database()).list(ShopState.ACTIVE)
    except ConnectorError:
        # The database is down, which is among the findings already.
        return []
    subscribed = [shop for shop in shops if shop.subscribed is not None]
    if not subscribed and settings.webhooks_url is None:
        return []
    troubled = [shop for shop in subscribed if shop.subscriptions_trouble is not None]
    seen = f"{len(subscribed)} of {len(shops)} active shops were subscribed to webhooks"
    if subscribed and settings.webhooks_url is None:
        return [Finding("webhooks", False, f"{seen}, and WEBHOOKS_URL is not set.", "Set it.")]
    if unverified := _unverified(settings, subscribed):
        key, setting = unverified
        return [
            Finding(
                "webhooks",
                False,
                f"{seen}, and {setting} is not set, nor has the Token Service a `webhook_secret` "
                f"of {key}: its deliveries are refused.",
                "Set it to the secrets of the apps, for the receiver too.",
            )
        ]
    if troubled:
        first = troubled[0]
        return [
            Finding(
                "webhooks",
                False,
                f"{seen}, of which {len(troubled)} cannot get all: {first.partition_key}: "
                f"{first.subscriptions_trouble}",
                "`connector-pipeline webhooks check --all` shows all of them.",
            )
        ]
    return [Finding("webhooks", True, seen)]


def _unverified(settings: Settings, subscribed: Sequence[RegisteredShop]) -> tuple[str, str] | None:
    """A subscribed shop whose deliveries cannot be verified, with the setting that is missing.

    One shop of each platform is asked about: either one app serves all, or each has its own.
    """
    source = token_service_of(settings, Database())
    for name, adapter in build_adapters(settings).items():
        reader = adapter.webhooks
        shop = next((shop for shop in subscribed if shop.platform_name == name), None)
        if shop is None or reader is None or reader.app_secrets_setting is None:
            continue
        try:
            lacks = asyncio.run(_lacks(shop, reader, source, settings))
        except ConnectorError:
            # The Token Service is down, or refuses the shop, which is among the findings already.
            continue
        if lacks:
            return shop.partition_key, reader.app_secrets_setting
    return None


async def _lacks(
    shop: RegisteredShop, reader: WebhookReader, source: TokenService, settings: Settings
) -> bool:
    async with source.open(f"doctor-{uuid4()}") as client:
        return await lacks_app_secret(shop, reader, client, settings)
