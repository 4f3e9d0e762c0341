"""Sets up every HTTP client of the platforms."""

import ssl
from functools import cache
from http.cookiejar import CookieJar
from typing import Final, cast

import httpx

from connector_pipeline.model.errors import PlatformUnavailable
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
    """httpx's transport, except that `Connections` makes its connections, for this policy."""

    def __init__(self, policy: HttpPolicy) -> None:
        # Imported when they are used: they take 20 ms, and most commands make no client.
        import httpcore

        from connector_pipeline.platforms.http.connections import Connections, came_unasked

        super().__init__(verify=tls())
        self._came_unasked = came_unasked
        self._connections = Connections(
            proxy_of(policy),
            tls(),
            public=not policy.allow_private_hosts,
            resolve=policy.resolve,
        )
        # httpx's own pool and limits (https://www.python-httpx.org/advanced/resource-limits/), with
        # the one option that httpx does not pass on.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls(),
            max_connections=100,
            max_keepalive_connections=20,
            keepalive_expiry=5.0,
            network_backend=self._connections,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request. An answer to no request is a RemoteProtocolError."""
        response = await super().handle_async_request(request)
        if self._came_unasked(response.extensions.get("network_stream")):
            # Closed before its body is read, it takes the connection along.
            await response.aclose()
            raise httpx.RemoteProtocolError("an answer came before its request", request=request)
        return response

    async def aclose(self) -> None:
        """Close the pool, and every connection that the pool has lost."""
        try:
            await super().aclose()
        finally:
            await self._connections.aclose()


def request_headers(accept: str) -> dict[str, str]:
    """The headers that every request has."""
    return {
        "User-Agent": USER_AGENT,
        "Accept": accept,
        "Accept-Encoding": ACCEPTED,
        "Connection": "keep-alive",
    }


def timeouts(policy: HttpPolicy) -> httpx.Timeout:
    """How long each step of a request may take."""
    return httpx.Timeout(policy.read_timeout, connect=policy.connect_timeout)


def http_client(policy: HttpPolicy, *, accept: str) -> httpx.AsyncClient:
    """A client that follows no redirect and uses no proxy or credentials of the environment.

    The only proxy is the one of our own settings, for a policy that allows it.
    """
    return httpx.AsyncClient(
        transport=Transport(policy),
        timeout=timeouts(policy),
        headers=request_headers(accept),
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


def origin_of(url: httpx.URL) -> tuple[str, str, int | None]:
    """The origin that credentials are bound to: scheme, host and port."""
    return (url.scheme, host_of(url), url.port)


def host_of(url: httpx.URL) -> str:
    """The host as it is asked, in ASCII: httpx's own `host` raises for some `xn--` names."""
    return url.raw_host.decode("ascii")


def shown(url: httpx.URL) -> str:
    """The URL's origin as messages show it: with its port, if that is not the scheme's own."""
    host = host_of(url)
    host = f"[{host}]" if ":" in host else host
    port = "" if url.port is None else f":{url.port}"
    return f"{url.scheme:.20}://{host:.100}{port}"
