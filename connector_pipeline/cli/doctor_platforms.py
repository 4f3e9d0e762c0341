"""What `doctor` sees of the platforms: whether each adapter can be used, and what it finds."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from connector_pipeline.cli.doctor_looks import LONGEST_LOOK, no_answer
from connector_pipeline.cli.real_or_sandbox import token_service_to_look_at
from connector_pipeline.model.errors import ConnectorError, Defect
from connector_pipeline.model.finding import Finding
from connector_pipeline.model.shop import RegisteredShop
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.platforms.adapters import adapter_classes, build_adapters, found_adapters
from connector_pipeline.platforms.kit.contract import Adapter
from connector_pipeline.postgres.database import Database
from connector_pipeline.settings import Settings, SettingsError
from connector_pipeline.state.registry import ShopRegistry

_REPAIR: Final = "Repair or uninstall the package that brings it; its shops are not synced."


def platforms_seen(settings: Settings) -> list[Finding]:
    """A finding for each adapter that cannot be used, and the findings of the others."""
    found = [
        Finding(f"platform {each.platform_name}", False, each.reason, _REPAIR)
        for each in found_adapters().unusable
    ]
    try:
        adapters = build_adapters(settings)
    except SettingsError as error:
        return [*found, *(Finding("settings", False, line) for line in error.lines)]
    found += [
        Finding(f"platform {name}", False, "its adapter cannot be made: see the log.", _REPAIR)
        for name in adapter_classes()
        if name not in adapters
    ]
    try:
        shops = ShopRegistry(database=Database()).list(ShopState.ACTIVE)
        return found + asyncio.run(_adapters_findings(settings, adapters, shops))
    except ConnectorError:
        # The database is down or there is no Token Service, which is among the findings already.
        return found


async def _adapters_findings(
    settings: Settings, adapters: Mapping[str, Adapter], shops: Sequence[RegisteredShop]
) -> list[Finding]:
    found: list[Finding] = []
    async with token_service_to_look_at(settings).open("doctor") as credential_source:
        for name, adapter in adapters.items():
            try:
                async with asyncio.timeout(LONGEST_LOOK):
                    found += await adapter.findings(
                        _last_synced_first(name, shops), credential_source
                    )
            except TimeoutError:
                found.append(no_answer(f"platform {name}", LONGEST_LOOK))
            except Exception as error:
                named = error if isinstance(error, ConnectorError) else Defect.from_exception(error)
                found.append(Finding(f"platform {name}", False, named.message, named.remedy))
    return found


def _last_synced_first(platform_name: str, shops: Sequence[RegisteredShop]) -> list[RegisteredShop]:
    never = datetime.min.replace(tzinfo=UTC)
    return sorted(
        (shop for shop in shops if shop.platform_name == platform_name),
        key=lambda shop: shop.last_successful_sync_at or never,
        reverse=True,
    )
