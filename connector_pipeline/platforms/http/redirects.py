"""Where credentials may go: over HTTPS, and by a redirect no farther than the shop's own origin."""

from typing import Final

import httpx

from connector_pipeline.model.errors import InvalidResponse
from connector_pipeline.platforms.http.connecting import origin_of, shown
from connector_pipeline.platforms.http.retrying import HttpPolicy

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


def refuse_plain_http(url: httpx.URL, policy: HttpPolicy, where: str) -> None:
    """Raise InvalidResponse for a URL without TLS that the policy does not allow."""
    if url.scheme == "https" or policy.plain_http or policy.allow_private_hosts:
        return
    raise InvalidResponse(
        f"{where} is not HTTPS, and credentials are sent over HTTPS only.",
        remedy="Use an https:// base URL (ALLOW_PRIVATE_HOSTS=true is for sandboxes).",
    )


def stated_target(asked: httpx.URL, location: str, where: str) -> httpx.URL:
    """The URL that a Location states, whoever follows it. Raises InvalidResponse for none."""
    try:
        stated = httpx.URL(location)
        if stated.scheme and not stated.host:
            # "http:host:80" names a host to some clients, and to others a path: here it raises.
            stated = stated.copy_with(host=asked.host)
        target = asked.join(stated)
        # Some `xn--` names are none, which shows when they are read.
        _ = target.host
    except (httpx.InvalidURL, UnicodeError) as error:
        raise leads_nowhere(where) from error
    return target


def redirect_target(response: httpx.Response, origin: object, where: str) -> httpx.URL:
    """The URL to which an answer of `where` redirects, below the same `origin` (`origin_of`).

    Raises InvalidResponse for any other.
    """
    location = response.headers.get("Location", "")
    target = stated_target(response.request.url, location, where)
    # Some clients read a backslash as a slash, and a name before the host is sent as a user's.
    if "\\" in location or target.userinfo:
        raise leads_nowhere(where)
    if origin_of(target) != origin:
        raise InvalidResponse(
            f"{where} redirects to {shown(target)}, "
            "and credentials are sent to the shop's own origin only.",
            remedy="Register the shop under the domain it redirects to.",
        )
    return target


def leads_nowhere(where: str) -> InvalidResponse:
    """The error for a Location that is no address."""
    return InvalidResponse(f"{where} redirects to no readable address.")
