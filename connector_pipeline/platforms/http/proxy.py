"""The proxy of the settings, through which every platform's requests leave the network.

A request goes through a tunnel that the proxy opens for `CONNECT host:port` (RFC 9110, 9.3.6), for
plain http too: the proxy's password is in no request to a shop, and over HTTPS the proxy sees
nothing of a request but the host's name.
"""

import asyncio
import base64
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NoReturn, Self
from urllib.parse import unquote, urlsplit

from connector_pipeline.settings import Settings

if TYPE_CHECKING:
    import ssl

    import httpcore

_LONGEST_ANSWER: Final = 32 * 1024
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: [^\r\n]*)?\r?\n")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, and the hosts that are asked without it: names, and `.name` for all below it.

    `authorization` is a secret: never log or show it.
    """

    host: str
    port: int
    tls: bool = False
    authorization: str | None = field(default=None, repr=False)
    without: frozenset[str] = frozenset()

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """The proxy that the settings name; None where they name none."""
        if settings.connector_proxy_url is None:
            return None
        url = urlsplit(settings.connector_proxy_url.get_secret_value())
        authorization = None
        if url.username is not None:
            pair = f"{unquote(url.username)}:{unquote(url.password or '')}".encode()
            authorization = "Basic " + base64.b64encode(pair).decode()
        return cls(
            host=url.hostname or "",
            port=url.port or _DEFAULT_PORTS[url.scheme],
            tls=url.scheme == "https",
            authorization=authorization,
            without=frozenset(filter(None, settings.connector_no_proxy.split(","))),
        )

    def __str__(self) -> str:
        return f"{_bracketed(self.host)}:{self.port}"

    def serves(self, host: str) -> bool:
        """Whether requests to this host go through the proxy."""
        host = host.strip("[]").lower()
        parents = {f".{host}"[at:] for at, letter in enumerate(f".{host}") if letter == "."}
        return host not in self.without and not parents & self.without

    async def tunnel(
        self,
        backend: "httpcore.AsyncNetworkBackend",
        tls: "ssl.SSLContext",
        host: str,
        port: int,
        seconds: float | None,
    ) -> "httpcore.AsyncNetworkStream":
        """A connection to the host, which the proxy made.

        `tls` is for the proxy itself. `seconds` are the most that the proxy may take to accept our
        connection, and again to make its own. Raises httpcore.ProxyError, which names the proxy and
        the host.
        """
        import httpcore

        stream = await self.connected(backend, tls, seconds)
        try:
            async with asyncio.timeout(seconds):
                await self._ask(stream, host, port)
        except (httpcore.NetworkError, httpcore.TimeoutException, TimeoutError) as error:
            await stream.aclose()
            raise httpcore.ProxyError(
                f"the proxy {self} opened no connection to {_bracketed(host)}:{port} "
                f"({type(error).__name__})"
            ) from error
        except BaseException:
            await stream.aclose()
            raise
        return stream

    async def connected(
        self, backend: "httpcore.AsyncNetworkBackend", tls: "ssl.SSLContext", seconds: float | None
    ) -> "httpcore.AsyncNetworkStream":
        """A connection to the proxy itself. Raises httpcore.ProxyError, which names it."""
        import httpcore

        stream = None
        try:
            stream = await backend.connect_tcp(self.host, self.port, seconds)
            return await stream.start_tls(tls, self.host, seconds) if self.tls else stream
        except (httpcore.NetworkError, httpcore.TimeoutException) as error:
            if stream is not None:
                await stream.aclose()
            raise httpcore.ProxyError(
                f"the proxy {self} cannot be reached ({type(error).__name__})"
            ) from error
        except BaseException:
            if stream is not None:
                await stream.aclose()
            raise

    async def _ask(self, stream: "httpcore.AsyncNetworkStream", host: str, port: int) -> None:
        target = f"{_bracketed(host)}:{port}"
        lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
        if self.authorization is not None:
            lines.append(f"Proxy-Authorization: {self.authorization}")
        await stream.write("\r\n".join([*lines, "", ""]).encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            part = await stream.read(4096)
            answer += part
            if not part or len(answer) > _LONGEST_ANSWER:
                break
        status = _STATUS_LINE.match(answer)
        if status is None:
            self._refused(f"answers CONNECT {target} with no HTTP")
        if not status[1].startswith(b"2"):
            self._refused(f"answered {status[1].decode()} to CONNECT {target}")
        if not answer.endswith(b"\r\n\r\n"):
            # The host at the tunnel's end does not speak first.
            self._refused(f"answers CONNECT {target} with more than a head")

    def _refused(self, seen: str) -> NoReturn:
        import httpcore

        raise httpcore.ProxyError(f"the proxy {self} {seen}")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
