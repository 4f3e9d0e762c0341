"""Speaking with one WooCommerce shop: its credentials, its REST root, what its statuses mean."""

import asyncio
import base64
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, cast

from pydantic import BaseModel, ConfigDict, SecretStr

from connector_pipeline.model.errors import (
    ConnectorError,
    InvalidResponse,
    PlatformUnavailable,
    ShopDisconnected,
)
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.http import Answer, OriginHttp
from connector_pipeline.platforms.platform import CredentialSource

REST_ROOT: Final = "/wp-json"
# Shops with plain permalinks have no /wp-json (FACTS 21).
PLAIN_PERMALINKS_ROOT: Final = "/index.php/wp-json"

_ERROR_CODE: Final = re.compile(r"[A-Za-z0-9_-]{1,80}")
_AUTHENTICATION_HINTS: Final = {
    "woocommerce_rest_cannot_view": (
        "the shop does not know this consumer key, or its host strips the Authorization header"
    ),
    "woocommerce_rest_authentication_error": (
        "the consumer secret is wrong, or the key may not read"
    ),
}


class WooCommerceCredentials(BaseModel):
    """A shop's REST API key as the Token Service gives it. A time without zone is UTC."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    consumer_key: SecretStr
    consumer_secret: SecretStr
    expires_at: datetime | None = None

    def authorization(self) -> str:
        """The Basic authentication header. A secret: never to be logged or kept."""
        pair = f"{self.consumer_key.get_secret_value()}:{self.consumer_secret.get_secret_value()}"
        return "Basic " + base64.b64encode(pair.encode()).decode()

    def expired(self, now: datetime) -> bool:
        """Whether the key is past its time, where it has one."""
        if self.expires_at is None:
            return False
        end = self.expires_at
        return now >= (end if end.tzinfo is not None else end.replace(tzinfo=UTC))


class WooCommerceSession:
    """GET requests with one shop's credentials, fetched when needed and anew after a 401.

    Not thread-safe; tasks of one event loop may share it. Raises the errors of model/errors.py.
    """

    def __init__(self, shop: Shop, http: OriginHttp, credential_source: CredentialSource):
        self._shop = shop
        self._http = http
        self._credential_source = credential_source
        self._credentials: WooCommerceCredentials | None = None
        self._fetching = asyncio.Lock()
        self._root = REST_ROOT
        self._root_answered = False

    @property
    def root(self) -> str:
        """The path below which this shop's REST API answers."""
        return self._root

    def go_on_below(self, root: str) -> None:
        """Take the REST root as found, by an attempt at the same sync that was interrupted."""
        if root in (REST_ROOT, PLAIN_PERMALINKS_ROOT):
            self._root = root
            self._root_answered = True

    async def get(
        self,
        path: str,
        params: Mapping[str, str | int] | None = None,
        *,
        accept: frozenset[int] = frozenset(),
        retry_slow: bool = True,
    ) -> Answer:
        """The answer to `path` below the REST root, e.g. /wc/v3/products.

        Its status is 200 or one of `accept`; any other is raised as the error it means. The first
        request of a session must be made alone, for a path that every shop has: it finds the root.
        Raises SlowAnswer where `retry_slow` is false and the answer takes too long.
        """
        answer = await self._authenticated(path, params, retry_slow=retry_slow)
        if answer.status == 404 and not self._root_answered:
            self._root = PLAIN_PERMALINKS_ROOT
            answer = await self._authenticated(path, params, retry_slow=retry_slow)
            if answer.status == 404:
                raise InvalidResponse(
                    f"There is no WooCommerce REST API here: {REST_ROOT} and "
                    f"{PLAIN_PERMALINKS_ROOT} answer 404.",
                    mend="Not retried. Ask the merchant whether WooCommerce is installed, and "
                    "whether a plugin turns its REST API off.",
                )
        self._root_answered = True
        if answer.status != 200 and answer.status not in accept:
            raise error_of(answer, path)
        return answer

    async def _authenticated(
        self, path: str, params: Mapping[str, str | int] | None, *, retry_slow: bool
    ) -> Answer:
        credentials = await self._current(None)
        answer = await self._send(path, params, credentials, retry_slow=retry_slow)
        if answer.status == 401:
            # Keys are rotated while a long walk is under way: a fresh one goes on where it was.
            fresh = await self._current(credentials)
            answer = await self._send(path, params, fresh, retry_slow=retry_slow)
        return answer

    async def _send(
        self,
        path: str,
        params: Mapping[str, str | int] | None,
        credentials: WooCommerceCredentials,
        *,
        retry_slow: bool,
    ) -> Answer:
        headers = {"Authorization": credentials.authorization()}
        return await self._http.request(
            "GET", self._root + path, params=params, headers=headers, retry_slow=retry_slow
        )

    async def _current(self, refused: WooCommerceCredentials | None) -> WooCommerceCredentials:
        """The credentials to use, other than `refused`, which another task may have replaced."""
        async with self._fetching:
            held = self._credentials
            if held is None or held is refused or held.expired(datetime.now(UTC)):
                held = self._credentials = await self._credential_source.credentials(
                    self._shop, WooCommerceCredentials
                )
            return held


def error_of(answer: Answer, path: str) -> ConnectorError:
    """What an answer other than 200 means, by its status and WooCommerce's error code."""
    code = error_code(answer)
    named = code or "without a WooCommerce error code"
    if answer.status == 401:
        hint = _AUTHENTICATION_HINTS.get(
            code or "", "the refusal is not WooCommerce's own: the web server asks for a password"
        )
        return ShopDisconnected(
            f"{path} answered 401 {named} with freshly fetched credentials too: {hint}."
        )
    if answer.status == 403 and code is not None:
        return ShopDisconnected(
            f"{path} answered 403 {code}: the role of the key's user is too low.",
            mend="Not retried. Ask the merchant for a key of a shop manager or administrator, "
            "then `connector-pipeline shops resume`.",
        )
    if answer.status == 403:
        # Cloudflare's page, not WooCommerce's answer (FACTS 23): the key may be perfectly well.
        return PlatformUnavailable(
            f"{path} answered 403 with a page that is not WooCommerce's.",
            mend="It will be retried with the next sync. A firewall before the shop blocks us: "
            "ask the merchant to let the connector through.",
        )
    return InvalidResponse(f"{path} answered {answer.status} {named}.")


def error_code(answer: Answer) -> str | None:
    """WooCommerce's error code, e.g. rest_no_route; None where the body has none."""
    body: Any = answer.json
    code = cast(dict[str, Any], body).get("code") if isinstance(body, dict) else None
    return code if isinstance(code, str) and _ERROR_CODE.fullmatch(code) else None
