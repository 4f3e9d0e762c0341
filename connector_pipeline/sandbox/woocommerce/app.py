"""WooCommerce's REST API over HTTP: the routes of pretty and of plain permalinks."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from connector_pipeline.sandbox.answers import json_bytes
from connector_pipeline.sandbox.shops.store import Store
from connector_pipeline.sandbox.woocommerce.call import Call, WooRefusal
from connector_pipeline.sandbox.woocommerce.query import InvalidParameters
from connector_pipeline.sandbox.woocommerce.web_server import error_page, moved


class WooCommerceServer:
    """The routes of all WooCommerce shops of a store."""

    def __init__(self, store: Store):
        self._store = store

    def routes(self) -> list[Route]:
        base, methods = "/woocommerce/{domain}", ["GET", "POST", "PUT", "PATCH", "DELETE"]
        return [
            Route(base + "/wp-json/{path:path}", self._pretty, methods=methods),
            Route(base + "/index.php/wp-json/{path:path}", self._plain, methods=methods),
        ]

    async def _pretty(self, request: Request) -> Response:
        return self._answer(request, pretty=True)

    async def _plain(self, request: Request) -> Response:
        return self._answer(request, pretty=False)

    def _answer(self, request: Request, *, pretty: bool) -> Response:
        shop = self._store.get("woocommerce", request.path_params["domain"])
        if shop is None:
            return error_page("404 Not Found", 404)
        if (redirect := moved(shop, request)) is not None:
            return redirect
        if pretty and shop.spec.plain_permalinks:
            return error_page("404 Not Found", 404)
        path = request.path_params["path"].rstrip("/")
        home = f"{str(request.base_url).rstrip('/')}/woocommerce/{shop.spec.domain}"
        call = Call(shop, path, dict(request.query_params), home)
        try:
            call.authenticate(request)
            if shop.script is not None:
                shop.script.before_answer(shop)
            return call.answer()
        except WooRefusal as refusal:
            return call.response(json_bytes(refusal.body), refusal.status)
        except InvalidParameters as error:
            return call.response(json_bytes(error.body), 400)
