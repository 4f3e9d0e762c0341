"""A proxy on loopback that opens tunnels, and keeps what it hears outside and inside of them."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

HANG = "hang"


@dataclass
class ConnectProxy:
    """A proxy. `answers` are sent in turn instead of a tunnel; HANG sends none.

    `authorization` is the header that it wants. Every name leads to this machine.
    """

    authorization: str | None = None
    answers: list[bytes | str] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    passed: bytearray = field(default_factory=bytearray)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            refusal = self._refusal(head)
            if refusal is None:
                await self._tunnel(head.split()[1], reader, writer)
            elif refusal == HANG:
                await reader.read()
            elif isinstance(refusal, bytes):
                writer.write(refusal)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _refusal(self, head: str) -> bytes | str | None:
        if self.answers:
            return self.answers.pop(0)
        if (
            self.authorization is not None
            and f"\r\nProxy-Authorization: {self.authorization}\r\n" not in head
        ):
            return (
                b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n"
            )
        if not head.startswith("CONNECT "):
            return b"HTTP/1.1 405 Method Not Allowed\r\n\r\n"
        return None

    async def _tunnel(
        self, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        port = int(target.rpartition(":")[2])
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
            await writer.drain()
            return
        writer.write(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")
        there = asyncio.create_task(self._pass_on(reader, inner_writer))
        try:
            await self._pass_on(inner_reader, writer)
        finally:
            there.cancel()
            inner_writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while part := await reader.read(65536):
            self.passed += part
            writer.write(part)
            await writer.drain()


@asynccontextmanager
async def proxying(
    proxy: ConnectProxy, tls: ssl.SSLContext | None = None
) -> AsyncIterator[ConnectProxy]:
    """The proxy, which listens until the block ends."""
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, ssl=tls)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
