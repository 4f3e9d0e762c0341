"""Finds a shop's REST API by what its pages say, where it is not at the usual place.

https://developer.wordpress.org/rest-api/using-the-rest-api/discovery/
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from typing import Final
from urllib.parse import urljoin, urlsplit, urlunsplit

from connector_pipeline.model.errors import ConnectorError, InvalidShop
from connector_pipeline.model.shop import valid_path
from connector_pipeline.platforms.http.client import OriginHttp

_RELATION: Final = "https://api.w.org/"
_SEARCHED: Final = 256 * 1024
_HEADER: Final = re.compile(r'<([^<>\s]{1,2000})>\s*;\s*rel="?https://api\.w\.org/"?')
_TAG: Final = re.compile(r"<link\b[^<>]{0,2000}>", re.IGNORECASE)
_HREF: Final = re.compile(r"""\bhref=["']([^"'<>\s]{1,2000})["']""", re.IGNORECASE)
# The ends of a REST root's URL: pretty permalinks, plain ones with and without a rewritten path.
_ROOTS: Final = re.compile(r"/(?:index\.php/)?wp-json/?\Z|/(?:index\.php)?\Z")


@dataclass(frozen=True, slots=True)
class FoundApi:
    """Where a shop's REST API is: the path to register, and the URL with it."""

    path: str
    base_url: str


async def api_elsewhere(http: OriginHttp, base_url: str, path: str) -> FoundApi | None:
    """Where the pages of the site say that its API is, on the same host and below another path.

    The page at `base_url`, which ends with the shop's own `path`, is asked for without a key. None
    where it says nothing, or the same.
    """
    try:
        page = await http.request("GET", "/", any_body=True)
    except ConnectorError:
        # The caller has an error to raise, and this was only to say it better.
        return None
    for link in (*_in_header(page.headers.get("link", "")), *_in_page(page.body)):
        found = _found(link, base_url, path)
        if found is not None:
            return found
    return None


def _in_header(value: str) -> Iterator[str]:
    for match in _HEADER.finditer(value[:_SEARCHED]):
        yield match[1]


def _in_page(body: bytes) -> Iterator[str]:
    for tag in _TAG.findall(body[:_SEARCHED].decode(errors="replace")):
        href = _HREF.search(tag)
        if _RELATION in tag and href is not None:
            yield unescape(href[1])


def _found(link: str, base_url: str, own_path: str) -> FoundApi | None:
    asked = urlsplit(base_url)
    before = asked.path.rstrip("/").removesuffix(own_path)
    try:
        root = urlsplit(urljoin(base_url + "/", link))
        host = root.hostname or ""
        found = _ROOTS.sub("", root.path)
        path = valid_path(found.removeprefix(before))
    except (ValueError, InvalidShop):
        return None
    if _bare(host) != _bare(asked.hostname or "") or not found.startswith(before):
        return None
    if path == own_path:
        return None
    return FoundApi(path, urlunsplit((asked.scheme, asked.netloc, found, "", "")))


def _bare(host: str) -> str:
    return host.removeprefix("www.")
