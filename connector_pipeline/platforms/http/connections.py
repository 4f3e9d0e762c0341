"""The connections of one HTTP client: to judged addresses, and closed whenever it is cancelled.

httpx resolves a host's name whenever it connects. A name that was judged before may then lead to
another address, into our own network. So a name is resolved here, once for each connection, and the
connection goes to an address that was judged; TLS and `Host` keep the name.

httpcore 1.0.9 closes a connection whose TLS handshake fails, but not one whose handshake is
cancelled, and its pool stops closing connections at the first one whose closing is cancelled. Such
a connection stays open until the garbage collector comes upon it, which in a process that executes
many runs may be never. A network backend that returns streams of its own is httpcore's public way
to change that (https://www.encode.io/httpcore/network-backends/).
"""

# ruff: noqa: ASYNC109  the parameters are httpcore's

import asyncio
import select
import socket
import ssl
from collections.abc import Iterable, Sequence
from typing import Any, Final, cast

import httpcore

from connector_pipeline.platforms.http.addresses import may_be_public
from connector_pipeline.platforms.http.proxy import Proxy
from connector_pipeline.platforms.http.resolving import (
    NotPublic,
    Resolve,
    addresses_of,
    system_addresses,
)

_SECONDS_AN_ADDRESS: Final = 2.0
"""An address that does not answer must not keep a connection from the next one for long."""


class Connections(httpcore.AsyncNetworkBackend):
    """Opens a client's connections, and closes those that are left when the client is closed.

    Hosts that the `proxy` serves are connected to through it. `tls` is for the proxy itself. With
    `public`, only hosts on the public internet are connected to.
    """

    def __init__(
        self,
        proxy: Proxy | None = None,
        tls: ssl.SSLContext | None = None,
        *,
        public: bool = True,
        resolve: Resolve = system_addresses,
    ) -> None:
        self._proxy = proxy
        self._tls = tls
        self._public = public
        self._resolve = resolve
        # pyright sees httpcore's stand-in for installations without anyio, which httpx requires.
        self._backend = cast("httpcore.AsyncNetworkBackend", httpcore.AnyIOBackend())
        self._open: set[httpcore.AsyncNetworkStream] = set()
        self._closed = False

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection, through the proxy if it serves the host.

        The proxy resolves a name itself, and only an address in place of a name is judged here.
        Raises NotPublic, httpcore.ConnectError also where the client was closed meanwhile, and
        httpcore.ProxyError.
        """
        if self._proxy is not None and self._tls is not None and self._proxy.serves(host):
            if self._public and not may_be_public(host):
                raise NotPublic("is a private address, or a name for one")
            stream = await self._proxy.tunnel(self._backend, self._tls, host, port, timeout)
        else:
            stream = await self._connected(host, port, timeout, local_address, socket_options)
        if self._closed:
            await stream.aclose()
            raise httpcore.ConnectError("The client was closed while it connected.")
        self._open.add(stream)
        return _Connection(stream, stream, self._open)

    async def _connected(
        self,
        host: str,
        port: int,
        timeout: float | None,
        local_address: str | None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to the first of the host's addresses that takes one."""
        now = asyncio.get_running_loop().time
        until = None if timeout is None else now() + timeout
        *others, last = await self._addresses(host, port, timeout)
        for address in others:
            seconds = (
                _SECONDS_AN_ADDRESS if until is None else min(until - now(), _SECONDS_AN_ADDRESS)
            )
            try:
                return await self._backend.connect_tcp(
                    address, port, seconds, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        seconds = None if until is None else until - now()
        return await self._backend.connect_tcp(last, port, seconds, local_address, socket_options)

    async def _addresses(self, host: str, port: int, timeout: float | None) -> Sequence[str]:
        try:
            async with asyncio.timeout(timeout):
                return await addresses_of(host, port, self._resolve, public=self._public)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout("The host's name was not resolved in time.") from error
        except socket.gaierror as error:
            raise httpcore.ConnectError(str(error)) from error

    async def sleep(self, seconds: float) -> None:
        """Wait between two attempts to connect."""
        await self._backend.sleep(seconds)

    async def aclose(self) -> None:
        """Close every connection that is open, also if this is cancelled meanwhile."""
        self._closed = True
        cancelled: asyncio.CancelledError | None = None
        while self._open:
            try:
                # A stream breaks its connection off before it waits for anything.
                await self._open.pop().aclose()
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled


class _Connection(httpcore.AsyncNetworkStream):
    """A stream over `connection`, which is among `still_open` until it is closed."""

    def __init__(
        self,
        stream: httpcore.AsyncNetworkStream,
        connection: httpcore.AsyncNetworkStream,
        still_open: set[httpcore.AsyncNetworkStream],
    ):
        self._stream = stream
        self._connection = connection
        self._still_open = still_open
        self._socket: Any = None
        self.read_since_write = False

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self.read_since_write = True
        return await self._stream.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.read_since_write = False
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        self._still_open.discard(self._connection)
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            stream = await self._stream.start_tls(ssl_context, server_hostname, timeout)
        except BaseException:
            await self.aclose()
            raise
        return _Connection(stream, self._connection, self._still_open)

    def get_extra_info(self, info: str) -> Any:
        if info != "is_readable":
            return self._stream.get_extra_info(info)
        # httpcore's pool asks this of every idle connection, twice a request, and anyio looks up
        # all that it knows of a socket, each time: together a tenth of a small request.
        if self._socket is None:
            self._socket = self._stream.get_extra_info("socket")
        return self._socket is None or _is_readable(self._socket)


def came_unasked(stream: object) -> bool:
    """Whether the answer on this stream of ours was there before its request.

    A host, or a proxy before it, sent an answer too many, and httpcore had read both at once: it
    would take each later answer for the one before.
    """
    return isinstance(stream, _Connection) and not stream.read_since_write


def _is_readable(its_socket: Any) -> bool:
    """Whether a read would return at once, also because there is nothing to read any more."""
    descriptor = its_socket.fileno()
    if descriptor < 0:
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
