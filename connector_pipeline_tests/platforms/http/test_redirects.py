"""No redirect takes a request or a credential to another server."""

import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.credentials.token_service import TokenService
from connector_pipeline.model.errors import (
    ConnectorError,
    InvalidResponse,
    PlatformUnavailable,
    TokenServiceUnavailable,
)
from connector_pipeline.model.shop import Shop
from connector_pipeline.platforms.http.client import OriginHttp
from connector_pipeline.platforms.http.retrying import HttpPolicy
from connector_pipeline.platforms.kit.contract import Credentials, FetchReport
from connector_pipeline.platforms.woocommerce.adapter import WooCommerceAdapter
from connector_pipeline.platforms.woocommerce.talking.authentication import (
    WooCommerceCredentials,
)
from connector_pipeline_tests.platforms.http.test_client import Loopback, answer, loopback

SECRET = "s3cr3t-0f-the-sh0p"
POLICY = HttpPolicy(allow_private_hosts=True, max_retries=1, retry_delay=0.001)
SHOP = Shop(
    merchant_id="m", platform_name="woocommerce", platform_shop_id="1", domain="shop.example"
)

# {stranger} is another server on loopback, {port} its port, and {own} the shop's port.
ELSEWHERE = [
    "http://{stranger}/",
    "https://{stranger}/",
    "//{stranger}/",
    "http:{stranger}",
    "HTTP://{stranger}/?k=" + SECRET,
    "http://localhost:{own}/",
    "http://127.0.0.1.:{own}/",
    "http://0x7f.1:{own}/",
    "http://2130706433:{own}/",
    "http://[::1]:{own}/",
    "http://[::ffff:127.0.0.1]:{own}/",
    "https://127.0.0.1:{own}/",
    "http://127.0.0.1:{port}/",
    "http://127.0.0.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://metadata.google.internal/computeMetadata/v1/",
    "http://me:pw@127.0.0.1:{own}/products",
    "http://me@127.0.0.1:{own}/products",
    "http://127.0.0.1:{own}@{stranger}/",
    "http://127.0.0.1:{own}%40{stranger}/",
    "/\\{stranger}/",
    "\\\\{stranger}/",
    "http:\\\\{stranger}/",
    "http://127.0.0.1:{own}\\@{stranger}/",
    "http://{stranger}\\@127.0.0.1:{own}/",
    "http://\uff11\uff12\uff17.0.0.1:{port}/",
    "http://\u24dbocalhost:{port}/",
    "http://xn--localhost-9za:{port}/",
    "ftp://{stranger}/",
    "file:///etc/passwd",
    "gopher://{stranger}/_GET",
    "javascript:alert(1)",
]
# Clients have read these as others do not. The request stays with the shop.
WITHIN = ["///{stranger}/", "http://127.0.0.1:{own}#@{stranger}/", "?@{stranger}/", "/@{stranger}"]
STATUSES = ["301 Moved", "302 Found", "303 Other", "307 Temporary", "308 Permanent"]


@asynccontextmanager
async def two_servers() -> AsyncIterator[tuple[Loopback, Loopback]]:
    """A shop, and a stranger who hears everything."""
    async with loopback(answer(b"[]")) as stranger, loopback(answer()) as shop:
        yield shop, stranger


def redirect(location: str, shop: Loopback, stranger: Loopback, status: str = STATUSES[1]) -> bytes:
    """An answer with a Location from the list above."""
    host = stranger.url.removeprefix("http://")
    written = (
        location.replace("{stranger}", host)
        .replace("{port}", host.rpartition(":")[2])
        .replace("{own}", shop.url.rpartition(":")[2])
    )
    return answer(b"", status, f"Location: {written}")


def shown(error: BaseException) -> str:
    """The error with everything that a traceback shows of it."""
    return "".join(traceback.format_exception(error))


@pytest.mark.parametrize("location", ELSEWHERE)
async def test_a_redirect_elsewhere_is_refused_and_nobody_hears_of_it(location: str) -> None:
    """Neither the stranger, nor the shop again."""
    async with two_servers() as (shop, stranger):
        shop.script = [redirect(location, shop, stranger)]
        async with OriginHttp(shop.url, policy=POLICY, report=FetchReport()) as http:
            headers = {"Authorization": f"Bearer {SECRET}"}
            with pytest.raises((InvalidResponse, PlatformUnavailable)) as caught:
                await http.request("GET", "/products", headers=headers)
    assert stranger.heard == []
    assert {head.split(" ")[1] for head in shop.heard} == {"/products"}
    assert SECRET not in shown(caught.value)


@pytest.mark.parametrize("location", WITHIN)
async def test_a_redirect_that_only_looks_as_if_it_led_elsewhere_stays(location: str) -> None:
    """It is a path, a query or a fragment of the shop's own."""
    async with two_servers() as (shop, stranger):
        shop.script = [redirect(location, shop, stranger), answer(b"[1]")]
        async with OriginHttp(shop.url, policy=POLICY, report=FetchReport()) as http:
            headers = {"Authorization": f"Bearer {SECRET}"}
            assert (await http.request("GET", "/products", headers=headers)).json == [1]
    assert stranger.heard == []
    assert len(shop.heard) == 2


@pytest.mark.parametrize("status", STATUSES)
async def test_no_kind_of_redirect_leads_elsewhere(status: str) -> None:
    """A query with a body is not sent there either."""
    async with two_servers() as (shop, stranger):
        shop.script = [redirect("http://{stranger}/", shop, stranger, status)]
        async with OriginHttp(shop.url, policy=POLICY, report=FetchReport()) as http:
            with pytest.raises(InvalidResponse, match="the shop's own origin only") as caught:
                await http.request("POST", "/graphql", content={"query": SECRET})
    assert stranger.heard == []
    assert stranger.url in caught.value.message, "the message names the port"


async def test_a_circle_of_two_redirects_ends() -> None:
    """After a few rounds, at whatever address it is."""
    async with loopback(answer()) as shop:
        there, back = (answer(b"", "302 Found", f"Location: /{each}") for each in ("b", "a"))
        shop.script = [there, back, there, back, there]
        async with OriginHttp(shop.url, policy=POLICY, report=FetchReport()) as http:
            with pytest.raises(PlatformUnavailable, match="in a circle"):
                await http.request("GET", "/products")
    assert len(shop.heard) == 4


@pytest.mark.parametrize("location", ELSEWHERE)
async def test_the_token_service_leads_us_nowhere(
    location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our own token is shown to the service at TOKEN_SERVICE_URL alone."""
    monkeypatch.setenv("INTERNAL_JWT_SECRET", "a-secret-of-at-least-32-bytes-for-hs256")
    async with two_servers() as (service, stranger):
        service.script = [redirect(location, service, stranger)]
        async with TokenService(service.url, retry_count=0).open("c") as client:
            with pytest.raises(TokenServiceUnavailable):
                await client.credentials(SHOP, Credentials)
    assert stranger.heard == []


class Key:
    """A source of one key."""

    async def credentials(self, shop: Shop, model: type[WooCommerceCredentials]) -> object:
        """The key."""
        return model.model_validate({"consumer_key": "ck_" + SECRET, "consumer_secret": SECRET})


# These servers speak no TLS: a handshake with one would last until its time-out.
@pytest.mark.parametrize("location", [each for each in ELSEWHERE if "https" not in each])
async def test_a_shop_whose_redirects_are_followed_first_leads_no_key_elsewhere(
    location: str,
) -> None:
    """A WooCommerce shop may move within itself, and its key is sent to the last URL only."""
    async with two_servers() as (shop, stranger):
        shop.script = [redirect(location, shop, stranger)]
        api = WooCommerceAdapter(
            base_url=f"{shop.url}/{{domain}}",
            allow_private_hosts=True,
            max_retries=0,
            retry_delay=0.001,
        )
        with pytest.raises(ConnectorError) as caught:
            async for _ in api.fetch(SHOP, Key(), since=None, report=FetchReport()):
                pass
    assert stranger.heard == []
    assert not any(SECRET in head or "authorization" in head.lower() for head in shop.heard)
    assert SECRET not in shown(caught.value)


PARTS = st.sampled_from(
    ["http:", "https:", "//", "/", "\\", "@", "#", "?", ":", ".", "%2f", "127.0.0.1", "localhost",
     "{stranger}", "{own}", "{port}", "evil", " ", "[::1]"]
)  # fmt: skip


@given(st.lists(PARTS, max_size=7).map("".join))
async def test_no_location_at_all_leads_elsewhere(location: str) -> None:
    """Whatever it is made of, the shop's own server alone hears requests."""
    async with two_servers() as (shop, stranger):
        shop.script = [redirect(location, shop, stranger), answer(b"[]")]
        async with OriginHttp(
            shop.url, policy=replace(POLICY, max_retries=0), report=FetchReport()
        ) as http:
            with suppress(InvalidResponse, PlatformUnavailable):
                await http.request("GET", "/", headers={"Authorization": SECRET})
    assert stranger.heard == []
