"""A shop's credentials while it is read: asked for when needed, renewed when they end."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, Generic, TypeVar

from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.kit.contract import Credentials, CredentialSource

MARGIN: Final = timedelta(seconds=30)
"""Credentials that end on the way of a request cost that request and a refusal."""


def renewal_time(credentials: Credentials, given_at: datetime) -> datetime | None:
    """When credentials given at a time (with its zone) are to be asked for anew, None for never.

    That is MARGIN before they end, which may be at once. Those that had ended when they were given
    are used until the shop refuses them: to ask again at every request would bring the same ones.
    """
    end = credentials.expires_at
    if end is None:
        return None
    if end.tzinfo is None:
        end = end.replace(tzinfo=UTC)
    # Compared before anything is subtracted: there is no time before the first year's.
    return end - MARGIN if end > given_at else None


HeldT = TypeVar("HeldT", bound=Credentials)


def _now() -> datetime:
    return datetime.now(UTC)


class ShopCredentials(Generic[HeldT]):
    """The credentials of one shop, kept until they end or the shop refuses them.

    Expiring ones live for an hour or so, so a long sync goes through several. Requests under way
    together share them, and the fresh ones after a refusal. Not thread-safe; tasks of one event
    loop may share it.
    """

    def __init__(
        self,
        shop: Shop,
        source: CredentialSource,
        model: type[HeldT],
        *,
        clock: Callable[[], datetime] = _now,
    ):
        self._shop = shop
        self._source = source
        self._model = model
        self._clock = clock
        self._held: HeldT | None = None
        self._renewal: datetime | None = None
        self._asking = asyncio.Lock()

    async def current(self) -> HeldT:
        """The credentials to send. Raises ShopDisconnected, TokenServiceUnavailable."""
        async with self._asking:
            held = self._held
            if held is None or (self._renewal is not None and self._clock() >= self._renewal):
                held = await self._source.credentials(self._shop, self._model)
                self._held, self._renewal = held, renewal_time(held, self._clock())
            return held

    def refused(self, credentials: HeldT) -> None:
        """The shop does not accept these: the next request asks for fresh ones.

        Nothing happens if another request has had them replaced meanwhile.
        """
        if self._held is credentials:
            self._held = None
