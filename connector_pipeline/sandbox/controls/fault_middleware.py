"""Applies the faults to the platforms' answers: delays, breaks or replaces them."""

import asyncio
import socket
import struct
import time
from typing import Any, cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from connector_pipeline.sandbox.controls import spoiling
from connector_pipeline.sandbox.controls.fault_answers import answer_in_place
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
        fault = answer_in_place(rule, found.service)
        if fault is not None:
            headers = dict(fault.headers) | {"Content-Length": str(len(fault.content))}
            await _send_start(send, fault.status, headers)
            await send({"type": "http.response.body", "body": fault.content})
            return
        if rule.kind == "large":
            await self._large(receive, send, rule)
            return
        if rule.kind in ("reset", "hang") and (
            rule.at == "start" or (rule.kind == "hang" and rule.at is None)
        ):
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
        """Send the platform's own headers, and its body as the rule has it, or half of it."""
        start, content = await _answer_of(self._app, scope, replay)
        if rule.kind == "repeat":
            rule.kept = rule.kept or (start, content)
            start, content = dict(rule.kept[0]), rule.kept[1]
        _put_headers(start, rule)
        if rule.kind in ("length", "chunks"):
            await _send_raw(scope, receive, start, content, rule)
            return
        if rule.kind == "drip":
            await self._drip(receive, send, rule, start, content)
            return
        whole = rule.spoiled(content)
        content = content if whole is None else whole
        headers = [(name, value) for name, value in start["headers"] if name != b"content-length"]
        start["headers"] = [*headers, (b"content-length", str(len(content)).encode())]
        await send(start)
        if whole is not None:
            await send({"type": "http.response.body", "body": content})
            return
        half = content[: len(content) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        if rule.kind == "hang" and not await self._hang(rule, receive):
            await send({"type": "http.response.body", "body": content[len(half) :]})
            return
        await _break(scope, receive, reset=rule.kind != "truncate")

    async def _drip(
        self,
        receive: Receive,
        send: Send,
        rule: FaultRule,
        start: dict[str, Any],
        content: bytes,
    ) -> None:
        """Send the body piece by piece until the client leaves."""
        await send(start)
        replaced, step = self._faults.replaced, rule.size or 1
        gone = asyncio.ensure_future(receive())
        try:
            for at in range(0, len(content), step):
                if self._faults.replaced != replaced or self._faults.closing:
                    step = len(content)
                piece = content[at : at + step]
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                if step == len(content):
                    break
                done, _ = await asyncio.wait({gone}, timeout=rule.seconds)
                if done:
                    return
        finally:
            gone.cancel()
        await send({"type": "http.response.body", "body": b""})

    async def _large(self, receive: Receive, send: Send, rule: FaultRule) -> None:
        """Send a large JSON array until the client leaves."""
        size = rule.size or 0
        headers = {"Content-Type": "application/json", "Content-Length": str(size + 2)}
        await _send_start(send, rule.status or 200, headers | dict(rule.headers))
        gone = asyncio.ensure_future(receive())
        try:
            for part in spoiling.large(size):
                await send({"type": "http.response.body", "body": part, "more_body": True})
                # Gives the server the turn in which it notices that the client left.
                await asyncio.sleep(0)
                if gone.done() or self._faults.closing:
                    break
        finally:
            gone.cancel()
        await send({"type": "http.response.body", "body": b""})

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


def _put_headers(start: dict[str, Any], rule: FaultRule) -> None:
    """Put the rule's headers and status over the platform's own."""
    given = {name.lower().encode(): value.encode("latin-1") for name, value in rule.headers.items()}
    own = [(name, value) for name, value in start["headers"] if name.lower() not in given]
    start["headers"] = [*own, *given.items()]
    if rule.status is not None:
        start["status"] = rule.status


async def _send_raw(
    scope: Scope, receive: Receive, start: dict[str, Any], content: bytes, rule: FaultRule
) -> None:
    """Write an answer that no HTTP server would make, and close the connection after it."""
    transport = cast("asyncio.Transport | None", scope.get(TRANSPORT))
    if transport is None:
        return
    headers = [
        (name, value)
        for name, value in start["headers"]
        if name.lower() not in (b"content-length", b"transfer-encoding", b"connection")
    ]
    if rule.kind == "length":
        stated = max(0, len(content) + (rule.size or 0))
        headers.append((b"content-length", str(stated).encode()))
    else:
        headers.append((b"transfer-encoding", b"chunked"))
        half = len(content) // 2
        # The second chunk says that it has as many bytes again, and ends before its last ones.
        content = b"".join(
            (b"%x\r\n" % half, content[:half], b"\r\n", b"%x\r\n" % len(content), content[half:])
        )
    lines = b"".join(b"%s: %s\r\n" % header for header in headers)
    transport.write(b"HTTP/1.1 %d OK\r\n%s\r\n%s" % (start["status"], lines, content))
    await _break(scope, receive, reset=False)


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
