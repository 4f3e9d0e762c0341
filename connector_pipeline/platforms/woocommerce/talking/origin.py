"""Finds the URL at which a shop answers, by following its redirects without credentials.

Hosts redirect from http to https, and from shop.example to www.shop.example. An HTTP client that
follows a redirect drops a header, or sends it to a wrong host. So the redirects are followed
without a key first, and the key is sent to the last URL only (docs/facts/woocommerce.md,
Redirects).
"""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

from connector_pipeline.model.errors import InvalidResponse, PlatformUnavailable
from connector_pipeline.platforms.http.client import OriginHttp
from connector_pipeline.platforms.http.retrying import HttpPolicy
from connector_pipeline.platforms.kit.contract import FetchReport
from connector_pipeline.platforms.woocommerce.talking.session import REST_ROOT
from connector_pipeline.platforms.woocommerce.talking.trouble_pages import TROUBLE_PAGES

# A small request, never cached, to the endpoint that is read afterwards. It answers 401.
ASKED: Final = f"{REST_ROOT}/wc/v3/products"
_PARAMETERS: Final = {"per_page": 1}

_MOST_MOVES: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_NO_HTTPS: Final = (
    "It will be retried with the next sync; if it goes on, the merchant's host can say why the "
    "shop does not answer. A shop without HTTPS is not asked over plain http: ask the merchant to "
    "turn on HTTPS (WOOCOMMERCE_ALLOW_HTTP=true reads such shops with signed requests)."
)
_HOST: Final = re.compile(r"[A-Za-z0-9.:\[\]-]{1,253}")


async def final_base_url(
    base_url: str,
    *,
    policy: HttpPolicy,
    report: FetchReport,
    may_be_asked: Callable[[str], None],
) -> str:
    """The base URL to which `base_url` redirects, if that is still the same shop.

    `may_be_asked` raises for a URL that may not, and is called before any request below that URL. A
    shop that takes no HTTPS connection is asked over http only if the policy allows plain http.
    Raises InvalidResponse where a redirect leaves the shop, and PlatformUnavailable.
    """
    registered, current = base_url, base_url
    for _ in range(_MOST_MOVES):
        may_be_asked(current)
        moved = await _moved(current, registered, policy, report)
        if moved == current:
            return current
        current = moved
    raise PlatformUnavailable(f"{_origin(urlsplit(registered))} redirects in a circle.")


async def _moved(current: str, registered: str, policy: HttpPolicy, report: FetchReport) -> str:
    """The base URL to which `current` redirects, or `current` where it answers itself."""
    async with _http(current, policy, report) as http:
        try:
            answer = await http.request("GET", ASKED, params=_PARAMETERS, follow_redirects=False)
        except PlatformUnavailable as error:
            if http.reached or urlsplit(current).scheme == "http":
                raise
            if not policy.plain_http:
                if error.remedy == PlatformUnavailable.default_remedy:
                    error.remedy = _NO_HTTPS
                raise
            plain = await _over_http(current, policy, report)
            if plain is None:
                raise
            return plain
    if answer.status not in _REDIRECTS:
        return current
    return moved_to(current, answer.headers.get("location", ""), registered=registered)


async def _over_http(current: str, policy: HttpPolicy, report: FetchReport) -> str | None:
    """The same URL over http; None if nothing answers there or the answer redirects back."""
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
    """The base URL after the request below `current` was redirected to `location`.

    It must have a host of the shop: the registered one, with or without `www.`, or a subdomain of
    it. Its port must be the scheme's own or the registered one; only where the registered URL names
    a port, another scheme may have another. A redirect to another path of the same host (a login
    page) changes nothing; its meaning shows when the catalog is asked for. Raises InvalidResponse.
    """
    asked = current + ASKED
    # Browsers read a backslash as a slash, and drop control characters.
    if not location.isprintable() or "\\" in location:
        raise _nowhere(registered)
    try:
        target = urlsplit(urljoin(asked, location))
        host, port = target.hostname or "", target.port
    except ValueError:
        raise _nowhere(registered) from None
    if target.scheme not in ("http", "https") or not _HOST.fullmatch(host) or "@" in target.netloc:
        raise _nowhere(registered)
    shop = urlsplit(registered)
    own_port = port in (None, 443 if target.scheme == "https" else 80, shop.port)
    # An operator's URL with a port is one of a server with a port for each scheme.
    other_scheme = shop.port is not None and target.scheme != shop.scheme
    if not same_shop(host, shop.hostname or "") or not (own_port or other_scheme):
        raise InvalidResponse(
            f"{_origin(shop)} redirects to {_origin(target)}, which is not a host of the same shop:"
            " no key is sent there.",
            remedy="Only the next sync tries again. If the shop has moved, register it under its "
            f"new domain: `connector-pipeline shops add woocommerce/{host.removeprefix('www.')} "
            "--merchant-id M`, and remove the old one.",
        )
    path = target.path.rstrip("/")
    base_path = path.removesuffix(ASKED) if path.endswith(ASKED) else urlsplit(current).path
    return urlunsplit((target.scheme, target.netloc, base_path, "", ""))


def same_shop(host: str, registered: str) -> bool:
    """Whether a host is the registered one, with or without `www.`, or a subdomain of it.

    The owner of a domain owns its subdomains. A domain above it or beside it may belong to another
    owner, as with the shops of a hosting platform. No list of public suffixes is used here.
    """
    bare = registered.removeprefix("www.")
    return host in (registered, bare) or host.endswith(f".{bare}")


def _origin(url: SplitResult) -> str:
    return f"{url.scheme}://{url.netloc.rpartition('@')[2]}"


def _nowhere(registered: str) -> InvalidResponse:
    return InvalidResponse(
        f"{_origin(urlsplit(registered))} redirects to no readable address.",
        remedy="Only the next sync tries again. Ask the merchant whether the shop opens in a "
        "browser.",
    )
