"""The Token Service: it gives a shop's credentials to a caller that may have them.

docs/contracts.md, Token Service.
"""

from typing import Any, Final

import jwt
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from connector_pipeline.sandbox.answers import json_answer
from connector_pipeline.sandbox.shops.store import Store

PREFIX = "/token-service/api/v1/tokens"

_NO_SUCH_SHOP: Final = {"X-Connector-Sandbox": "no such shop"}
"""No answer about a shop: of another one the sandbox cannot know whether it has credentials."""


class TokenServiceServer:
    """The route of the Token Service. With a `jwt_secret` callers must present a JWT."""

    def __init__(self, store: Store, jwt_secret: str | None = None):
        self._store = store
        self._jwt_secret = jwt_secret

    def routes(self) -> list[Route]:
        return [Route(PREFIX + "/{platform}/{domain}", self._token, methods=["GET"])]

    async def _token(self, request: Request) -> Response:
        if not request.headers.get("x-correlation-id"):
            return json_answer({"error": "X-Correlation-ID is required"}, 400)
        if not self._may_ask(request.headers.get("authorization", "")):
            return json_answer({"error": "unauthorized"}, 401)
        platform, domain = request.path_params["platform"], request.path_params["domain"]
        shop = self._store.get(platform, domain)
        if shop is None or shop.credentials.removed:
            error = {"error": f"no credentials for {platform}/{domain}"}
            return json_answer(error, 404, headers=_NO_SUCH_SHOP if shop is None else None)
        issued = shop.credentials
        data: dict[str, Any] = {"access_token": issued.access_token}
        if platform == "woocommerce":
            data = {
                "consumer_key": issued.consumer_key,
                "consumer_secret": issued.consumer_secret,
            }
        return json_answer({"data": data}, headers={"Cache-Control": "no-store"})

    def _may_ask(self, authorization: str) -> bool:
        if self._jwt_secret is None:
            return True
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return False
        try:
            claims = jwt.decode(
                token,
                self._jwt_secret,
                algorithms=["HS256"],
                options={"require": ["exp", "sub"]},
            )
        except jwt.InvalidTokenError:
            return False
        return claims["sub"] == "platform-connector"
