"""Credentials in a query string, added beneath everything that logs, quotes or keeps a URL.

httpx logs every URL at INFO and hands it on with its exceptions, so a request above this transport
never has them. What comes back is cleaned too: shops echo every argument in `Link`
(docs/facts/woocommerce.md, Link header).
"""

import logging
from collections.abc import Callable, Mapping
from typing import Final, cast
from urllib.parse import parse_qsl, quote, urlencode

import httpx

Signer = Callable[[str], Mapping[str, str]]
"""The URL of a request → the query parameters that authenticate it, made anew for each try."""

SIGNER: Final = "connector_pipeline.signer"
"""Where a request carries its Signer among httpx's extensions."""

_LINK: Final = "link"

# At DEBUG it writes the headers of every answer, `Link` among them. Not to be turned on by a
# root logger's level.
for _name in ("httpcore.http11", "httpcore.http2"):
    logging.getLogger(_name).setLevel(logging.INFO)


class SigningTransport(httpx.AsyncHTTPTransport):
    """httpx's transport, which sends a request with the parameters that its Signer gives."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """As httpx's own; the answer has no header that may repeat the parameters."""
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
    # Appended to the query as it is written: a signature is of exactly that.
    added = urlencode(parameters, quote_via=quote).encode()
    query = b"&".join(part for part in (url.query, added) if part)
    return url.copy_with(query=query)


def _without(location: str, parameters: Mapping[str, str]) -> str:
    """A Location without the parameters, which many repeat: what is followed is signed anew."""
    address, _, query = location.partition("?")
    kept = [
        (name, value)
        for name, value in parse_qsl(query, keep_blank_values=True)
        if name not in parameters
    ]
    return f"{address}?{urlencode(kept)}" if kept else address
