"""Keeps a shop's credentials while the shop is read, and renews them when they expire."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, Generic, TypeVar

from connector_pipeline.model.redaction import SECRETS
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.kit.contract import Credentials, CredentialSource

MARGIN: Final = timedelta(seconds=30)
"""Credentials are renewed this long before they expire, so that none expires during a request."""


def renewal_time(credentials: Credentials, given_at: datetime) -> datetime | None:
    """When to renew credentials that were given at a time (with its zone); None for never.

    That is MARGIN before they expire, which may be at once. Credentials that had expired when they
    were given are used until the shop refuses them: the Token Service would give the same again.
    """
    end = credentials.expires_at
    if end is None:
        return None
    if end.tzinfo is None:
        end = end.replace(tzinfo=UTC)
    # The comparison comes first, because a time in the year 1 minus MARGIN is an error.
    return end - MARGIN if end > given_at else None


def same_secrets(one: Credentials, other: Credentials) -> bool:
    """Whether two credentials differ in nothing but when they expire."""
    return one.model_copy(update={"expires_at": other.expires_at}) == other


HeldT = TypeVar("HeldT", bound=Credentials)


def _now() -> datetime:
    return datetime.now(UTC)


class ShopCredentials(Generic[HeldT]):
    """The credentials of one shop, kept until they expire or the shop refuses them.

    Credentials that expire live for an hour or so, and a long sync needs several. Requests under
    way at the same time share them, and share the fresh ones after a refusal. Tasks of one event
    loop may share an object; it is not thread-safe.
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
                # Whichever source gave them: no message of this shop's may quote them.
                SECRETS.keep(held.secrets(), while_held=True)
                self._held, self._renewal = held, renewal_time(held, self._clock())
            return held

    def refused(self, credentials: HeldT) -> None:
        """Drop credentials that the shop refused. The next request asks for fresh ones.

        Nothing happens if another request has replaced them meanwhile.
        """
        if self._held is credentials:
            self._held = None
