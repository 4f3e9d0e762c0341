"""A Token Service that is no sandbox's: it does not say that it is one."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class _Real(BaseHTTPRequestHandler):
    """A Token Service that has credentials for every shop, or says that it has none."""

    has_credentials = True

    def do_GET(self) -> None:
        body = {"data": {"access_token": "t"}} if self.has_credentials else {"error": "unknown"}
        self.send_response(200 if self.has_credentials else 404)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Write nothing to the test's output."""


@contextmanager
def real_token_service(*, has_credentials: bool = True) -> Generator[str]:
    """The URL of a Token Service that is no sandbox's."""
    handler = type("Handler", (_Real,), {"has_credentials": has_credentials})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
