"""A stand-in for one shop of Acme, on a port of the loopback interface."""

import copy
import socket
import threading
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


def product(product_id: int, *variants: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A product of Acme with these variants, or with one."""
    return {
        "id": product_id,
        "title": f"Mug {product_id}",
        "status": "live",
        "image": f"https://cdn.acme.example/{product_id}.png",
        "created": "2026-01-01T00:00:00Z",
        "modified": "2026-01-02T00:00:00Z",
        "variants": list(variants) or [variant(product_id * 10 + 1)],
        **fields,
    }


def variant(variant_id: int, **fields: Any) -> dict[str, Any]:
    """A variant of a product of Acme."""
    return {
        "id": variant_id,
        "title": "Blue",
        "sku": f"MUG-{variant_id}",
        "price": "12.50",
        "stock": 3,
        "image": None,
        "modified": "2026-01-03T00:00:00Z",
        **fields,
    }


class AcmeShop:
    """One shop, served while it is entered. A test edits it as a merchant would.

    `requests` has every query that was asked of the list, `refusals` how many more requests are
    answered with 429, `key` the one that is accepted.
    """

    def __init__(self, *products: dict[str, Any]):
        self.products = {each["id"]: copy.deepcopy(each) for each in products}
        self.key = "first-key"
        self.refusals = 0
        self.requests: list[dict[str, str]] = []
        routes = [
            Route("/v1/shop", self._shop),
            Route("/v1/products", self._products),
            Route("/api/v1/tokens/acme/{domain}", self._token),
        ]
        config = uvicorn.Config(Starlette(routes=routes), lifespan="off", log_level="warning")
        self._server = uvicorn.Server(config)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True
        )

    @property
    def url(self) -> str:
        """The URL at which it answers."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=120)
        self._socket.close()

    def _refusal(self, request: Request) -> Response | None:
        if request.headers.get("X-Api-Key") != self.key:
            return JSONResponse({"error": "unknown key"}, 401)
        if self.refusals:
            self.refusals -= 1
            return JSONResponse({"error": "slow down"}, 429, headers={"X-Retry-In": "0.1"})
        return None

    async def _token(self, request: Request) -> Response:
        """The Token Service's answer, which stands in for it here."""
        return JSONResponse({"data": {"api_key": self.key}})

    async def _shop(self, request: Request) -> Response:
        return self._refusal(request) or JSONResponse({"currency": "SEK"})

    async def _products(self, request: Request) -> Response:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        asked = dict(request.query_params)
        self.requests.append(asked)
        found = [each for _, each in sorted(self.products.items())]
        if "ids" in asked:
            found = [each for each in found if str(each["id"]) in asked["ids"].split(",")]
        if "modified_since" in asked:
            found = [each for each in found if each["modified"] >= asked["modified_since"]]
        total = len(found)
        rest = [each for each in found if each["id"] > int(asked.get("cursor", 0))]
        page = rest[: int(asked["limit"])]
        more = str(page[-1]["id"]) if len(rest) > len(page) else None
        return JSONResponse({"products": page, "next": more, "total": total})
