"""The commands that look at the webhooks of shops, make them and delete them."""

import asyncio
from collections.abc import Sequence
from typing import Final

from connector_pipeline.cli.active_shop import active_shop
from connector_pipeline.cli.json_output import print_json
from connector_pipeline.cli.local_services import SchemaUse, local_services
from connector_pipeline.cli.output import err, out
from connector_pipeline.cli.registration import register_sandbox_shops
from connector_pipeline.cli.working import working
from connector_pipeline.credentials.real_or_sandbox import SandboxGuard
from connector_pipeline.credentials.token_service import TokenService
from connector_pipeline.model.shop import RegisteredShop
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.platforms.adapters import build_adapters
from connector_pipeline.postgres.database import Database
from connector_pipeline.settings import Settings
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline.sync.subscriptions import Care, Cared, Subscriptions

_DONE: Final = {
    Care.CHECK: "",
    Care.RESTORE: "",
    Care.SUBSCRIBE: "; {changed} made or restored",
    Care.UNSUBSCRIBE: "; {changed} deleted",
}


def run_care(care: Care, shop: str | None, *, as_json: bool) -> bool:
    """Take care of one shop's webhooks, or of all active shops'. Returns whether all is well.

    Raises SettingsError, UnknownShop, NotActive, DatabaseUnavailable, DatabaseNotMigrated.
    """
    with local_services(SchemaUse.ROWS) as services:
        database = Database()
        registry = ShopRegistry(database=database)
        register_sandbox_shops(registry, services.sandbox_shops())
        settings = services.settings
        cares = Subscriptions.of(
            database, token_service_of(settings, database), build_adapters(settings), settings
        )
        with working("Asking the shops"):
            done = asyncio.run(cares.take_care(_chosen(registry, shop), care))
    for each in done:
        _print(each, care, as_json=as_json)
    if not as_json and len(done) != 1:
        out.print(f"{len(done)} shops, {sum(not _well(each) for each in done)} in trouble.")
    return all(_well(each) for each in done)


def _chosen(registry: ShopRegistry, shop: str | None) -> Sequence[RegisteredShop]:
    if shop is None:
        return registry.list(ShopState.ACTIVE)
    return [active_shop(registry, shop)]


def token_service_of(settings: Settings, database: Database) -> TokenService:
    """The Token Service that these settings name."""
    return TokenService(
        url=settings.token_service_url or "",
        timeout=settings.token_service_timeout,
        retry_count=settings.connector_max_retries,
        retry_delay=settings.connector_retry_delay,
        guard=SandboxGuard(database),
    )


def _well(cared: Cared) -> bool:
    return cared.error is None and cared.trouble is None


def _print(cared: Cared, care: Care, *, as_json: bool) -> None:
    error = None if cared.error is None else f"{cared.error.code}: {cared.error}"
    if as_json:
        print_json(
            {
                "shop": cared.shop,
                "subscribed": cared.subscribed,
                "topics": list(cared.topics),
                "missing": list(cared.missing),
                "changed": cared.changed,
                "trouble": cared.trouble,
                "error": error,
            }
        )
        return
    if error is not None:
        err.print(error, soft_wrap=True)
        return
    topics = ", ".join(cared.topics) or "no webhooks"
    changed = _DONE[care].format(changed=cared.changed)
    out.print(f"{cared.shop}: {topics}{changed}.", soft_wrap=True)
    if cared.trouble is not None:
        err.print(f"{cared.shop}: {cared.trouble}", soft_wrap=True)
