"""Promises about the way to a shop, kept over real HTTPS and under real host names.

The names are those of `shop_names`, and an authority made for the tests signs the certificates.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import trustme

from connector_pipeline.model.errors import (
    InvalidResponse,
    PlatformUnavailable,
    ShopDisconnected,
)
from connector_pipeline.platforms.woocommerce.adapter import WooCommerceAdapter
from connector_pipeline.sandbox.controls.faults import FaultRule
from connector_pipeline.sandbox.server import SandboxServer
from connector_pipeline.sandbox.shops.credentials import ShopCredentials
from connector_pipeline_tests.platforms.http.test_client import answer, loopback
from connector_pipeline_tests.platforms.woocommerce.shop_reading import SMALL, Reading

SHOP = replace(SMALL, domain="shop.example", products=30)
PRODUCTS = "/wp-json/wc/v3/products"
ISSUED = ShopCredentials(SHOP.domain)
pytestmark = pytest.mark.usefixtures("shop_names")
NAMES = ("shop.example", "www.shop.example", "127.0.0.1")


@pytest.fixture(scope="module")
def secure(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A sandbox that speaks HTTPS under NAMES."""
    certificate = tmp_path_factory.mktemp("tls") / "shop.pem"
    authority.issue_cert(*NAMES).private_key_and_cert_chain_pem.write_to_path(str(certificate))
    with SandboxServer((), certificate=certificate) as server:
        yield server


@pytest.fixture(scope="module")
def plain() -> Iterator[SandboxServer]:
    """A sandbox that speaks http."""
    with SandboxServer(()) as server:
        yield server


@pytest.fixture
def no_secret_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Assert that no log record of any library at DEBUG has a secret of SHOP."""
    caplog.set_level(logging.DEBUG)
    yield
    records = caplog.get_records("call")
    assert any(record.name.startswith("httpcore") for record in records)
    for record in records:
        shown = record.getMessage()
        assert ISSUED.consumer_key not in shown
        assert ISSUED.consumer_secret not in shown
        assert "oauth_" not in shown


def reading_at(server: SandboxServer, base_url: str, **settings: Any) -> Reading:
    """A reading of SHOP at this URL, with the key of the sandbox."""
    settings = {"batch_size": 10, "max_retries": 1, "retry_delay": 0.001, **settings}
    reading = Reading(server, SHOP)
    reading.api = WooCommerceAdapter(base_url=base_url, allow_private_hosts=True, **settings)
    return reading


def by_name(server: SandboxServer, scheme: str = "https") -> str:
    """SHOP's URL by its name."""
    return f"{scheme}://{{domain}}:{server.port}/woocommerce/{{domain}}"


async def whole(reading: Reading) -> dict[str, Any]:
    """Read everything, which must be complete, and return the details of the report."""
    await reading.read()
    assert reading.items() == reading.expected()
    assert reading.report.complete
    return reading.report.details


@pytest.mark.usefixtures("no_secret_logged")
async def test_a_shop_is_read_over_https(secure: SandboxServer) -> None:
    """It is read by its name, its certificate is checked, and no detail is unusual."""
    secure.store.put(SHOP)
    details = await whole(reading_at(secure, by_name(secure)))
    assert not details.keys() & {"base_url", "authentication", "rest_root"}


@pytest.mark.usefixtures("no_secret_logged")
async def test_a_key_whose_header_is_stripped_goes_by_the_query_string(
    secure: SandboxServer,
) -> None:
    """This is found once, kept for the process, shown in the details, and in no log.

    See docs/facts/woocommerce.md, Stripped headers.
    """
    secure.store.put(replace(SHOP, strips_authorization=True))
    secure.requests.clear()
    reading = reading_at(secure, by_name(secure))
    details = await whole(reading)
    assert details["authentication"] == "query string"
    statuses = secure.requests.shop("woocommerce", SHOP.domain).statuses
    # The requests without a key, and those with a key in the header.
    assert statuses[401] == 2
    assert ISSUED.consumer_secret not in repr(reading.pages)
    again = reading_at(secure, "")
    again.api = reading.api
    assert (await whole(again))["authentication"] == "query string"
    assert secure.requests.shop("woocommerce", SHOP.domain).statuses[401] == 2


@pytest.mark.usefixtures("no_secret_logged")
async def test_a_failure_with_the_key_in_the_query_shows_no_secret(secure: SandboxServer) -> None:
    """Neither the error nor its causes contain it (`fails` searches the traceback)."""
    secure.store.put(replace(SHOP, strips_authorization=True))
    for kind in ("reset", "truncate", "html"):
        match = {"platform": "woocommerce", "path_contains": "/products"}
        secure.faults.set([{"match": match, "kind": kind, "skip": 4}])
        try:
            await reading_at(secure, by_name(secure)).fails(PlatformUnavailable)
        finally:
            secure.faults.clear()


async def test_a_redirect_within_the_shop_keeps_its_question(secure: SandboxServer) -> None:
    """The key in a Location is removed and presented again. The rest of the query stays."""
    secure.store.put(replace(SHOP, strips_authorization=True))
    home = by_name(secure).replace("{domain}", SHOP.domain)
    question = "status=publish&per_page=10&page=2&orderby=id&order=asc"
    location = f"{home}{PRODUCTS}?consumer_key=ck_x&consumer_secret=cs_x&{question}"
    match = {"platform": "woocommerce", "path_contains": "/products"}
    rule = FaultRule("redirect", match, location=location, skip=3, times=1)
    secure.faults.set([rule])
    secure.requests.clear()
    try:
        details = await whole(reading_at(secure, by_name(secure), max_concurrency=1))
    finally:
        secure.faults.clear()
    assert rule.applied == 1
    assert details["authentication"] == "query string"
    asked = secure.requests.requests(service="woocommerce", domain=SHOP.domain)
    [position] = [position for position, request in enumerate(asked) if request.status == 302]
    redirected, followed = asked[position : position + 2]
    assert (followed.path, followed.status) == (redirected.path, 200)
    assert parse_qs(followed.query) == parse_qs(question)


@pytest.mark.usefixtures("no_secret_logged")
async def test_a_shop_that_moves_to_www_is_read_there(secure: SandboxServer) -> None:
    """Its redirect is followed once, and every other request goes to the last URL."""
    secure.store.put(replace(SHOP, home_host="www.shop.example"))
    secure.requests.clear()
    details = await whole(reading_at(secure, by_name(secure)))
    assert details["base_url"] == f"https://www.shop.example:{secure.port}/woocommerce/shop.example"
    assert secure.requests.shop("woocommerce", SHOP.domain).statuses[301] == 1


async def test_redirects_are_followed_without_the_key(secure: SandboxServer) -> None:
    """Nobody who listens to http gets the key, neither in a header nor in a query."""
    secure.store.put(SHOP)
    home = by_name(secure).replace("{domain}", SHOP.domain)
    moved = answer(b"", "301 Moved Permanently", f"Location: {home}{PRODUCTS}?per_page=1")
    async with loopback(moved) as gate:
        port = gate.url.rpartition(":")[2]
        reading = reading_at(secure, f"http://{{domain}}:{port}", allow_http=True)
        details = await whole(reading)
    assert details["base_url"] == home
    (heard,) = gate.heard
    assert "authorization" not in heard.lower()
    assert "consumer" not in heard
    assert "oauth" not in heard


@pytest.mark.parametrize("target", ["https://other.example/", "http://10.0.0.1/", "//x.example/"])
async def test_a_shop_that_redirects_elsewhere_is_named_with_the_new_host(
    secure: SandboxServer, target: str
) -> None:
    """The message names both hosts, and the key was sent to neither."""
    async with loopback(answer(b"", "302 Found", f"Location: {target}")) as gate:
        port = gate.url.rpartition(":")[2]
        secure.store.put(SHOP)
        reading = reading_at(secure, f"http://127.0.0.1:{port}")
        text = await reading.fails(InvalidResponse)
    assert "http://127.0.0.1" in text
    assert target.strip("/").rpartition("/")[2] in text
    assert "shops add woocommerce/" in text
    assert "authorization" not in gate.heard[0].lower()


async def test_a_shop_without_https_is_not_even_looked_at_over_http(plain: SandboxServer) -> None:
    """The remedy says what the merchant and the operator can do, and the shop hears no request."""
    plain.store.put(replace(SHOP, signed_over_http=True))
    plain.requests.clear()
    text = await reading_at(plain, by_name(plain)).fails(PlatformUnavailable)
    assert f"https://shop.example:{plain.port}" in text
    assert "WOOCOMMERCE_ALLOW_HTTP" in text
    assert plain.requests.requests(service="woocommerce", domain=SHOP.domain) == []


async def test_a_redirect_to_plain_http_is_refused_before_it_is_followed(
    secure: SandboxServer, plain: SandboxServer
) -> None:
    """The shop over HTTPS leads to itself over http, which hears nothing unless that is allowed."""
    plain.store.put(replace(SHOP, signed_over_http=True))
    secure.store.put(SHOP)
    plain.requests.clear()
    location = by_name(plain, "http").replace("{domain}", SHOP.domain) + PRODUCTS
    match = {"platform": "woocommerce"}
    secure.faults.set([{"match": match, "kind": "redirect", "status": 301, "location": location}])
    try:
        text = await reading_at(secure, by_name(secure)).fails(InvalidResponse)
        assert plain.requests.requests(service="woocommerce", domain=SHOP.domain) == []
        assert "is plain http, and keys are sent over HTTPS only" in text
        details = await whole(reading_at(secure, by_name(secure), allow_http=True))
        assert details["authentication"] == "OAuth 1.0a"
    finally:
        secure.faults.clear()


@pytest.mark.usefixtures("no_secret_logged")
@pytest.mark.parametrize("root", ["/wp-json", "/index.php/wp-json"])
async def test_a_shop_without_https_can_be_read_by_signed_requests(
    plain: SandboxServer, root: str
) -> None:
    """The shop verifies OAuth 1.0a, and no request contains the secret.

    See docs/facts/woocommerce.md, Authentication.
    """
    plain.store.put(replace(SHOP, signed_over_http=True, plain_permalinks="index" in root))
    plain.requests.clear()
    details = await whole(reading_at(plain, by_name(plain), allow_http=True))
    assert details["authentication"] == "OAuth 1.0a"
    assert details["base_url"].startswith("http://shop.example:")
    asked = plain.requests.requests(service="woocommerce", domain=SHOP.domain)
    signed = [request for request in asked if request.status == 200]
    assert all("oauth_signature=" in request.query for request in signed)
    assert not any("consumer_secret" in request.query for request in asked)


async def test_a_sandbox_that_wants_signatures_gets_them(plain: SandboxServer) -> None:
    """Over http a real shop on loopback refuses Basic and query keys, so OAuth is used."""
    plain.store.put(replace(SHOP, signed_over_http=True))
    reading = reading_at(plain, plain.woocommerce_base_url)
    assert (await whole(reading))["authentication"] == "OAuth 1.0a"


async def test_a_signature_of_another_secret_disconnects_the_shop(plain: SandboxServer) -> None:
    """WooCommerce's refusal of the signature is a refusal of the key."""
    shop = plain.store.put(replace(SHOP, signed_over_http=True))
    reading = reading_at(plain, by_name(plain), allow_http=True)
    shop.credentials.revoked = True
    text = await reading.fails(ShopDisconnected)
    assert "401 woocommerce_rest_authentication_error" in text


@pytest.mark.parametrize(
    ("revoke", "asked"),
    [(True, ["Basic", "query", "Basic", "query"]), (False, ["Basic", "Basic"])],
    ids=["an unknown key", "a wrong secret"],
)
async def test_a_refusal_is_asked_about_in_the_ways_that_may_help(
    secure: SandboxServer, revoke: bool, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unknown key may not have arrived. For a wrong secret, the error code shows that it did.

    Freshly fetched credentials confirm each refusal.
    """
    shop = secure.store.put(SHOP)
    secure.requests.clear()
    shop.credentials.revoked = revoke
    if not revoke:
        monkeypatch.setattr(shop.credentials, "accepts_secret", lambda _: False)
    await reading_at(secure, by_name(secure)).fails(ShopDisconnected)
    statuses = secure.requests.shop("woocommerce", SHOP.domain).statuses
    assert statuses[401] == 1 + len(asked)
    keys = secure.requests.requests(service="token-service", domain=SHOP.domain)
    assert len(keys) == 2


async def test_a_certificate_of_another_name_gets_no_key(
    authority: trustme.CA, tmp_path: Path
) -> None:
    """The remedy is to renew it, and plain http is not tried instead."""
    certificate = tmp_path / "other.pem"
    other = authority.issue_cert("other.example", "127.0.0.1")
    other.private_key_and_cert_chain_pem.write_to_path(str(certificate))
    with SandboxServer((SHOP,), certificate=certificate) as server:
        reading = reading_at(server, by_name(server), allow_http=True)
        text = await reading.fails(PlatformUnavailable)
        assert "certificate that is not valid for it" in text
        assert server.requests.requests(service="woocommerce", domain=SHOP.domain) == []


async def test_a_host_that_takes_no_connection_is_unavailable(
    unused_tcp_port_factory: Callable[[], int], plain: SandboxServer
) -> None:
    """Neither HTTPS nor http answers, so the trouble may pass."""
    plain.store.put(SHOP)
    base_url = f"https://{{domain}}:{unused_tcp_port_factory()}"
    text = await reading_at(plain, base_url).fails(PlatformUnavailable)
    assert "ConnectError" in text
