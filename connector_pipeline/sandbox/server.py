"""The sandbox's server: all of it on one port of the loopback interface."""

import socket
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from connector_pipeline.sandbox.controls.control import Control
from connector_pipeline.sandbox.controls.fault_middleware import TRANSPORT, FaultMiddleware
from connector_pipeline.sandbox.controls.faults import Faults
from connector_pipeline.sandbox.controls.own_name import OwnNameMiddleware
from connector_pipeline.sandbox.controls.request_log import RequestLog, RequestLogMiddleware
from connector_pipeline.sandbox.controls.webhook_control import WebhookControl
from connector_pipeline.sandbox.shopify.app import ShopifyServer
from connector_pipeline.sandbox.shopify.bulk_storage import BulkStorage
from connector_pipeline.sandbox.shops.default_shops import DEFAULT_SHOPS
from connector_pipeline.sandbox.shops.spec import ShopSpec
from connector_pipeline.sandbox.shops.store import Store
from connector_pipeline.sandbox.token_service import TokenServiceServer
from connector_pipeline.sandbox.webhooks.outbox import Outbox
from connector_pipeline.sandbox.webhooks.sender import SHOPIFY_SECRET, AppWebhooks, WebhookSender
from connector_pipeline.sandbox.woocommerce.app import WooCommerceServer

LOOPBACK = "127.0.0.1"


def create_app(
    shops: Iterable[ShopSpec] = DEFAULT_SHOPS,
    jwt_secret: str | None = None,
    webhooks: AppWebhooks | None = None,
) -> Starlette:
    """All servers as one ASGI application.

    `app.state` has `store`, `faults`, `requests` and `sender`.
    """
    sender = WebhookSender(Outbox(), webhooks)
    store, faults, requests = Store(shops, sender), Faults(), RequestLog()
    app = Starlette(
        routes=[
            *TokenServiceServer(store, jwt_secret).routes(),
            *ShopifyServer(store).routes(),
            *BulkStorage(store).routes(),
            *WooCommerceServer(store).routes(),
            *Control(store, faults, requests).routes(),
            *WebhookControl(store, sender).routes(),
        ],
        middleware=[
            Middleware(OwnNameMiddleware),
            Middleware(RequestLogMiddleware, log=requests),
            Middleware(FaultMiddleware, faults=faults),
        ],
    )
    app.state.store, app.state.faults, app.state.requests = store, faults, requests
    app.state.sender = sender
    return app


class _BreakableProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which also puts the connection into the scope, for faults to break it."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        cast("dict[str, Any]", self.scope)[TRANSPORT] = self.transport


class SandboxServer:
    """The sandbox in a thread of this process, for tests and demos. It is a context manager.

    `port` 0 takes a free one. With a `certificate`, a PEM file of its chain and private key, the
    server speaks HTTPS. `webhooks` are those that every shop sends from the start; without them
    nothing is sent until somebody subscribes. Raises OSError if the port is taken.
    """

    def __init__(
        self,
        shops: Iterable[ShopSpec] = DEFAULT_SHOPS,
        *,
        port: int = 0,
        jwt_secret: str | None = None,
        certificate: Path | None = None,
        webhooks: AppWebhooks | None = None,
    ):
        app = create_app(shops, jwt_secret, webhooks)
        self.store: Store = app.state.store
        self.faults: Faults = app.state.faults
        self.requests: RequestLog = app.state.requests
        self.sender: WebhookSender = app.state.sender
        # Bound before the start, so that the URL is known.
        self._socket = _listening_socket(port)
        self.port: int = self._socket.getsockname()[1]
        self.scheme = "http" if certificate is None else "https"
        self.url = f"{self.scheme}://{LOOPBACK}:{self.port}"
        self._server = uvicorn.Server(_config(app, certificate))
        self._thread = threading.Thread(target=self._run, name="sandbox", daemon=True)

    @property
    def token_service_url(self) -> str:
        return f"{self.url}/token-service"

    @property
    def shopify_base_url(self) -> str:
        """A template with {domain}."""
        return f"{self.url}/shopify/{{domain}}"

    @property
    def woocommerce_base_url(self) -> str:
        """A template with {domain}."""
        return f"{self.url}/woocommerce/{{domain}}"

    def environment(self) -> dict[str, str]:
        """The settings that lead a connector to this sandbox."""
        return {
            "TOKEN_SERVICE_URL": self.token_service_url,
            "SHOPIFY_BASE_URL": self.shopify_base_url,
            "WOOCOMMERCE_BASE_URL": self.woocommerce_base_url,
            "ALLOW_PRIVATE_HOSTS": "true",
        }

    def webhook_environment(self) -> dict[str, str]:
        """The settings by which a receiver knows the deliveries of all shops of the app."""
        return {"SHOPIFY_WEBHOOK_SECRETS": SHOPIFY_SECRET}

    def deliver_to(self, url: str, shop_secret: Callable[[str], str]) -> None:
        """Let every shop send its webhooks to `{url}/{platform}`, or to its own path below that.

        `shop_secret` makes a shop's secret of its key, `{platform}/{domain}`, where a shop has one.
        """
        app = AppWebhooks(
            shopify_url=f"{url}/shopify",
            woo_url=f"{url}/woocommerce/{{domain}}",
            woo_secret=lambda domain: shop_secret(f"woocommerce/{domain}"),
        )
        self.sender.loopback = True
        self.sender.use(app, list(self.store))

    def start(self) -> None:
        """Serve in the thread until `stop`."""
        self._thread.start()

    def stop(self) -> None:
        """End the server. Requests that a fault holds up end, too, and nothing more is sent."""
        self.faults.closing = True
        self.sender.outbox.close()
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(timeout=10)
        self._socket.close()

    def run(self) -> None:
        """Serve in this thread until interrupted."""
        self._run()

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def _listening_socket(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((LOOPBACK, port))
        # From now on connections wait in the backlog and are not refused.
        listening.listen(2048)
    except OSError:
        listening.close()
        raise
    return listening


def _config(app: Starlette, certificate: Path | None) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=_BreakableProtocol,
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=2,
        ssl_certfile=certificate,
    )
