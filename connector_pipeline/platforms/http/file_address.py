"""Judges the URL of a file before it is asked for, and keeps its signature out of logs."""

import ipaddress
import logging
from collections.abc import Collection

import httpx

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.http.connecting import host_of, shown
from connector_pipeline.platforms.http.retrying import HttpPolicy


def checked_address(
    url: str, hosts: Collection[str], policy: HttpPolicy, remedy: str | None
) -> httpx.URL:
    """The URL, if it is HTTPS at one of `hosts`; with `allow_private_hosts`, loopback too.

    Raises InvalidResponse for another one, with `remedy`.
    """
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        raise InvalidResponse("The address of a file to download cannot be read.") from None
    if policy.allow_private_hosts and _is_loopback(host_of(parsed)):
        return parsed
    named = host_of(parsed) in hosts and parsed.port is None and not parsed.userinfo
    if parsed.scheme != "https" or not named:
        raise InvalidResponse(
            f"A file to download is at {shown(parsed)}, and files are "
            f"downloaded from https://{{{', '.join(sorted(hosts))}}} only.",
            remedy=remedy,
        )
    return parsed


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _WithoutQuery(logging.Filter):
    """Takes the query, which holds the signature, out of the URLs that httpx logs at INFO."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                arg.copy_with(query=None) if isinstance(arg, httpx.URL) else arg
                for arg in record.args
            )
        return True


logging.getLogger("httpx").addFilter(_WithoutQuery())
