"""The words for a request that got no whole answer: a certificate, the proxy, the connection."""

import re
import socket
from dataclasses import dataclass
from typing import Final

import httpx

from connector_pipeline.model.errors import PlatformUnavailable
from connector_pipeline.platforms.http.certificates import causes, refused_certificate

_BY_PROXY: Final = re.compile(r"answered ([1-5][0-9]{2}) to CONNECT")
_AUTHENTICATION: Final = 407


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The error to raise, whether the host was reached, and what may help.

    Another try may, where it `may_pass`, and a smaller answer, where it is `heavy`.
    """

    error: PlatformUnavailable
    reached: bool = False
    may_pass: bool = True
    heavy: bool = False


def leads_nowhere(error: httpx.RequestError) -> bool:
    """Whether httpx found no address in a Location, which it reads also where it is not to follow.

    It raises the same error for answers that break HTTP, and those may pass.
    """
    return any(isinstance(each, httpx.InvalidURL) for each in causes(error))


def unreadable(error: httpx.RequestError, where: str, verb: str) -> Unreadable:
    """What a failed request to `where` means. `verb` says what any other connection did."""
    if isinstance(error, httpx.ProxyError):
        return _by_proxy(error, where)
    refused = refused_certificate(error)
    if refused is not None:
        return Unreadable(
            PlatformUnavailable(
                f"{where} {refused.reason}.",
                remedy=f"It will be retried with the next sync. {refused.ask} Credentials are sent "
                "only to a host with a valid certificate.",
            ),
            reached=True,
        )
    if any(isinstance(each, socket.gaierror) for each in causes(error)):
        return Unreadable(PlatformUnavailable(f"{where}: the host name does not resolve."))
    return Unreadable(
        PlatformUnavailable(f"{where} {verb} ({type(error).__name__})."),
        heavy=not isinstance(error, httpx.ConnectError),
    )


def _by_proxy(error: httpx.ProxyError, where: str) -> Unreadable:
    answered = _BY_PROXY.search(str(error))
    status = int(answered[1]) if answered else 0
    refused = 400 <= status < 500
    if status == _AUTHENTICATION:
        remedy = "Give the proxy's user and password in CONNECTOR_PROXY_URL."
    elif refused:
        remedy = "Let the proxy connect to this host, or name the host in CONNECTOR_NO_PROXY."
    elif status:
        remedy = "The host may be down: the proxy could not connect to it."
    else:
        remedy = "Check CONNECTOR_PROXY_URL and the proxy."
    return Unreadable(
        PlatformUnavailable(
            f"{where} was not asked: {error}.",
            remedy=f"It will be retried with the next sync. {remedy}",
        ),
        may_pass=not refused,
    )
