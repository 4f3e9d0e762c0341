"""A server on loopback that sends its answer byte by byte, and never to the end."""

import socket
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Event, Thread

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n"
EVERY_SECONDS = 0.02


@dataclass
class Drip:
    """Sends `head` at once, and then a byte at a time; `heard` are the heads of the requests."""

    head: bytes = HEAD
    byte: bytes = b" "
    heard: list[str] = field(default_factory=list[str])
    port: int = 0

    @property
    def url(self) -> str:
        """The URL of the server."""
        return f"http://127.0.0.1:{self.port}"

    def serve(self, connection: socket.socket, over: Event) -> None:
        """Answer one connection until the client or the test ends it."""
        with connection, suppress(OSError):
            self.heard.append(connection.recv(65536).decode("latin-1"))
            connection.sendall(self.head)
            while not over.wait(EVERY_SECONDS):
                connection.sendall(self.byte)


@contextmanager
def dripping(drip: Drip | None = None) -> Generator[Drip]:
    """The server, in threads of its own, until the block ends."""
    drip, over = drip or Drip(), Event()
    threads: list[Thread] = []

    def accept(listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                threads.append(Thread(target=drip.serve, args=(connection, over)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        drip.port = listening.getsockname()[1]
        accepting = Thread(target=accept, args=(listening,))
        accepting.start()
        try:
            yield drip
        finally:
            over.set()
            listening.shutdown(socket.SHUT_RDWR)
            for thread in (accepting, *threads):
                thread.join()
