"""Where a shop answers: its redirects, followed once and without credentials.

Hosts send from http to https, and from shop.example to www.shop.example. HTTP clients drop a header
on the way, or send it where it should not go; so the way is gone without a key first, and the key
is sent to its end and nowhere else (docs/facts/woocommerce.md, Redirects).
"""

import re
from dataclasses import replace
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

from connector_pipeline.model.errors import InvalidResponse, PlatformUnavailable
from connector_pipeline.platforms.http.client import OriginHttp
from connector_pipeline.platforms.http.retrying import HttpPolicy
from connector_pipeline.platforms.kit.contract import FetchReport
from connector_pipeline.platforms.woocommerce.talking.session import REST_ROOT
from connector_pipeline.platforms.woocommerce.talking.trouble_pages import TROUBLE_PAGES

# Small, never cached, and asked of the very place that is read afterwards: without a key a 401.
ASKED: Final = f"{REST_ROOT}/wc/v3/products"
_PARAMETERS: Final = {"per_page": 1}

_MOST_MOVES: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_HOST: Final = re.compile(r"[A-Za-z0-9.:\[\]-]{1,253}")


async def final_base_url(base_url: str, *, policy: HttpPolicy, report: FetchReport) -> str:
    """The base URL that `base_url` leads to, with what it may redirect to still the same shop.

    A shop that takes no HTTPS connection is asked over http; whether it may be read so is the
    caller's to judge. Raises InvalidResponse where the way leaves the shop, PlatformUnavailable.
    """
    registered, current = base_url, base_url
    for _ in range(_MOST_MOVES):
        moved = await _moved(current, registered, policy, report)
        if moved == current:
            return current
        current = moved
    raise PlatformUnavailable(f"{_origin(urlsplit(registered))} redirects in a circle.")


async def _moved(current: str, registered: str, policy: HttpPolicy, report: FetchReport) -> str:
    """Where `current` redirects to; itself where it answers."""
    policy = replace(policy, plain_http=True)
    async with _http(current, policy, report) as http:
        try:
            answer = await http.request("GET", ASKED, params=_PARAMETERS, follow_redirects=False)
        except PlatformUnavailable:
            if http.reached or urlsplit(current).scheme == "http":
                raise
            plain = await _over_http(current, policy, report)
            if plain is None:
                raise
            return plain
    if answer.status not in _REDIRECTS:
        return current
    return moved_to(current, answer.headers.get("location", ""), registered=registered)


async def _over_http(current: str, policy: HttpPolicy, report: FetchReport) -> str | None:
    """The same place over http, if anything answers there that does not lead back."""
    plain = urlunsplit(urlsplit(current)._replace(scheme="http"))
    async with _http(plain, replace(policy, max_retries=0), report) as http:
        try:
            answer = await http.request("GET", ASKED, params=_PARAMETERS, follow_redirects=False)
        except PlatformUnavailable:
            return None
    leads = answer.headers.get("location", "") if answer.status in _REDIRECTS else ""
    return None if leads and moved_to(plain, leads, registered=current) == current else plain


def _http(base_url: str, policy: HttpPolicy, report: FetchReport) -> OriginHttp:
    return OriginHttp(base_url, policy=policy, report=report, trouble_pages=TROUBLE_PAGES)


def moved_to(current: str, location: str, *, registered: str) -> str:
    """The base URL after a redirect of what was asked below `current` to `location`.

    It must be a host of the shop: the registered one, with or without `www.`, or a subdomain of it;
    on the scheme's own port, unless the registered URL names one itself. A redirect to another
    path of the same host (a login page) moves nothing: what it means shows when the catalog is
    asked. Raises InvalidResponse.
    """
    asked = current + ASKED
    try:
        target = urlsplit(urljoin(asked, location))
        host, port = target.hostname or "", target.port
    except ValueError:
        raise _nowhere(registered) from None
    if target.scheme not in ("http", "https") or not _HOST.fullmatch(host) or target.username:
        raise _nowhere(registered)
    shop = urlsplit(registered)
    ports = port in (None, 443 if target.scheme == "https" else 80) or shop.port is not None
    if not same_shop(host, shop.hostname or "") or not ports:
        raise InvalidResponse(
            f"{_origin(shop)} redirects to {_origin(target)}, which is not a host of the same shop:"
            " no key is sent there.",
            remedy=f"Not retried. If the shop has moved, register it under its new domain: "
            f"`connector-pipeline shops add woocommerce/{host.removeprefix('www.')} --merchant-id "
            "M`, and remove the old one.",
        )
    path = target.path.rstrip("/")
    base_path = path.removesuffix(ASKED) if path.endswith(ASKED) else urlsplit(current).path
    return urlunsplit((target.scheme, target.netloc, base_path, "", ""))


def same_shop(host: str, registered: str) -> bool:
    """Whether a host is the registered one, with or without `www.`, or a subdomain of it.

    Whoever holds a domain holds what is below it. What is above it or beside it may be another's
    (the shops of a hosting platform), and no list of public suffixes is consulted for that.
    """
    bare = registered.removeprefix("www.")
    return host in (registered, bare) or host.endswith(f".{bare}")


def _origin(url: SplitResult) -> str:
    return f"{url.scheme}://{url.netloc.rpartition('@')[2]}"


def _nowhere(registered: str) -> InvalidResponse:
    return InvalidResponse(
        f"{_origin(urlsplit(registered))} redirects to no readable address.",
        remedy="Not retried. Ask the merchant whether the shop opens in a browser.",
    )
