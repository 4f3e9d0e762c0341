"""Looks after the webhooks that shops have for us: finds, makes, restores and deletes them."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, Self
from uuid import uuid4

from connector_pipeline.credentials.token_service import TokenService
from connector_pipeline.credentials.webhook_secrets import made_secrets
from connector_pipeline.model.errors import ConnectorError, PlatformUnavailable
from connector_pipeline.model.redaction import SECRETS, redacted
from connector_pipeline.model.shop import RegisteredShop, Shop
from connector_pipeline.platforms.kit.contract import Adapter, CredentialSource
from connector_pipeline.platforms.kit.webhook_secret import WebhookSecret
from connector_pipeline.platforms.kit.webhooks import (
    SubscriptionState,
    WebhookReader,
    delivery_url,
)
from connector_pipeline.postgres.database import Database
from connector_pipeline.settings import Settings, SettingsError
from connector_pipeline.state import subscriptions
from connector_pipeline.sync.interruptible import in_thread
from connector_pipeline.sync.outcomes import as_connector_error

SHOPS_AT_ONCE: Final = 8
SECONDS_A_SHOP: Final = 60.0
"""A shop that answers byte by byte must not keep the others from their turn."""

_log: Final = logging.getLogger(__name__)


class Care(Enum):
    """What is to be done with the webhooks of shops."""

    CHECK = "look at them, and change nothing"
    RESTORE = "look at them, and make or restore those that the platform ended"
    SUBSCRIBE = "make or restore all, those that somebody paused too"
    UNSUBSCRIBE = "delete them"


@dataclass(frozen=True, slots=True)
class Cared:
    """How the webhooks of one shop are now.

    `topics` are those that are delivered. `trouble` is what is wrong, in words with what to do;
    None: nothing, or nobody subscribed to any. `error`: the shop could not be asked.
    """

    shop: str
    topics: Sequence[str] = ()
    missing: Sequence[str] = ()
    subscribed: bool = False
    changed: int = 0
    trouble: str | None = None
    error: ConnectorError | None = None


@dataclass(frozen=True, slots=True)
class Subscriptions:
    """Asks shops for their webhooks, several shops at once, and records what it finds."""

    database: Database
    token_service: TokenService
    adapters: Mapping[str, Adapter]
    settings: Settings
    base_url: str

    @classmethod
    def of(
        cls,
        database: Database,
        token_service: TokenService,
        adapters: Mapping[str, Adapter],
        settings: Settings,
    ) -> Self:
        """Raises SettingsError where WEBHOOKS_URL names no address that a platform delivers to."""
        url = settings.webhooks_url
        if url is None:
            raise SettingsError(
                [
                    "WEBHOOKS_URL: not set, so that no platform can deliver to us. "
                    "Example: WEBHOOKS_URL=https://hooks.example.com"
                ]
            )
        if not url.startswith("https://") and not settings.allow_private_hosts:
            raise SettingsError(
                [
                    "WEBHOOKS_URL: it is not https, and platforms deliver to https alone. "
                    "Example: WEBHOOKS_URL=https://hooks.example.com"
                ]
            )
        return cls(database, token_service, adapters, settings, url)

    async def take_care(
        self, shops: Sequence[RegisteredShop], care: Care, *, seconds_a_shop: float = SECONDS_A_SHOP
    ) -> list[Cared]:
        """Do it for each shop; an error of one is in its outcome alone. Sorted by shop."""
        left = iter(shops)
        done: list[Cared] = []
        async with (
            self.token_service.open(f"webhooks-{uuid4()}") as source,
            asyncio.TaskGroup() as workers,
        ):
            for _ in range(min(SHOPS_AT_ONCE, len(shops))):
                workers.create_task(self._each(left, care, source, seconds_a_shop, done))
        return sorted(done, key=lambda each: each.shop)

    async def _each(
        self,
        shops: Iterator[RegisteredShop],
        care: Care,
        source: CredentialSource,
        seconds: float,
        done: list[Cared],
    ) -> None:
        for shop in shops:
            try:
                async with asyncio.timeout(seconds):
                    cared = await self._one(shop, care, source)
            except Exception as error:
                cared = Cared(
                    shop.partition_key, error=_named(error, seconds).of(shop.partition_key)
                )
                if shop.subscribed is not None:
                    await self._record(subscriptions.not_seen, shop.partition_key)
            done.append(cared)

    async def _one(self, shop: RegisteredShop, care: Care, source: CredentialSource) -> Cared:
        key = shop.partition_key
        adapter = self.adapters.get(shop.platform_name)
        reader = None if adapter is None else adapter.webhooks
        if adapter is None or reader is None:
            raise ConnectorError(
                f"no webhooks of {shop.platform_name} are read.",
                remedy="Its shops are looked at by sweeps.",
            )
        url = delivery_url(self.base_url, shop)
        if care is Care.UNSUBSCRIBE:
            state = _known(await adapter.unsubscribe(shop, source, url=url), shop)
            if not state.subscriptions:
                await self._record(subscriptions.unsubscribed, key)
                return Cared(key, changed=state.changed)
            trouble = redacted(state.refused or "Some webhooks could not be deleted.")
            return replace(_cared(key, state), subscribed=True, trouble=trouble)
        secrets = made_secrets(self.settings, key) if reader.shops_have_secrets else [""]
        # A shop may quote the secret that it is given. Held with the client of the Token Service.
        SECRETS.keep(filter(None, secrets), while_held=True)
        if care is Care.SUBSCRIBE and not secrets:
            raise ConnectorError(
                "WEBHOOK_KEYS is not set, of which the secrets of webhooks are made.",
                remedy="Set it to a random key of 32 characters, for the receiver too.",
            )
        if care is Care.SUBSCRIBE and await lacks_app_secret(shop, reader, source, self.settings):
            raise ConnectorError(
                f"{reader.app_secrets_setting} is not set, and the Token Service has no "
                "`webhook_secret` of the shop: the receiver would refuse every delivery.",
                remedy="Set it to the secrets of the apps, for the receiver too.",
            )
        if care is Care.SUBSCRIBE:
            subscribed = await adapter.subscribe(shop, source, url=url, secret=secrets[0])
            state = _known(subscribed, shop)
        else:
            state = _known(await adapter.subscriptions(shop, source, url=url), shop)
            if care is Care.RESTORE and _only_missing(state) and secrets:
                restored = await adapter.subscribe(shop, source, url=url, secret=secrets[0])
                state = _known(restored, shop)
        cared = _cared(key, state)
        if care is Care.CHECK and _only_missing(state):
            # A look cannot tell why they could not be restored; an attempt has told.
            known = shop.subscriptions_trouble
            if known is not None and known.startswith(_lacks(state)):
                cared = replace(cared, trouble=known)
        if state.changed:
            _log.info("%s: %d webhooks were made or restored", key, state.changed)
        if not (care is Care.SUBSCRIBE or shop.subscribed is not None or state.subscriptions):
            # Nobody wants any.
            return replace(cared, trouble=None)
        if state.subscriptions or shop.subscribed is not None:
            await self._record(subscriptions.found, key, trouble=cared.trouble)
        return replace(cared, subscribed=True)

    async def _record(self, record: Callable[..., None], key: str, **values: str | None) -> None:
        def recording() -> None:
            with self.database.connect() as connection:
                record(connection, key, **values)

        await in_thread(recording)


async def lacks_app_secret(
    shop: Shop, reader: WebhookReader, source: CredentialSource, settings: Settings
) -> bool:
    """Whether the platform's apps sign webhooks, and nobody here knows the secret of the shop's.

    Asks the Token Service where the settings have none. Raises as it does.
    """
    if reader.app_secrets_setting is None or reader.app_secrets(settings):
        return False
    given = await source.credentials(shop, WebhookSecret)
    return given.webhook_secret is None


def _only_missing(state: SubscriptionState) -> bool:
    """Whether webhooks are missing, and nobody of the shop has paused one: that was on purpose."""
    return bool(state.missing) and not state.paused and state.refused is None


def _lacks(state: SubscriptionState) -> str:
    return f"No webhook delivers {', '.join(state.missing)}"


def _cared(key: str, state: SubscriptionState) -> Cared:
    delivered = [each.topic for each in state.subscriptions if each.active]
    return Cared(
        key,
        topics=delivered,
        missing=state.missing,
        subscribed=bool(state.subscriptions),
        changed=state.changed,
        trouble=_trouble(key, state),
    )


def _trouble(key: str, state: SubscriptionState) -> str | None:
    if not state.missing:
        return None
    lacks = _lacks(state)
    if state.refused is not None:
        return f"{lacks}: {redacted(state.refused).replace('SHOP', key)}"
    if state.paused:
        return (
            f"{lacks}: somebody of the shop has paused {', '.join(state.paused)}. If that was not "
            f"meant, `connector-pipeline webhooks subscribe {key}` restores them."
        )
    return (
        f"{lacks}: the platform ends a webhook that fails, or WEBHOOKS_URL has changed. "
        f"`connector-pipeline webhooks subscribe {key}` restores them."
    )


def _known(state: SubscriptionState | None, shop: RegisteredShop) -> SubscriptionState:
    if state is None:
        raise ConnectorError(
            f"webhooks of {shop.platform_name} cannot be made by its adapter.",
            remedy="Make them on the platform's own pages.",
        )
    return state


def _named(error: Exception, seconds: float) -> ConnectorError:
    if isinstance(error, TimeoutError):
        return PlatformUnavailable(f"there was no answer within {seconds:.0f} s.")
    return as_connector_error(error)
