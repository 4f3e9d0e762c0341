"""A Shopify shop's access token: asked for when one is needed, and anew when it is dead."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, SecretStr

from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.kit.contract import CredentialSource

# A token that dies on the way would cost a request and a 401.
_EXPIRY_MARGIN: Final = timedelta(seconds=30)


def _sendable(token: SecretStr) -> SecretStr:
    # The HTTP client quotes a header value it cannot send in its exception: a token with a line
    # break must not get that far.
    value = token.get_secret_value()
    if not value or not all("!" <= character <= "~" for character in value):
        raise ValueError("must be printable ASCII without spaces")
    return token


class ShopifyCredentials(BaseModel):
    """What the Token Service knows of a Shopify shop. `expires_at` without a zone is UTC."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    access_token: Annotated[SecretStr, AfterValidator(_sendable)]
    expires_at: datetime | None = None

    def expired(self, now: datetime) -> bool:
        """Whether the token is dead at `now`, or will be before an answer comes."""
        if self.expires_at is None:
            return False
        expiry = self.expires_at
        if expiry.tzinfo is None:
            expiry = expiry.replace(tzinfo=UTC)
        return now >= expiry - _EXPIRY_MARGIN


class ShopCredentials:
    """The credentials of one shop, kept until they expire or the shop refuses them.

    Expiring tokens live 60 minutes, so a long sync goes through several. Requests beside each other
    that a dead token fails share the fresh one.
    """

    def __init__(self, shop: Shop, source: CredentialSource):
        self._shop = shop
        self._source = source
        self._current: ShopifyCredentials | None = None
        self._asking = asyncio.Lock()

    async def current(self) -> ShopifyCredentials:
        """Raises ShopDisconnected, TokenServiceUnavailable."""
        async with self._asking:
            if self._current is None or self._current.expired(datetime.now(UTC)):
                self._current = await self._source.credentials(self._shop, ShopifyCredentials)
            return self._current

    def refused(self, credentials: ShopifyCredentials) -> None:
        """The shop does not accept these: the next request asks for fresh ones."""
        if self._current is credentials:
            self._current = None
