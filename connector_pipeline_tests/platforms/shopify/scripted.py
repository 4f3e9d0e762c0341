"""A Shopify on loopback that answers from a script, and tokens to show to it."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from connector_pipeline.model.shop import Shop

API_VERSION = "2026-07"


@dataclass
class Received:
    """One request as the server received it."""

    path: str
    headers: dict[str, str]
    body: Any

    @property
    def token(self) -> str | None:
        return self.headers.get("x-shopify-access-token")

    @property
    def variables(self) -> dict[str, Any]:
        return self.body["variables"]


@dataclass
class Said:
    """One answer. `cut` sends half of the body and closes the connection."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False

    def wire(self) -> bytes:
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        headers = {
            "Content-Type": "application/json",
            "X-Shopify-API-Version": API_VERSION,
            "Connection": "close",
            **self.headers,
            "Content-Length": str(len(body)),
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        sent = body[: len(body) // 2] if self.cut else body
        return f"HTTP/1.1 {self.status} Said\r\n{head}\r\n".encode() + sent


def by_question(bodies: dict[tuple[str | None, str | None], Any]) -> Callable[[Received], Said]:
    """Answers by product id and cursor. The shop is (None, "shop"), the first page (None, None)."""
    shop = bodies.pop((None, "shop"))

    def said(received: Received) -> Said:
        if "Shop {" in received.body["query"]:
            return Said(shop)
        gid = received.variables.get("id")
        number = None if gid is None else gid.rsplit("/", 1)[-1]
        return Said(bodies[number, received.variables["after"]])

    return said


class ScriptedShopify:
    """Answers each request with the next of `script`, and then the last one again and again."""

    def __init__(self) -> None:
        self.script: list[Said | Callable[[Received], Said]] = []
        self.received: list[Received] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            request_line, *lines = head.strip().split("\r\n")
            headers = {
                name.strip().lower(): value.strip()
                for name, _, value in (line.partition(":") for line in lines)
            }
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            received = Received(
                request_line.split(" ")[1], headers, json.loads(body) if body else None
            )
            self.received.append(received)
            said = self.script.pop(0) if len(self.script) > 1 else self.script[0]
            writer.write((said(received) if callable(said) else said).wire())
            await writer.drain()
        finally:
            writer.close()
            await writer.wait_closed()


@dataclass
class Tokens:
    """A credential source that gives one token after the other, and then the last one again."""

    answers: list[dict[str, Any] | Exception]
    asked: int = 0

    async def credentials(self, shop: Shop, model: type[Any]) -> Any:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return model.model_validate(answer)


# Bodies of answers, as Shopify words them.


def cost(
    *, requested: float = 10, available: float = 1990, maximum: float = 2000, rate: float = 1000
) -> dict[str, Any]:
    return {
        "cost": {
            "requestedQueryCost": requested,
            "actualQueryCost": requested,
            "throttleStatus": {
                "maximumAvailable": maximum,
                "currentlyAvailable": available,
                "restoreRate": rate,
            },
        }
    }


def shop_body(products: int | None = 0, *, currency: Any = "SEK", **extra: Any) -> dict[str, Any]:
    count = None if products is None else {"count": products, "precision": "EXACT"}
    return {
        "data": {
            "shop": {
                "id": "gid://shopify/Shop/1",
                "name": "Acme",
                "myshopifyDomain": "acme.myshopify.com",
                "currencyCode": currency,
            },
            "productsCount": count,
        },
        "extensions": cost(),
        **extra,
    }


def page_info(cursor: str | None = None) -> dict[str, Any]:
    return {"hasNextPage": cursor is not None, "endCursor": cursor}


def variant(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"gid://shopify/ProductVariant/{number}",
        "title": "Red",
        "sku": "sku",
        "price": "19.95",
        "inventoryQuantity": 4,
        "inventoryItem": {"tracked": True},
        "availableForSale": True,
        "updatedAt": "2026-02-01T00:00:00Z",
        "image": None,
        **fields,
    }


def product(
    number: int, variants: list[Any], more: str | None = None, **fields: Any
) -> dict[str, Any]:
    return {
        "id": f"gid://shopify/Product/{number}",
        "title": "Mug",
        "status": "ACTIVE",
        "publishedAt": "2026-01-01T00:00:00Z",
        "createdAt": "2026-01-01T00:00:00Z",
        "updatedAt": "2026-01-02T00:00:00Z",
        "featuredMedia": None,
        "variants": {"pageInfo": page_info(more), "nodes": variants},
        **fields,
    }


def products_body(products: list[Any], more: str | None = None, **extra: Any) -> dict[str, Any]:
    return {
        "data": {"products": {"pageInfo": page_info(more), "nodes": products}},
        "extensions": cost(),
        **extra,
    }


def variants_body(product: dict[str, Any] | None) -> dict[str, Any]:
    return {"data": {"product": product}, "extensions": cost()}


def error_body(code: str, message: str = "no", **extra: Any) -> dict[str, Any]:
    return {"errors": [{"message": message, "extensions": {"code": code}}], **extra}
