"""The gate before Dagster's web server refuses what a foreign page can make a browser send.

Dagster's web server executes mutations over GET and in bodies of any type, and looks at neither
Origin nor Host (docs/facts/dagster.md, Web server security). So a page that a person opens beside
the UI could launch runs. The gate knows no user: authentication is a proxy's before it.
"""

import logging
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from connector_pipeline.model.storable import clipped
from connector_pipeline.ui.addresses import Address, host_address, is_origin_of, normal_name
from connector_pipeline.ui.operations import UnreadableDocument, only_queries

_log = logging.getLogger(__name__)

_READING: Final = ("GET", "HEAD")
_ONCE: Final = ("host", "origin", "content-type", "sec-fetch-site")
"""Headers that the gate and the server behind it must not read differently."""
_NOTEBOOKS: Final = "/notebook"
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""No page has these in its path, and the server behind takes `/graphql` and a line feed for it."""

_ADDED: Final = {
    # A foreign page must not show the UI in a frame and have a person click on it.
    b"x-frame-options": b"DENY",
    b"x-content-type-options": b"nosniff",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"referrer-policy": b"same-origin",
}
_NO_FRAMES: Final = (b"content-security-policy", b"frame-ancestors 'none'")
"""Beside a policy of Dagster's own: a browser obeys both."""


@dataclass(frozen=True, slots=True)
class Objection:
    """The answer to a request that does not reach the web server: the reason, and what to do."""

    status: int
    reason: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


class Gate:
    """An ASGI application before that of the web server.

    `names` are the hosts, in lower case and without ports, by which people reach the UI; loopback
    and the address at which a request arrived are allowed beside them.
    """

    def __init__(self, app: ASGIApp, names: Collection[str] = ()):
        self._app = app
        self._names = frozenset(names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a refused request, and hand every other one on."""
        objection = objection_to(scope, self._names)
        if objection is None:
            await self._app(scope, receive, _with_added_headers(send))
            return
        _log.warning(
            "refused %s %s: %s",
            scope.get("method", "websocket"),
            clipped(scope["path"], most_bytes=200),
            objection.reason,
        )
        await _refuse(scope, send, objection)


def objection_to(scope: Scope, names: Collection[str]) -> Objection | None:
    """Why a request of HTTP or a WebSocket is refused; None if it is not."""
    headers, twice = _headers(scope["headers"])
    if twice:
        return Objection(400, f"The request has the header {twice} more than once.")
    host = host_address(headers.get("host", ""))
    if host is None or not _is_ours(host, scope, names):
        return _foreign_host(headers.get("host", ""))
    return _foreign_page(scope, headers, host) or _unasked_change(scope, headers)


def _is_ours(host: Address, scope: Scope, names: Collection[str]) -> bool:
    # An address in place of a name was typed by the person, and no DNS had a say.
    arrived_at = normal_name((scope.get("server") or ("",))[0])
    return host.is_loopback or host.name in names or host.name == arrived_at


def _foreign_host(host: str) -> Objection:
    shown = clipped(host, most_bytes=100)
    return Objection(
        403,
        f"The UI is not served under the host {shown!r}. Open it as localhost. If people reach it "
        "under this name, set CONNECTOR_UI_HOSTS to the name, and let a proxy before it pass the "
        "header Host on.",
    )


def _foreign_page(scope: Scope, headers: dict[str, str], host: Address) -> Objection | None:
    """Refuse what a page of another origin sent, except that it may link to the UI.

    Programs send neither header. Browsers send Origin with every WebSocket and every POST, and
    Sec-Fetch-Site to HTTPS and to loopback.
    """
    origin = headers.get("origin")
    if origin is not None and not is_origin_of(origin, host):
        shown, ours = (clipped(each, most_bytes=100) for each in (origin, headers["host"]))
        return Objection(
            403,
            f"A page of {shown!r} may not use the UI at {ours!r}. If that page is the UI itself, "
            "let the proxy before it pass the header Host on as the browser sent it.",
        )
    is_link = (
        scope["type"] == "http"
        and scope["method"] in _READING
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
    )
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none") and not is_link:
        return Objection(403, "A page of another site may link to the UI, and not use it.")
    return None


def _unasked_change(scope: Scope, headers: dict[str, str]) -> Objection | None:
    """Refuse what a browser sends for any page without first asking the server whether it may.

    It asks before it sends a POST of application/json, and the web server never agrees.
    """
    if scope["type"] == "websocket":
        return None
    path: str = scope["path"].rstrip("/")
    if _CONTROLS.search(path):
        return Objection(400, "The path has a control character.")
    if path.endswith(_NOTEBOOKS):
        return Objection(404, "The project has no notebooks.")
    if scope["method"] in _READING:
        return _changing_link(scope) if path.endswith("/graphql") else None
    if scope["method"] != "POST":
        return Objection(405, "Send GET or POST.", {"allow": "GET, HEAD, POST"})
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return Objection(415, "Send JSON, with the header Content-Type: application/json.")
    return None


def _changing_link(scope: Scope) -> Objection | None:
    """Refuse a GET that carries anything but queries."""
    # Latin-1 has a character for every byte, so that no query string is too odd to be looked at.
    values = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    for document in (value for name, value in values if name == "query"):
        try:
            if not only_queries(document):
                return Objection(
                    405,
                    "GET executes queries alone. Send mutations by POST, with the header "
                    "Content-Type: application/json; subscriptions by WebSocket.",
                    {"allow": "POST"},
                )
        except UnreadableDocument as error:
            reason = clipped(str(error), most_bytes=200)
            return Objection(400, f"The GraphQL document cannot be read. {reason}")
    return None


def _headers(pairs: Iterable[tuple[bytes, bytes]]) -> tuple[dict[str, str], str | None]:
    """The headers by their names, and one that may come once and came twice."""
    headers: dict[str, str] = {}
    for name, value in pairs:
        known = name.decode("latin-1").lower()
        if known in headers and known in _ONCE:
            return headers, known
        headers[known] = value.decode("latin-1")
    return headers, None


def _with_added_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            present: list[tuple[bytes, bytes]] = list(message.get("headers", ()))
            names = {name.lower() for name, _ in present}
            added = [(name, value) for name, value in _ADDED.items() if name not in names]
            message = {**message, "headers": [*present, *added, _NO_FRAMES]}
        await send(message)

    return sending


async def _refuse(scope: Scope, send: Send, objection: Objection) -> None:
    if scope["type"] == "websocket":
        # The server answers 403; browsers show nobody the text of an answer to a WebSocket.
        await send({"type": "websocket.close", "code": 1008})
        return
    body = f"{objection.reason}\n".encode()
    headers = {
        "content-type": "text/plain; charset=utf-8",
        "content-length": str(len(body)),
        "cache-control": "no-store",
        **objection.headers,
    }
    await _with_added_headers(send)(
        {
            "type": "http.response.start",
            "status": objection.status,
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": body})
