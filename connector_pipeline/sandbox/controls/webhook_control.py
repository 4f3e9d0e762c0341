"""`/sandbox/webhooks`, `/sandbox/price-edits`: how webhooks travel, and edits that cause them."""

from collections.abc import Mapping
from typing import Any, Final, cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from connector_pipeline.sandbox.answers import json_answer
from connector_pipeline.sandbox.controls.control import Handler, guarded
from connector_pipeline.sandbox.controls.price_edits import PriceEdits
from connector_pipeline.sandbox.shops.edits import InvalidEdit
from connector_pipeline.sandbox.shops.store import Store
from connector_pipeline.sandbox.webhooks.outbox import InvalidConditions
from connector_pipeline.sandbox.webhooks.sender import APP_TOPICS, AppWebhooks, WebhookSender

_SHOP: Final = "/sandbox/shops/{platform}/{domain}/webhooks"
_APP: Final = frozenset({"shopify_url", "topics", "woo_url", "woo_secrets"})


class WebhookControl:
    """The control routes of what a sandbox sends. Errors are as those of the other controls."""

    def __init__(self, store: Store, sender: WebhookSender):
        self._store = store
        self._sender = sender
        self._edits = PriceEdits(store)

    def routes(self) -> list[Route]:
        table: list[tuple[str, str, Handler]] = [
            ("GET", "/sandbox/webhooks", self._get),
            ("PUT", "/sandbox/webhooks", self._put),
            ("PUT", "/sandbox/webhooks/app", self._put_app),
            ("GET", "/sandbox/webhooks/attempts", self._attempts),
            ("DELETE", "/sandbox/webhooks", self._clear),
            ("GET", _SHOP, self._of_shop),
            ("POST", _SHOP, self._send),
            ("POST", "/sandbox/price-edits", self._start_edits),
            ("GET", "/sandbox/price-edits", self._get_edits),
        ]
        return [Route(path, guarded(handler), methods=[method]) for method, path, handler in table]

    async def _get(self, _: Request) -> Response:
        app = self._sender.app
        return json_answer(
            self._sender.outbox.as_json()
            | {
                "allow_loopback": self._sender.loopback,
                "app": {
                    "shopify_url": app.shopify_url,
                    "topics": list(app.topics),
                    "woo_url": app.woo_url,
                },
            }
        )

    async def _put(self, request: Request) -> Response:
        """Change conditions, and `allow_loopback`; `shopify_secret` signs from now on."""
        body = await _body(request)
        if "allow_loopback" in body:
            self._sender.loopback = bool(body.pop("allow_loopback"))
            for shop in self._store:
                shop.subscriptions.loopback = self._sender.loopback
        if "shopify_secret" in body:
            self._sender.shopify_secret = str(body.pop("shopify_secret"))
        self._sender.outbox.set_conditions(body)
        return await self._get(request)

    async def _put_app(self, request: Request) -> Response:
        """Set what all shops send, in place of what they sent. WooCommerce: adds webhooks."""
        body = await _body(request)
        unknown = sorted(body.keys() - _APP)
        if unknown:
            raise InvalidEdit(f"unknown: {', '.join(unknown)}")
        secrets = cast("Mapping[str, str]", body.get("woo_secrets") or {})
        app = AppWebhooks(
            shopify_url=body.get("shopify_url"),
            topics=tuple(body.get("topics") or APP_TOPICS),
            woo_url=body.get("woo_url"),
            woo_secret=lambda domain: secrets.get(domain, ""),
        )
        self._sender.use(app, list(self._store))
        return await self._get(request)

    async def _attempts(self, _: Request) -> Response:
        return json_answer([each.as_json() for each in self._sender.outbox.attempts()])

    async def _clear(self, _: Request) -> Response:
        self._sender.outbox.clear()
        return Response(status_code=204)

    async def _of_shop(self, request: Request) -> Response:
        """The subscriptions of a shop, without secrets."""
        path = request.path_params
        shop = self._store.shop(path["platform"], path["domain"])
        shopify = [
            {
                "id": each.id,
                "topic": each.topic_in_header,
                "url": each.uri,
                "status": "active",
                "failures": each.failures,
            }
            for each in shop.subscriptions.all()
        ]
        woo = [
            {
                "id": each.id,
                "topic": each.topic,
                "url": each.delivery_url,
                "status": each.status,
                "failures": each.failures,
            }
            for each in shop.webhooks.all()
        ]
        return json_answer(shopify + woo)

    async def _send(self, request: Request) -> Response:
        path, body = request.path_params, await _body(request)
        shop = self._store.shop(path["platform"], path["domain"])
        self._sender.send_by_hand(shop, str(body.get("topic")))
        return Response(status_code=202)

    async def _start_edits(self, request: Request) -> Response:
        self._edits.start(await _body(request))
        return json_answer(self._edits.as_json(), 202)

    async def _get_edits(self, _: Request) -> Response:
        return json_answer(self._edits.as_json())


async def _body(request: Request) -> dict[str, Any]:
    if not await request.body():
        return {}
    body: Any = await request.json()
    if not isinstance(body, dict):
        raise InvalidConditions("expected a JSON object")
    return cast("dict[str, Any]", body)
