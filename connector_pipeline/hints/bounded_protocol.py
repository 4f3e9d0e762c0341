"""HTTP/1.1 as uvicorn speaks it, with bounds for what comes before and after a body.

uvicorn waits for ever for the headers of a request and takes any number of them (tried with uvicorn
0.54). A proxy in front has such bounds too; a receiver without one must not be filled or held.
"""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from connector_pipeline.hints.body import MOST_BYTES

MOST_HEAD_BYTES: Final = 64 * 2**10
MOST_HEAD_SECONDS: Final = 10.0
_MOST_REQUEST_BYTES: Final = 2 * MOST_BYTES


class BoundedProtocol(HttpToolsProtocol):
    """Closes a connection whose request has too long a head, or takes too long to send it."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._in_head = True
        self._bytes = 0
        self._in_headers = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a first request."""
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what arrived, and close the connection once it is too much."""
        # A head that is complete after this has its end in `data`, and is not counted.
        self._bytes += len(data)
        super().data_received(data)
        if (self._in_head and self._bytes > MOST_HEAD_BYTES) or self._bytes > _MOST_REQUEST_BYTES:
            self.transport.abort()

    def on_message_begin(self) -> None:
        """Begin to count a request."""
        self._in_head = True
        self._bytes = self._in_headers = 0
        self._wait_for_head()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or a trailer behind the body, within the bound."""
        self._in_headers += len(name) + len(value)
        if self._in_headers > MOST_HEAD_BYTES:
            self.transport.abort()
            return
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is complete; the application bounds the body."""
        self._in_head = False
        self._stop_waiting()
        super().on_headers_complete()

    def _wait_for_head(self) -> None:
        self._stop_waiting()
        self._timer = self.loop.call_later(MOST_HEAD_SECONDS, self._give_up)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self.transport.abort()
