"""The words for a request that got no whole answer: a certificate, the proxy, the connection."""

import errno
import os
import re
import socket
import ssl
from dataclasses import dataclass
from typing import Final

import httpx

from connector_pipeline.model.errors import PlatformUnavailable
from connector_pipeline.platforms.http.certificates import causes, refused_certificate
from connector_pipeline.platforms.http.content_coding import SpoiledGzip
from connector_pipeline.platforms.http.redirects import leads_nowhere
from connector_pipeline.platforms.http.resolving import NotPublic

_BY_PROXY: Final = re.compile(r"answered ([1-5][0-9]{2}) to CONNECT")
_AUTHENTICATION: Final = 407


FAILED_TRIES: Final = (
    NotPublic,
    TimeoutError,
    httpx.RequestError,
    # httpx reads a Location even where it is not asked to follow it.
    httpx.InvalidURL,
    UnicodeError,
    SpoiledGzip,
)
"""The exceptions of a request that gets no whole answer."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The error to raise, whether the host was reached, and what may help.

    Another try may, where it `may_pass`, and a smaller answer, where it is `heavy` or `slow`.
    """

    error: PlatformUnavailable
    reached: bool = False
    heavy: bool = False
    slow: bool = False
    may_pass: bool = True


def unreadable(error: Exception, where: str, verb: str, seconds: float) -> Unreadable:
    """What a failed request to `where` means: one of FAILED_TRIES.

    `verb` says what a connection did of which no more is known. `seconds` are the longest try.
    Raises InvalidResponse where the host is not public, or redirects to no address.
    """
    if isinstance(error, NotPublic):
        raise error.refusal(where) from None
    if isinstance(error, httpx.TimeoutException):
        # A smaller answer does not help a host that cannot be connected to.
        return Unreadable(
            PlatformUnavailable(f"{where} timed out ({type(error).__name__})."),
            slow=not isinstance(error, httpx.ConnectTimeout),
        )
    if isinstance(error, TimeoutError):
        too_slow = f"{where} sends too slowly: its answer was not whole after {seconds:g} s."
        return Unreadable(PlatformUnavailable(too_slow), slow=True)
    if isinstance(error, SpoiledGzip):
        return Unreadable(PlatformUnavailable(f"{where} sent a body that {error}."), heavy=True)
    if isinstance(error, UnicodeError) or any(
        # Where httpx finds no address in a Location, it raises the error of answers that break
        # HTTP, and those may pass.
        isinstance(each, httpx.InvalidURL)
        for each in causes(error)
    ):
        # What is in a Location may be as secret as the URL that led to it.
        raise leads_nowhere(where) from None
    return (
        _by_proxy(error, where)
        if isinstance(error, httpx.ProxyError)
        else _by_connection(error, where, verb)
    )


def _by_connection(error: Exception, where: str, verb: str) -> Unreadable:
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
        PlatformUnavailable(f"{where} {verb} ({type(error).__name__}{_of_the_system(error)})."),
        heavy=not isinstance(error, httpx.ConnectError),
    )


def _of_the_system(error: BaseException) -> str:
    """The words of the operating system or of OpenSSL, e.g. `: Connection refused`, or nothing."""
    for each in causes(error):
        if isinstance(each, ssl.SSLError):
            # Its number is OpenSSL's, and means something else to the operating system.
            reason = each.reason or type(each).__name__
            return f": TLS: {reason.replace('_', ' ').lower()}"
        number = each.errno if isinstance(each, OSError) else None
        # Some errors of asyncio and of the resolver have numbers of their own, or none.
        if number is not None and number in errno.errorcode:
            return f": {os.strerror(number)}"
    return ""


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
