"""Applies the faults to the platforms' answers: delays, breaks or replaces them."""

import asyncio
import codecs
import socket
import struct
import time
from typing import Any, cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from connector_pipeline.sandbox.controls.faults import FaultRule, Faults
from connector_pipeline.sandbox.routing import destination

TRANSPORT = "connector_pipeline.sandbox.transport"
"""The key of the scope under which the server's protocol leaves the connection, to be broken."""


class FaultMiddleware:
    """Faults for the paths of all platforms and of the Token Service."""

    def __init__(self, app: ASGIApp, faults: Faults):
        self._app = app
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = destination(scope["path"]) if scope["type"] == "http" else None
        if found is None or not self._faults.any:
            await self._app(scope, receive, send)
            return
        body = await _whole_body(receive)
        seconds, rule = self._faults.chosen(
            found.service, found.domain, scope["path"], body, scope["query_string"]
        )
        if seconds:
            await self._delay(seconds)
        replay = _replay(body, receive)
        if rule is None:
            await self._app(scope, replay, send)
            return
        fault = rule.answer(found.service)
        if fault is not None:
            headers = dict(fault.headers) | {"Content-Length": str(len(fault.content))}
            await _send_start(send, fault.status, headers)
            await send({"type": "http.response.body", "body": fault.content})
            return
        if rule.at == "start" or (rule.kind == "hang" and rule.at is None):
            if rule.kind == "hang" and not await self._hang(rule, receive):
                await self._app(scope, replay, send)
            else:
                await _break(scope, receive, reset=True)
            return
        await self._spoil(scope, replay, receive, send, rule)

    async def _delay(self, seconds: float) -> None:
        """Wait so long, or until the rules are replaced or the server closes.

        A closing server must answer the requests that it has.
        """
        until = time.monotonic() + seconds
        replaced = self._faults.replaced
        # Not an asyncio.Event: another thread closes the server.
        while (  # noqa: ASYNC110
            not self._faults.closing
            and self._faults.replaced == replaced
            and (left := until - time.monotonic()) > 0
        ):
            await asyncio.sleep(min(0.1, left))

    async def _spoil(
        self, scope: Scope, replay: Receive, receive: Receive, send: Send, rule: FaultRule
    ) -> None:
        """Send the platform's own headers and half of its body; for `bom`, all behind a BOM."""
        start, content = await _answer_of(self._app, scope, replay)
        if rule.kind == "bom":
            content = codecs.BOM_UTF8 + content
        headers = [(name, value) for name, value in start["headers"] if name != b"content-length"]
        start["headers"] = [*headers, (b"content-length", str(len(content)).encode())]
        await send(start)
        if rule.kind == "bom":
            await send({"type": "http.response.body", "body": content})
            return
        half = content[: len(content) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        if rule.kind == "hang" and not await self._hang(rule, receive):
            await send({"type": "http.response.body", "body": content[len(half) :]})
            return
        await _break(scope, receive, reset=rule.kind != "truncate")

    async def _hang(self, rule: FaultRule, receive: Receive) -> bool:
        """Wait as long as the rule says. True if the client left or the server closed before."""
        until = None if rule.seconds is None else time.monotonic() + rule.seconds
        gone = asyncio.ensure_future(receive())
        try:
            while until is None or time.monotonic() < until:
                left = 0.1 if until is None else min(0.1, max(0.0, until - time.monotonic()))
                done, _ = await asyncio.wait({gone}, timeout=left)
                if done or self._faults.closing:
                    return True
        finally:
            gone.cancel()
        return False


async def _whole_body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"".join(parts)
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def again() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _send_start(send: Send, status: int, headers: dict[str, str]) -> None:
    encoded = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})


async def _answer_of(app: ASGIApp, scope: Scope, receive: Receive) -> tuple[dict[str, Any], bytes]:
    start: dict[str, Any] = {}
    parts: list[bytes] = []

    async def keep(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        else:
            parts.append(message.get("body", b""))

    await app(scope, receive, keep)
    return start, b"".join(parts)


async def _break(scope: Scope, receive: Receive, *, reset: bool) -> None:
    """Close the TCP connection, with a RST or after the bytes written so far."""
    transport = cast("asyncio.Transport | None", scope.get(TRANSPORT))
    if transport is None:
        # Another server than ours closes the connection because the body is not whole.
        return
    if reset:
        connection = transport.get_extra_info("socket")
        # The client may have closed it first: it has no descriptor then.
        if connection is not None and connection.fileno() >= 0:
            # SO_LINGER of zero seconds makes the close a reset.
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()
    else:
        transport.close()
    while (await receive())["type"] != "http.disconnect":
        pass
