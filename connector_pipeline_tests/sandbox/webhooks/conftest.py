"""A receiver on loopback that keeps what it was sent, and answers as a test wants."""

import http.server
import threading
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from queue import Queue
from typing import Final

import pytest

PATIENCE: Final = 240.0
"""Seconds to wait for what must come, long enough for a busy machine."""


@dataclass(slots=True)
class Received:
    """One request: its headers by their names in lower case, and the raw body."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Receiver:
    """Answers with `status`. `received` has the requests in their order."""

    url: str
    status: int = 200
    received: Queue[Received] = field(default_factory=Queue[Received])

    def next(self) -> Received:
        """The next request. Fails if none comes."""
        return self.received.get(timeout=PATIENCE)


@pytest.fixture
def receiver() -> Generator[Receiver]:
    """One that runs as long as the test."""
    made = Receiver("")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            made.received.put(Received(self.path, headers, body))
            self.send_response(made.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield made
        server.shutdown()
