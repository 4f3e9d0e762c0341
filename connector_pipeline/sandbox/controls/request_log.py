"""The requests to the sandbox: counts, and how many came at once. Never a secret."""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from math import inf
from threading import Lock
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from connector_pipeline.sandbox.routing import destination

_SECRETS: Final = frozenset({"consumer_key", "consumer_secret", "access_token", "X-Goog-Signature"})
_KEPT: Final = 10_000


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One request whose answer has been sent to its end, or was given up.

    `query` is without credentials, `status` is 0 if none was sent.

    `connection` is the client's port. A reader of a shop keeps its connection, so that two readers
    of one shop have different ports.
    """

    method: str
    service: str
    domain: str
    path: str
    query: str
    status: int
    connection: int = 0


@dataclass(slots=True)
class ShopRequests:
    """The counts of one shop at one service."""

    count: int = 0
    in_flight: int = 0
    peak_in_flight: int = 0
    statuses: Counter[int] = field(default_factory=Counter[int])


class RequestLog:
    """The last 10,000 requests, and counts of all since it was cleared."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._requests: deque[LoggedRequest] = deque(maxlen=_KEPT)
        self._shops: dict[str, ShopRequests] = {}

    def requests(self, *, service: str = "", domain: str = "") -> list[LoggedRequest]:
        """Finished requests in the order of their ends; of one service or shop, if given."""
        with self._lock:
            return [
                request
                for request in self._requests
                if service in ("", request.service) and domain in ("", request.domain)
            ]

    def shop(self, service: str, domain: str) -> ShopRequests:
        """The counts of one shop; zeros if it had no request."""
        with self._lock:
            return self._shops.get(f"{service}/{domain}", ShopRequests())

    def clear(self) -> None:
        with self._lock:
            self._requests.clear()
            running = {key: shop.in_flight for key, shop in self._shops.items() if shop.in_flight}
            self._shops = {
                key: ShopRequests(in_flight=count, peak_in_flight=count)
                for key, count in running.items()
            }

    def as_json(self) -> dict[str, Any]:
        with self._lock:
            return {
                "requests": [asdict(request) for request in self._requests],
                "shops": {
                    key: {
                        "count": shop.count,
                        "peak_in_flight": shop.peak_in_flight,
                        "statuses": {str(status): n for status, n in shop.statuses.items()},
                    }
                    for key, shop in self._shops.items()
                },
            }

    def begin(self, key: str) -> None:
        with self._lock:
            shop = self._shops.setdefault(key, ShopRequests())
            shop.in_flight += 1
            shop.peak_in_flight = max(shop.peak_in_flight, shop.in_flight)

    def end(self, key: str, request: LoggedRequest) -> None:
        with self._lock:
            shop = self._shops.setdefault(key, ShopRequests(in_flight=1))
            shop.in_flight -= 1
            shop.count += 1
            shop.statuses[request.status] += 1
            self._requests.append(request)


def without_secrets(query: str) -> str:
    """A query string without its credentials."""
    pairs = parse_qsl(query, keep_blank_values=True)
    return urlencode([(name, value) for name, value in pairs if name not in _SECRETS])


class RequestLogMiddleware:
    """Counts every request to a platform or the Token Service, failed ones too."""

    def __init__(self, app: ASGIApp, log: RequestLog):
        self._app = app
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = destination(scope["path"]) if scope["type"] == "http" else None
        if found is None:
            await self._app(scope, receive, send)
            return
        key = f"{found.service}/{found.domain}"
        status, left, ended = 0, inf, False

        def end() -> None:
            nonlocal ended
            if ended:
                return
            ended = True
            request = LoggedRequest(
                method=scope["method"],
                service=found.service,
                domain=found.domain,
                path=scope["path"],
                query=without_secrets(scope["query_string"].decode("latin-1")),
                status=status,
                connection=(scope.get("client") or ("", 0))[1],
            )
            self._log.end(key, request)

        async def counted(message: Message) -> None:
            nonlocal status, left
            if message["type"] == "http.response.start":
                status = message["status"]
                left = _length(message["headers"])
            elif message["type"] == "http.response.body":
                left -= len(message.get("body", b""))
                # Before the last byte: a client that has the whole answer finds it in the log.
                if left <= 0 or not message.get("more_body", False):
                    end()
            await send(message)

        self._log.begin(key)
        try:
            await self._app(scope, receive, counted)
        finally:
            end()


def _length(headers: Iterable[tuple[bytes, bytes]]) -> float:
    """The bytes of a body by its headers; infinite where they do not tell."""
    stated = [value for name, value in headers if name.lower() == b"content-length"]
    return int(stated[0]) if stated else inf
