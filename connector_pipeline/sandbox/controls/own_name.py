"""The sandbox's Token Service says with every answer that it is a sandbox's.

Of a shop that the sandbox does not have at all it says that, too (`token_service.py`).

A connector that serves real shops must not believe it that a shop has no credentials any more.
"""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from connector_pipeline.sandbox.routing import destination

_HEADER: Final = (b"x-connector-sandbox", b"true")


class OwnNameMiddleware:
    """Adds the header to all answers of the Token Service, those of faults too."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = destination(scope["path"]) if scope["type"] == "http" else None
        if found is None or found.service != "token-service":
            await self._app(scope, receive, send)
            return

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                if all(name != _HEADER[0] for name, _ in headers):
                    headers.append(_HEADER)
                message["headers"] = headers
            await send(message)

        await self._app(scope, receive, named)
