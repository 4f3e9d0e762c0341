"""A TCP proxy that passes a connection's first bytes on and then holds the rest back."""

import socket
import threading
from contextlib import suppress
from typing import Final, Self
from urllib.parse import urlsplit

_CHUNK: Final = 65_536


class StallingProxy:
    """Leads to `url`. Of each connection it passes on `most` bytes at most. A context manager."""

    def __init__(self, url: str, *, most: int):
        parts = urlsplit(url)
        self._target = (str(parts.hostname), int(parts.port or 80))
        self._most = most
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = [self._listening]
        self.stalled = threading.Event()
        """Set once a connection has sent more than it passes on."""

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._open:
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(self._target)
                self._open += [client, server]
                for source, sink, most in ((client, server, self._most), (server, client, None)):
                    threading.Thread(
                        target=self._pass, args=(source, sink, most), daemon=True
                    ).start()

    def _pass(self, source: socket.socket, sink: socket.socket, most: int | None) -> None:
        passed = 0
        with suppress(OSError):
            while content := source.recv(_CHUNK):
                passed += len(content)
                if most is not None and passed > most:
                    self.stalled.set()
                    # The rest stays in the socket; the sender waits, or dies.
                    while source.recv(_CHUNK):
                        pass
                    break
                sink.sendall(content)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
