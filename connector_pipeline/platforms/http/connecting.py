"""Sets up every HTTP client of the platforms, and says which hosts it may connect to."""

import asyncio
import ipaddress
import socket
import ssl
from functools import cache
from http.cookiejar import CookieJar
from typing import Final, cast

import httpx

from connector_pipeline.model.errors import InvalidResponse, PlatformUnavailable
from connector_pipeline.platforms.http.content_coding import ACCEPTED
from connector_pipeline.platforms.http.proxy import Proxy
from connector_pipeline.platforms.http.retrying import HttpPolicy
from connector_pipeline.settings import load_settings


class _NoCookies(CookieJar):
    """Keeps no cookie: no platform's API needs any, and a server may set thousands."""

    def extract_cookies(self, response: object, request: object) -> None:
        """Keep none."""


USER_AGENT: Final = "connector-pipeline/0.1 (+catalog sync)"


@cache
def tls() -> ssl.SSLContext:
    """The certificates that every client trusts."""
    # Building the context takes tens of milliseconds, and a run opens a client for each shop.
    return httpx.create_ssl_context()


class Transport(httpx.AsyncHTTPTransport):
    """httpx's transport, except that it leaves no connection open when it is closed."""

    def __init__(self, proxy: Proxy | None = None) -> None:
        # Imported when they are used: they take 20 ms, and most commands make no client.
        import httpcore

        from connector_pipeline.platforms.http.connections import Connections

        super().__init__(verify=tls())
        self._connections = Connections(proxy, tls())
        # httpx's own pool and limits (https://www.python-httpx.org/advanced/resource-limits/), with
        # the one option that httpx does not pass on.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls(),
            max_connections=100,
            max_keepalive_connections=20,
            keepalive_expiry=5.0,
            network_backend=self._connections,
        )

    async def aclose(self) -> None:
        """Close the pool, and every connection that the pool has lost."""
        try:
            await super().aclose()
        finally:
            await self._connections.aclose()


def http_client(
    policy: HttpPolicy, *, accept: str, transport: type[Transport] = Transport
) -> httpx.AsyncClient:
    """A client that follows no redirect and uses no proxy or credentials of the environment.

    The only proxy is the one of our own settings, for a policy that allows it.
    """
    return httpx.AsyncClient(
        transport=transport(proxy_of(policy)),
        timeout=httpx.Timeout(policy.read_timeout, connect=policy.connect_timeout),
        headers={"User-Agent": USER_AGENT, "Accept": accept, "Accept-Encoding": ACCEPTED},
        cookies=_NoCookies(),
        follow_redirects=False,
        # A proxy or netrc of the environment would see credentials that are the shop's alone.
        trust_env=False,
    )


def proxy_of(policy: HttpPolicy) -> Proxy | None:
    """The proxy through which a client of this policy asks. Raises SettingsError."""
    return Proxy.of(load_settings()) if policy.through_proxy else None


async def reach_proxy(proxy: Proxy, seconds: float) -> None:
    """Connect to the proxy, and do not use it. Raises PlatformUnavailable."""
    import httpcore

    # pyright sees httpcore's stand-in for installations without anyio, which httpx requires.
    backend = cast("httpcore.AsyncNetworkBackend", httpcore.AnyIOBackend())
    try:
        stream = await proxy.connected(backend, tls(), seconds)
    except httpcore.ProxyError as error:
        raise PlatformUnavailable(
            f"{error}.", remedy="Check CONNECTOR_PROXY_URL and the proxy: no shop can be asked."
        ) from error
    await stream.aclose()


async def refuse_private_host(url: httpx.URL, *, where: str, policy: HttpPolicy) -> None:
    """Raise InvalidResponse unless the host is on the public internet.

    Where a proxy asks the host, the proxy resolves its name, and only an address in place of a name
    is judged here. Raises OSError where the name does not resolve.
    """
    proxy = proxy_of(policy)
    if proxy is not None and proxy.serves(url.host):
        if url.host == "localhost" or url.host.endswith(".localhost") or _is_private(url.host):
            raise _private(where)
        return
    found = await asyncio.get_running_loop().getaddrinfo(
        url.host, url.port or 443, type=socket.SOCK_STREAM
    )
    for entry in found:
        if not ipaddress.ip_address(entry[4][0]).is_global:
            raise _private(where)


def _is_private(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return False


def _private(where: str) -> InvalidResponse:
    return InvalidResponse(
        f"{where} resolves to a private address.",
        remedy="A shop is on the public internet (ALLOW_PRIVATE_HOSTS=true lifts this).",
    )


def origin_of(url: httpx.URL) -> tuple[str, str, int | None]:
    """The origin that credentials are bound to: scheme, host and port."""
    return (url.scheme, url.host, url.port)
