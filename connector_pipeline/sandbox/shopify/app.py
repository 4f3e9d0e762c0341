"""Shopify's Admin API over HTTP: versions, tokens, and the GraphQL endpoint."""

import asyncio
import json
import time
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from connector_pipeline.sandbox.answers import json_answer
from connector_pipeline.sandbox.shopify.errors import internal_error
from connector_pipeline.sandbox.shopify.execution import answer
from connector_pipeline.sandbox.shopify.trouble import HeavyPages
from connector_pipeline.sandbox.shopify.versions import served_version
from connector_pipeline.sandbox.shops.shop import SandboxShop
from connector_pipeline.sandbox.shops.store import Store


class ShopifyServer:
    """The routes of all Shopify shops of a store."""

    def __init__(self, store: Store):
        self._store = store

    def routes(self) -> list[Route]:
        path = "/shopify/{domain}/admin/api/{version}/graphql.json"
        return [Route(path, self._graphql, methods=["POST"])]

    async def _graphql(self, request: Request) -> Response:
        headers = {"X-Shopify-API-Version": served_version(request.path_params["version"])}
        shop = self._store.get("shopify", request.path_params["domain"])
        if shop is None:
            return json_answer({"errors": "Not Found"}, 404)
        if not shop.credentials.accepts_token(request.headers.get("x-shopify-access-token", "")):
            refusal = "[API] Invalid API key or access token (unrecognized login or wrong password)"
            return json_answer({"errors": refusal}, 401)
        body = await request.body()
        heavy = shop.trouble.heavy
        # Only pages with variants below are heavy: no list of ids, counts or events.
        if heavy is not None and b"variants(" in body and heavy.too_much(_variables(body)):
            return await _too_heavy(heavy, request, headers)
        status, found = _answered(shop.as_read(), request, body)
        return json_answer(found, status, headers)


async def _too_heavy(heavy: HeavyPages, request: Request, headers: dict[str, str]) -> Response:
    """Fail at a page as Shopify does, after a while."""
    until = time.monotonic() + heavy.seconds
    while heavy.how == "hang" or time.monotonic() < until:
        if await request.is_disconnected():
            break
        await asyncio.sleep(0.05)
    if heavy.how in ("504", "500"):
        page = "<!DOCTYPE html><title>Something went wrong</title>"
        return Response(page, int(heavy.how), headers, media_type="text/html")
    if heavy.how == "Timeout":
        return json_answer({"errors": [{"message": "Timeout"}]}, 200, headers)
    return json_answer({"errors": [internal_error()]}, 200, headers)


def _variables(body: bytes) -> dict[str, Any]:
    try:
        given: Any = json.loads(body)
    except ValueError:
        return {}
    variables = cast("dict[str, Any]", given).get("variables") if isinstance(given, dict) else None
    return cast("dict[str, Any]", variables) if isinstance(variables, dict) else {}


def _answered(shop: SandboxShop, request: Request, body: bytes) -> tuple[int, dict[str, Any]]:
    origin = f"{request.url.scheme}://{request.url.netloc}"
    if "application/graphql" in request.headers.get("content-type", ""):
        return 200, answer(shop, body.decode(errors="replace"), origin=origin)
    try:
        given: Any = json.loads(body)
    except ValueError:
        return 400, {"errors": {"query": "Required parameter missing or invalid"}}
    sent = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
    query, variables = sent.get("query"), sent.get("variables")
    if not isinstance(query, str) or not isinstance(variables, dict | None):
        return 400, {"errors": {"query": "Required parameter missing or invalid"}}
    return 200, answer(
        shop,
        query,
        cast("dict[str, Any] | None", variables),
        sent.get("operationName"),
        origin=origin,
    )
