"""Promises about shops that lie in a folder of their domain, over real HTTPS and http."""

from dataclasses import replace

import pytest

from connector_pipeline.model.errors import InvalidResponse, InvalidShop
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.http.client import OriginHttp
from connector_pipeline.platforms.http.retrying import HttpPolicy
from connector_pipeline.platforms.kit.contract import FetchReport
from connector_pipeline.platforms.woocommerce.talking.discovery import api_elsewhere
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline_tests.platforms.http.test_client import answer, loopback
from connector_pipeline_tests.platforms.woocommerce.shop_reading import Reading
from connector_pipeline_tests.platforms.woocommerce.talking.test_transport import (
    SHOP,
    by_name,
    plain,
    reading_at,
    secure,
    whole,
)

__all__ = ["plain", "secure"]
pytestmark = pytest.mark.usefixtures("shop_names")


def below(reading: Reading, path: str) -> Reading:
    """The reading of a shop that is registered with this path."""
    reading.shop = Shop.model_validate(reading.shop.model_dump() | {"path": path})
    return reading


@pytest.mark.parametrize("path", ["/shop", "/de/butik"])
@pytest.mark.parametrize("permalinks", ["pretty", "plain"])
async def test_a_shop_below_a_path_is_read(
    secure: SandboxServer, path: str, permalinks: str
) -> None:
    """By the key in the header, and every request is below the path."""
    secure.store.put(replace(SHOP, path=path, plain_permalinks=permalinks == "plain"))
    secure.requests.clear()
    details = await whole(below(reading_at(secure, by_name(secure)), path))
    assert "base_url" not in details
    asked = secure.requests.requests(service="woocommerce", domain=SHOP.domain)
    assert all(request.path.startswith(f"/woocommerce/{SHOP.domain}{path}/") for request in asked)


async def test_a_shop_below_a_path_can_be_read_by_signed_requests(plain: SandboxServer) -> None:
    """The signature is of the whole URL."""
    plain.store.put(replace(SHOP, path="/shop", signed_over_http=True))
    reading = below(reading_at(plain, by_name(plain), allow_http=True), "/shop")
    assert (await whole(reading))["authentication"] == "OAuth 1.0a"


async def test_a_shop_below_a_path_may_strip_the_header(secure: SandboxServer) -> None:
    """The query string works there, too."""
    secure.store.put(replace(SHOP, path="/shop", strips_authorization=True))
    reading = below(reading_at(secure, by_name(secure)), "/shop")
    assert (await whole(reading))["authentication"] == "query string"


async def test_a_redirect_keeps_the_path(secure: SandboxServer) -> None:
    """A shop in a folder may move to www."""
    secure.store.put(replace(SHOP, path="/shop", home_host="www.shop.example"))
    details = await whole(below(reading_at(secure, by_name(secure)), "/shop"))
    www = f"https://www.shop.example:{secure.port}/woocommerce/shop.example/shop"
    assert details["base_url"] == www


@pytest.mark.parametrize(("registered", "lies"), [("", "/shop"), ("/shp", "/shop"), ("/shop", "")])
@pytest.mark.parametrize("permalinks", ["pretty", "plain"])
async def test_a_wrong_path_is_answered_by_the_right_one(
    secure: SandboxServer, registered: str, lies: str, permalinks: str
) -> None:
    """The shop's own pages say where its API is, if they answer at all."""
    secure.store.put(replace(SHOP, path=lies, plain_permalinks=permalinks == "plain"))
    reading = below(reading_at(secure, by_name(secure)), registered)
    text = await reading.fails(InvalidResponse)
    assert "There is no WooCommerce REST API here" in text
    if registered:
        assert "--path /shop" in text
    else:
        home = by_name(secure).replace("{domain}", SHOP.domain)
        assert f"The shop's own pages say that it is at {home}{lies}." in text
        assert "shops add SHOP --merchant-id M --path /shop" in text


@pytest.mark.parametrize("path", ["@evil.example", "/../x", "?x", "/a b", "/%2e%2e", "evil"])
async def test_a_path_that_leads_elsewhere_gets_no_key(secure: SandboxServer, path: str) -> None:
    """Not even if it came into the registry some other way."""
    secure.store.put(SHOP)
    secure.requests.clear()
    reading = reading_at(secure, by_name(secure))
    reading.shop = reading.shop.model_copy(update={"path": path})
    with pytest.raises(InvalidShop):
        await reading.read()
    assert secure.requests.requests(service="woocommerce", domain=SHOP.domain) == []


def linked(value: str, *, status: str = "200 OK", body: bytes = b"<html></html>") -> bytes:
    """A page with a header that names a REST root."""
    return answer(body, status, f"Link: {value}", media_type="text/html")


ROOT = 'rel="https://api.w.org/"'
PAGES: list[tuple[str, bytes, str | None]] = [
    ("header", linked(f"<{{home}}/shop/wp-json/>; {ROOT}"), "/shop"),
    ("header of a 404", linked(f"<{{home}}/shop/wp-json/>; {ROOT}", status="404 Not"), "/shop"),
    ("several headers", linked(f'<{{home}}/x>; rel="next", </a/b/wp-json/>; {ROOT}'), "/a/b"),
    ("plain permalinks", linked(f"<{{home}}/shop/index.php?rest_route=/>; {ROOT}"), "/shop"),
    ("older plain ones", linked(f"<{{home}}/shop/?rest_route=/>; {ROOT}"), "/shop"),
    ("index.php", linked(f"<{{home}}/shop/index.php/wp-json/>; {ROOT}"), "/shop"),
    (
        "HTML",
        answer(
            b"<html><link rel='https://api.w.org/' href='{home}/shop/wp-json/' /></html>",
            media_type="text/html",
        ),
        "/shop",
    ),
    (
        "HTML, escaped",
        answer(
            b'<LINK href="/shop/index.php?rest_route=&#047;" rel="https://api.w.org/">',
            media_type="text/html",
        ),
        "/shop",
    ),
    ("the same root", linked(f"<{{home}}/wp-json/>; {ROOT}"), None),
    ("another host", linked(f"<https://other.example/shop/wp-json/>; {ROOT}"), None),
    ("a path out of the site", linked(f"<{{home}}/../x/%2e%2e/wp-json/>; {ROOT}"), None),
    ("no address", linked(f"<http://[::1>; {ROOT}"), None),
    ("another relation", linked('<{home}/shop/wp-json/>; rel="alternate"'), None),
    ("nothing", answer(b"<html></html>", media_type="text/html"), None),
    ("an error", answer(b"", "500 Internal Server Error"), None),
    ("elsewhere", answer(b"", "302 Found", "Location: https://other.example/"), None),
]


@pytest.mark.parametrize(("page", "path"), [p[1:] for p in PAGES], ids=[p[0] for p in PAGES])
async def test_pages_say_where_the_api_is(page: bytes, path: str | None) -> None:
    """In a header or in HTML; what is not of the same site is not repeated."""
    policy = HttpPolicy(allow_private_hosts=True, max_retries=0)
    async with loopback(b"") as site:
        site.script = [page.replace(b"{home}", site.url.encode())]
        if b"{home}" in page:
            # The length of the body has changed with it.
            head, _, body = site.script[0].partition(b"\r\n\r\n")
            lines = [line for line in head.split(b"\r\n") if b"Content-Length" not in line]
            site.script = [
                b"\r\n".join([*lines, b"Content-Length: %d" % len(body)]) + b"\r\n\r\n" + body
            ]
        async with OriginHttp(site.url, policy=policy, report=FetchReport()) as http:
            found = await api_elsewhere(http, site.url, "")
    assert (None if found is None else found.path) == path
    if found is not None:
        assert found.base_url == f"{site.url}{path}"
