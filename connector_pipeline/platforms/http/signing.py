"""Adds credentials to a query string below everything that logs, quotes or keeps a URL.

httpx logs every URL at INFO and hands it on with its exceptions. So the transport adds the
credentials, and httpx never sees them. The transport also removes them from answers: shops repeat
every argument in `Link` (docs/facts/woocommerce.md, Link header).
"""

import logging
from collections.abc import Callable, Mapping
from typing import Final, cast
from urllib.parse import parse_qsl, quote, urlencode

import httpx

from connector_pipeline.platforms.http.connecting import Transport

Signer = Callable[[str], Mapping[str, str]]
"""Takes the URL of a request and makes the query parameters that authenticate one try of it."""

SIGNER: Final = "connector_pipeline.signer"
"""The key of a request's Signer among httpx's extensions."""

_LINK: Final = "link"

# At DEBUG, httpcore logs the headers of every answer, `Link` among them. A root logger's level must
# not turn that on.
for _name in ("httpcore.http11", "httpcore.http2"):
    logging.getLogger(_name).setLevel(logging.INFO)


class SigningTransport(Transport):
    """Adds the parameters of a request's Signer to the URL, and is a Transport otherwise."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the signed request, and remove from the answer what may repeat the parameters."""
        signer = cast("Signer | None", request.extensions.get(SIGNER))
        parameters: Mapping[str, str] = {}
        sent = request
        if signer is not None:
            parameters = signer(str(request.url))
            sent = httpx.Request(
                request.method,
                _with_query(request.url, parameters),
                headers=request.headers,
                stream=request.stream,
                extensions=request.extensions,
            )
        response = await super().handle_async_request(sent)
        if parameters and _LINK in response.headers:
            del response.headers[_LINK]
        if parameters and "location" in response.headers:
            response.headers["location"] = _without(response.headers["location"], parameters)
        return response


def _with_query(url: httpx.URL, parameters: Mapping[str, str]) -> httpx.URL:
    # The query stays as it is written, because the signature was made of exactly that.
    added = urlencode(parameters, quote_via=quote).encode()
    query = b"&".join(part for part in (url.query, added) if part)
    return url.copy_with(query=query)


def _without(location: str, parameters: Mapping[str, str]) -> str:
    """A Location without the parameters. Shops repeat them, and a redirect is signed anew."""
    address, _, query = location.partition("?")
    kept = [
        (name, value)
        for name, value in parse_qsl(query, keep_blank_values=True)
        if name not in parameters
    ]
    return f"{address}?{urlencode(kept)}" if kept else address
