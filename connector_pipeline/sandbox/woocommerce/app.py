"""WooCommerce's REST API over HTTP: pretty and plain permalinks, at a domain or below a path."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from connector_pipeline.sandbox.answers import json_bytes
from connector_pipeline.sandbox.shops.store import Store
from connector_pipeline.sandbox.woocommerce.call import Call, WooRefusal, no_route
from connector_pipeline.sandbox.woocommerce.query import InvalidParameters
from connector_pipeline.sandbox.woocommerce.web_server import (
    error_page,
    home_page,
    moved,
    redirect_to,
)
from connector_pipeline.sandbox.woocommerce.webhook_calls import (
    WebhookCall,
    is_webhook_path,
    sent_parameters,
)

_PRETTY: Final = "/wp-json/"
_PLAIN: Final = "/index.php/wp-json/"


class WooCommerceServer:
    """The routes of all WooCommerce shops of a store."""

    def __init__(self, store: Store):
        self._store = store

    def routes(self) -> list[Route]:
        methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
        return [Route("/woocommerce/{domain}/{below:path}", self._answer, methods=methods)]

    async def _answer(self, request: Request) -> Response:
        shop = self._store.get("woocommerce", request.path_params["domain"])
        if shop is None:
            return error_page("404 Not Found", 404)
        if (redirect := moved(shop, request)) is not None:
            return redirect
        below = "/" + request.path_params["below"]
        domain = f"{str(request.base_url).rstrip('/')}/woocommerce/{shop.spec.domain}"
        home = domain + shop.spec.path
        if shop.spec.path and below == "/":
            return redirect_to(f"{home}/")
        if not below.startswith(f"{shop.spec.path}/"):
            return error_page("404 Not Found", 404)
        below = below.removeprefix(shop.spec.path)
        if below == "/":
            return home_page(home, plain_permalinks=shop.spec.plain_permalinks)
        root = _PLAIN if below.startswith(_PLAIN) else _PRETTY
        if not below.startswith(root) or (root == _PRETTY and shop.spec.plain_permalinks):
            return error_page("404 Not Found", 404)
        path = below.removeprefix(root).rstrip("/")
        call = Call(shop.as_read(), path, dict(request.query_params), home)
        try:
            call.authenticate(request)
            if is_webhook_path(path):
                kind = request.headers.get("content-type", "")
                given = sent_parameters(request.query_params, kind, await request.body())
                found = WebhookCall(shop, home, given).answer(request.method, path)
                return call.response(json_bytes(found.body), found.status, found.headers)
            if request.method not in ("GET", "HEAD"):
                raise no_route()
            if shop.script is not None:
                shop.script.before_answer(shop)
            return call.answer()
        except WooRefusal as refusal:
            return call.response(json_bytes(refusal.body), refusal.status)
        except InvalidParameters as error:
            return call.response(json_bytes(error.body), 400)
