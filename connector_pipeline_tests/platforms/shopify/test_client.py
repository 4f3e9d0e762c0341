"""Promises of asking one shop: its token, its patience, and the error for each trouble."""

import asyncio
import contextlib
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from connector_pipeline.model.errors import (
    ConnectorError,
    InvalidResponse,
    PlatformUnavailable,
    RateLimited,
    ShopDisconnected,
    TokenServiceUnavailable,
)
from connector_pipeline.platforms.kit.contract import FetchReport
from connector_pipeline.platforms.shopify.credentials import ShopifyCredentials
from connector_pipeline_tests.platforms.shopify.scripted import (
    Received,
    Said,
    ScriptedShopify,
    Tokens,
    by_question,
    cost,
    error_body,
    product,
    products_body,
    shop_body,
    variant,
    variants_body,
)

Read = Callable[..., Any]
SHOP = Said(shop_body(1))
PRODUCTS = Said(products_body([product(1, [variant(1)])]))


def throttled(**stated: float) -> Said:
    extensions = cost(**stated)
    extensions["cost"]["actualQueryCost"] = None
    return Said(error_body("THROTTLED", "Throttled", extensions=extensions))


async def failure_of(fetch: Any, kind: type[ConnectorError]) -> ConnectorError:
    """The error of the fetch, which is of this kind, names the shop, and has no token in it."""
    with pytest.raises(kind) as caught:
        await fetch
    assert type(caught.value) is kind
    assert caught.value.partition_key == "shopify/acme.myshopify.com"
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert "shpat_" not in shown
    return caught.value


async def test_a_throttled_query_waits_exactly_as_long_as_its_points_take(
    shopify: ScriptedShopify, read: Read, report: FetchReport
) -> None:
    """It waits for 109 - 98 points at 1,000 a second, and the page is not lost."""
    shopify.script = [
        SHOP,
        throttled(requested=109, available=98, rate=1000),
        throttled(requested=109, available=105, rate=1000),
        PRODUCTS,
    ]
    pages = await read()
    assert [page.kind for page in pages] == ["shop", "products"]
    # The question for the variants' count may wait for its 10 points beside the page.
    waited = report.waited_seconds - (0.011 + 0.004)
    assert -1e-6 <= waited <= 0.010 + 1e-6
    assert report.retries == 2
    assert len(shopify.received) == 4
    assert report.complete


async def test_a_query_without_points_waits_before_it_is_sent(
    shopify: ScriptedShopify, read: Read, report: FetchReport
) -> None:
    """The answer before it stated how many points are left, so it is not throttled."""
    shopify.script = [
        Said({**shop_body(1), "extensions": cost(available=-500_000, rate=1_000_000)}),
        PRODUCTS,
    ]
    await read()
    assert len(shopify.received) == 2
    assert report.waited_seconds > 0


async def test_throttled_without_an_end_is_rate_limited(
    shopify: ScriptedShopify, read: Read
) -> None:
    """Ten in a row are waited out, and the eleventh is not."""
    shopify.script = [throttled(requested=11, available=10, rate=1000)]
    error = await failure_of(read(), RateLimited)
    assert "11 times" in str(error)
    assert len(shopify.received) == 11


async def test_a_wait_of_more_than_five_minutes_is_rate_limited_at_once(
    shopify: ScriptedShopify, read: Read, report: FetchReport
) -> None:
    """A sync does not keep its place for a bucket that hardly fills."""
    shopify.script = [throttled(requested=310, available=0, rate=1)]
    await failure_of(read(), RateLimited)
    assert len(shopify.received) == 1
    assert report.waited_seconds == 0


async def test_throttled_without_numbers_backs_off(
    shopify: ScriptedShopify, read: Read, report: FetchReport
) -> None:
    """Where Shopify states no budget, or one with enough points, the usual delay is waited."""
    shopify.script = [
        Said(error_body("THROTTLED")),
        throttled(requested=10, available=500),
        SHOP,
        PRODUCTS,
    ]
    await read()
    assert report.waited_seconds == pytest.approx(0.001 + 0.002)


async def test_a_page_too_expensive_is_asked_for_in_halves(
    shopify: ScriptedShopify, read: Read
) -> None:
    """A query with MAX_COST_EXCEEDED is never retried as it is, and the smaller size is kept."""
    shopify.script = [
        SHOP,
        Said(error_body("MAX_COST_EXCEEDED")),
        Said(error_body("MAX_COST_EXCEEDED")),
        Said(products_body([], more="next")),
        PRODUCTS,
    ]
    await read()
    sizes = [received.variables.get("first") for received in shopify.received]
    assert sizes == [None, 250, 125, 62, 62]


async def test_a_bucket_smaller_than_the_page_makes_the_page_smaller(
    shopify: ScriptedShopify, read: Read
) -> None:
    """To wait for points that the bucket never holds would be to wait for ever.

    By the formula 31 is the first half that fits: those before it are not sent.
    """
    shopify.script = [SHOP, throttled(requested=310, available=200, maximum=200), PRODUCTS]
    await read()
    assert [received.variables.get("first") for received in shopify.received] == [None, 250, 31]


async def test_a_shop_that_finds_everything_too_expensive_is_given_up(
    shopify: ScriptedShopify, read: Read
) -> None:
    """The halving ends at one."""
    shopify.script = [SHOP, Said(error_body("MAX_COST_EXCEEDED"))]
    await failure_of(read(), InvalidResponse)
    last = shopify.received[-1].variables
    assert (last["first"], last["variants"]) == (1, 1)


async def test_a_token_that_dies_on_the_way_is_renewed_and_the_walk_goes_on(
    shopify: ScriptedShopify, read: Read, tokens: Tokens, report: FetchReport
) -> None:
    """Only the refused page is asked for again, with the fresh token."""
    shopify.script = [
        Said(shop_body(2)),
        Said(products_body([product(1, [variant(1)])], more="c1")),
        Said({"errors": "[API] Invalid API key or access token"}, status=401),
        Said(products_body([product(2, [variant(2)])])),
    ]
    pages = await read()
    assert [page.kind for page in pages] == ["shop", "products", "products"]
    assert [received.token for received in shopify.received] == [
        "shpat_first",
        "shpat_first",
        "shpat_first",
        "shpat_second",
    ]
    assert [received.variables.get("after") for received in shopify.received[2:]] == ["c1", "c1"]
    assert tokens.asked == 2
    assert report.complete


async def test_a_token_past_its_time_is_renewed_without_a_401(
    shopify: ScriptedShopify, read: Read, tokens: Tokens
) -> None:
    """The client reads `expires_at`."""
    soon = (datetime.now(UTC) + timedelta(seconds=20)).isoformat()
    tokens.answers[0] = {"access_token": "shpat_first", "expires_at": soon}
    shopify.script = [SHOP, PRODUCTS]
    await read()
    assert [received.token for received in shopify.received] == ["shpat_first", "shpat_second"]


async def test_a_token_within_its_time_is_kept(
    shopify: ScriptedShopify, read: Read, tokens: Tokens
) -> None:
    """The Token Service is asked once for a walk of several pages."""
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    tokens.answers = [{"access_token": "shpat_only", "expires_at": later}]
    shopify.script = [SHOP, Said(products_body([], more="c1")), PRODUCTS]
    await read()
    assert tokens.asked == 1


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (Said({"errors": "[API] Invalid API key or access token"}, status=401), "access token"),
        (Said({"errors": "Forbidden"}, status=403), "read_products"),
        (Said({"errors": [{"message": "Forbidden"}]}, status=403), "read_products"),
        (Said(error_body("ACCESS_DENIED", data={"products": None})), "read_products"),
    ],
)
async def test_a_refusal_is_confirmed_with_a_fresh_token_before_the_shop_is_disconnected(
    shopify: ScriptedShopify, read: Read, tokens: Tokens, said: Said, words: str
) -> None:
    """The shop is asked exactly twice, with two tokens, before the error."""
    shopify.script = [said]
    error = await failure_of(read(), ShopDisconnected)
    assert isinstance(error, ShopDisconnected)
    assert words in str(error)
    assert "A fresh token changed nothing." in error.message
    assert error.about_credentials
    assert [received.token for received in shopify.received] == ["shpat_first", "shpat_second"]
    assert tokens.asked == 2


async def test_the_same_token_again_is_not_called_a_fresh_one(
    shopify: ScriptedShopify, read: Read, tokens: Tokens, report: FetchReport
) -> None:
    """Shopify is asked a second time with it, but only after a pause."""
    tokens.answers = [{"access_token": "shpat_only"}]
    shopify.script = [Said({"errors": "[API] Invalid API key or access token"}, status=401)]
    error = await failure_of(read(), ShopDisconnected)
    assert "The Token Service gave the same token again." in error.message
    assert "fresh" not in error.message
    assert tokens.asked == 2
    assert report.waited_seconds == pytest.approx(0.001)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (Said({"errors": "Unavailable Shop"}, status=402), "bill is unpaid"),
        (Said({"errors": "Not Found"}, status=404), "no such shop"),
        (Said({"errors": {"base": ["Locked"]}}, status=423), "locked"),
        (Said(error_body("SHOP_INACTIVE")), "closed"),
    ],
)
async def test_a_shop_that_is_closed_to_every_token_is_not_a_matter_of_credentials(
    shopify: ScriptedShopify, read: Read, tokens: Tokens, said: Said, words: str
) -> None:
    """Shopify is asked again after a pause, and the Token Service is not."""
    shopify.script = [said]
    error = await failure_of(read(), ShopDisconnected)
    assert isinstance(error, ShopDisconnected)
    assert not error.about_credentials
    assert words in error.message
    assert "asked again" in error.remedy
    assert "reconnect" not in str(error)
    assert len(shopify.received) == 2
    assert tokens.asked == 1


async def test_a_passing_refusal_is_no_disconnection(
    shopify: ScriptedShopify, read: Read, report: FetchReport
) -> None:
    """A 403 that the fresh token does not confirm is forgotten, each time it happens."""
    refusal = Said({"errors": "Forbidden"}, status=403)
    shopify.script = [refusal, SHOP, refusal, PRODUCTS]
    await read()
    assert report.complete


async def test_a_token_that_dies_again_is_renewed_again(
    shopify: ScriptedShopify, read: Read, tokens: Tokens, report: FetchReport
) -> None:
    """Tokens live 60 minutes, and in a longer sync each dead one is replaced once."""
    dead = Said({"errors": "[API] Invalid API key or access token"}, status=401)
    tokens.answers = [{"access_token": f"shpat_{number}"} for number in range(4)]
    shopify.script = [
        Said(shop_body(3)),
        dead,
        Said(products_body([product(1, [variant(1)])], more="c1")),
        dead,
        # The token is accepted in a throttled answer, and dies during the wait for points.
        throttled(requested=310, available=300, rate=1000),
        dead,
        Said(products_body([product(2, [variant(2)])], more="c2")),
        Said(products_body([product(3, [variant(3)])])),
    ]
    pages = await read()
    assert [page.kind for page in pages] == ["shop", "products", "products", "products"]
    used = [received.token for received in shopify.received]
    assert used == [f"shpat_{number}" for number in (0, 0, 1, 1, 2, 2, 3, 3)]
    assert tokens.asked == 4
    assert report.complete


async def test_requests_beside_each_other_share_the_fresh_token(
    shopify: ScriptedShopify, read: Read, tokens: Tokens, report: FetchReport
) -> None:
    """A dead token fails several of them, and the Token Service is asked once."""
    large = [product(number, [variant(number)], more=f"v{number}") for number in range(1, 5)]
    rest = {
        (str(number), f"v{number}"): variants_body(product(number, [variant(10 + number)]))
        for number in range(1, 5)
    }
    answered = by_question(
        {(None, "shop"): shop_body(4), (None, None): products_body(large), **rest}
    )

    def said(received: Received) -> Said:
        if "id" in received.variables and received.token == "shpat_first":
            return Said({"errors": "[API] Invalid API key or access token"}, status=401)
        return answered(received)

    shopify.script = [said]
    await read()
    assert report.complete
    assert tokens.asked == 2


STATUSES: list[tuple[int, type[ConnectorError], int]] = [
    (400, InvalidResponse, 1),
    (401, ShopDisconnected, 2),
    (402, ShopDisconnected, 2),
    (403, ShopDisconnected, 2),
    (404, ShopDisconnected, 2),
    (423, ShopDisconnected, 2),
    (429, RateLimited, 3),
    (430, PlatformUnavailable, 1),
    (500, PlatformUnavailable, 3),
    (502, PlatformUnavailable, 3),
    (503, PlatformUnavailable, 3),
    (504, PlatformUnavailable, 3),
    (540, PlatformUnavailable, 1),
]


@pytest.mark.parametrize(("status", "error", "asked"), STATUSES)
async def test_every_status_has_its_error_and_its_patience(
    shopify: ScriptedShopify, read: Read, status: int, error: type[ConnectorError], asked: int
) -> None:
    """There are two retries. `errors` is a string."""
    shopify.script = [Said({"errors": "[API] No"}, status=status)]
    await failure_of(read(max_retries=2), error)
    assert len(shopify.received) == asked


FOREIGN = {
    "a firewall's page": b"<!DOCTYPE html><h1>Sorry, you have been blocked</h1>",
    "nothing": b"",
    "a gateway's JSON": {"message": "Forbidden"},
    "JSON without a reason": {"errors": ""},
    "a list": ["errors"],
}


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 407, 423])
@pytest.mark.parametrize("body", FOREIGN.values(), ids=FOREIGN)
async def test_a_page_that_shopify_did_not_write_is_no_refusal(
    shopify: ScriptedShopify, read: Read, tokens: Tokens, status: int, body: Any
) -> None:
    """It is retried as other trouble, and the error blames neither the token nor the shop."""
    shopify.script = [Said(body, status=status)]
    error = await failure_of(read(max_retries=2), PlatformUnavailable)
    assert f"{status} came with a page that is not Shopify's" in error.message
    assert "firewall or a proxy" in error.remedy
    assert "scope" not in str(error)
    assert len(shopify.received) == 3
    assert tokens.asked == 1


async def test_a_foreign_page_that_passes_leaves_no_trace(
    shopify: ScriptedShopify, read: Read, report: FetchReport
) -> None:
    """It may come before the first page, and before a later one."""
    blocked = Said(b"<h1>Blocked</h1>", status=403, headers={"Content-Type": "text/html"})
    shopify.script = [blocked, blocked, SHOP, blocked, PRODUCTS]
    pages = await read(max_retries=2)
    assert [page.kind for page in pages] == ["shop", "products"]
    assert report.complete


async def test_a_page_of_a_known_firewall_is_named(shopify: ScriptedShopify, read: Read) -> None:
    """It is recognized by a mark that its maker leaves in it."""
    shopify.script = [Said(b"<html>Cloudflare Ray ID: 1</html>", status=403)]
    error = await failure_of(read(), PlatformUnavailable)
    assert "a block page of Cloudflare" in error.message


@pytest.mark.parametrize("status", [500, 504, 540])
async def test_trouble_of_shopifys_own_leads_to_shopifys_status_page(
    shopify: ScriptedShopify, read: Read, status: int
) -> None:
    """A shop has no host of its own to look at."""
    shopify.script = [Said({"errors": "no"}, status=status)]
    error = await failure_of(read(), PlatformUnavailable)
    assert "www.shopifystatus.com" in error.remedy
    assert "the shop's own" not in str(error)


CODES: list[tuple[str, type[ConnectorError], int]] = [
    ("THROTTLED", RateLimited, 11),
    ("MAX_COST_EXCEEDED", InvalidResponse, 1),
    ("ACCESS_DENIED", ShopDisconnected, 2),
    ("SHOP_INACTIVE", ShopDisconnected, 2),
    ("INTERNAL_SERVER_ERROR", PlatformUnavailable, 3),
    ("undefinedField", InvalidResponse, 1),
]


WITHOUT_CODE: list[tuple[str, type[ConnectorError], int]] = [
    ("Throttled", RateLimited, 11),
    ("throttled, slow down", RateLimited, 11),
    ("Timeout", PlatformUnavailable, 3),
    ("TIMEOUT: the query took too long", PlatformUnavailable, 3),
    ("Internal error. Looks like something went wrong on our end.", PlatformUnavailable, 3),
    ("Internal Server Error", PlatformUnavailable, 3),
    ("Something went wrong", PlatformUnavailable, 3),
    ("Field 'timeout' doesn't exist on type 'Shop'", InvalidResponse, 1),
    ("No", InvalidResponse, 1),
]


@pytest.mark.parametrize(("message", "error", "asked"), WITHOUT_CODE)
async def test_an_error_without_a_code_is_the_one_that_its_message_begins_with(
    shopify: ScriptedShopify, read: Read, message: str, error: type[ConnectorError], asked: int
) -> None:
    """Shopify leaves the code out at times, or sends an empty one, or the message alone."""
    bodies: list[Any] = [
        {"errors": [{"message": message}]},
        {"errors": [{"message": message, "extensions": {"code": None}}]},
        {"errors": message},
    ]
    for body in bodies:
        shopify.received.clear()
        shopify.script = [Said(body)]
        await failure_of(read(max_retries=2), error)
        assert len(shopify.received) == asked


@pytest.mark.parametrize(("code", "error", "asked"), CODES)
async def test_every_code_has_its_error_and_its_patience(
    shopify: ScriptedShopify, read: Read, code: str, error: type[ConnectorError], asked: int
) -> None:
    """The codes come with status 200, with partial data or without."""
    shopify.script = [Said(error_body(code, data={"shop": None}))]
    await failure_of(read(max_retries=2), error)
    assert len(shopify.received) == asked


async def test_a_denied_access_names_the_scope_to_grant(
    shopify: ScriptedShopify, read: Read
) -> None:
    """The message and the remedy name the scope that Shopify states."""
    body = error_body("ACCESS_DENIED", "Access denied for productsCount field.")
    body["errors"][0]["extensions"]["requiredAccess"] = "`read_inventory` access scope."
    shopify.script = [Said(body)]
    error = await failure_of(read(), ShopDisconnected)
    assert "Required: `read_inventory` access scope." in error.message
    assert "the scope read_inventory" in error.remedy


@pytest.mark.parametrize("status", [430, 540, 501])
async def test_a_shop_that_is_off_for_now_is_unavailable(
    shopify: ScriptedShopify, read: Read, status: int
) -> None:
    """Security rejections and disabled shops may pass, but a retry at once does not help."""
    shopify.script = [Said({"errors": "no"}, status=status)]
    error = await failure_of(read(), PlatformUnavailable)
    assert str(status) in str(error)
    assert len(shopify.received) == 1


@pytest.mark.parametrize(
    "said",
    [
        Said({"errors": "Internal"}, status=503),
        Said(error_body("INTERNAL_SERVER_ERROR")),
        Said(b"<html>One moment please</html>", headers={"Content-Type": "text/html"}),
        Said(shop_body(), cut=True),
    ],
    ids=["503", "internal error in a 200", "HTML at 200", "half a body"],
)
async def test_a_passing_trouble_is_retried_and_then_named_unavailable(
    shopify: ScriptedShopify, read: Read, report: FetchReport, said: Said
) -> None:
    """There are max_retries retries, with growing delays."""
    shopify.script = [said]
    await failure_of(read(max_retries=2), PlatformUnavailable)
    assert len(shopify.received) == 3
    assert report.retries == 2
    assert report.waited_seconds > 0


@pytest.mark.parametrize(
    "said",
    [
        Said(error_body("INTERNAL_SERVER_ERROR")),
        Said(b"<html>One moment please</html>"),
        Said(shop_body(), cut=True),
    ],
)
async def test_a_trouble_that_passes_leaves_no_trace_in_the_pages(
    shopify: ScriptedShopify, read: Read, report: FetchReport, said: Said
) -> None:
    """Only whole answers with data become raw pages."""
    shopify.script = [said, SHOP, said, PRODUCTS]
    pages = await read()
    assert [page.kind for page in pages] == ["shop", "products"]
    assert report.complete


async def test_a_message_that_is_a_sentence_ends_with_one_full_stop(
    shopify: ScriptedShopify, read: Read
) -> None:
    """Shopify's messages end with a full stop or without one."""
    shopify.script = [Said({"errors": [{"message": "No such field."}]})]
    error = await failure_of(read(), InvalidResponse)
    assert "No such field. " in f"{error} "
    assert ".." not in str(error)


async def test_any_other_error_is_shopifys_message_without_the_token(
    shopify: ScriptedShopify, read: Read
) -> None:
    """This holds even if Shopify quotes the token."""
    shopify.script = [
        lambda received: Said({"errors": [{"message": f"Bad {received.token} in query"}]})
    ]
    error = await failure_of(read(), InvalidResponse)
    assert "Bad *** in query" in str(error)


async def test_a_redirect_to_another_host_gets_no_token(
    shopify: ScriptedShopify, read: Read
) -> None:
    """The token goes only to the shop's own origin."""
    elsewhere = ScriptedShopify()
    elsewhere.script = [SHOP]
    server = await asyncio.start_server(elsewhere.answer, "127.0.0.1", 0)
    elsewhere.port = server.sockets[0].getsockname()[1]
    shopify.script = [
        Said({}, status=307, headers={"Location": f"{elsewhere.url}/admin/api/graphql.json"})
    ]
    await failure_of(read(), InvalidResponse)
    assert elsewhere.received == []
    server.close()
    await server.wait_closed()


async def test_a_token_goes_over_https_only(shopify: ScriptedShopify, read: Read) -> None:
    """The exception is the sandbox, where private hosts are allowed."""
    shopify.script = [SHOP]
    await failure_of(read(allow_private_hosts=False), InvalidResponse)
    assert shopify.received == []


async def test_each_other_api_version_than_asked_is_warned_of_once(
    shopify: ScriptedShopify, read: Read, report: FetchReport
) -> None:
    """Shopify serves the oldest stable version instead of an expired one, without an error."""
    page = products_body([], more="c1")
    shopify.script = [
        SHOP,
        Said(page, headers={"X-Shopify-API-Version": "2026-01"}),
        Said(products_body([], more="c2"), headers={"X-Shopify-API-Version": "2026-01"}),
        Said(PRODUCTS.body, headers={"X-Shopify-API-Version": "2026-04"}),
    ]
    await read()
    versions = [warning for warning in report.warnings if "API version" in warning]
    assert len(versions) == 2
    assert "2026-01" in versions[0]
    assert "2026-07" in versions[0]
    assert "2026-04" in versions[1]
    assert report.details["api_version"] == "2026-04"


async def test_versions_without_end_leave_few_short_warnings(
    shopify: ScriptedShopify, read: Read, report: FetchReport
) -> None:
    """What answers in Shopify's place may state any text, and another one each time."""

    def said(number: int) -> Said:
        more = f"c{number}" if number < 30 else None
        stated = {"X-Shopify-API-Version": f"{number} " + "x" * 10_000}
        return Said(products_body([], more=more), headers=stated)

    shopify.script = [SHOP, *map(said, range(31))]
    with contextlib.suppress(InvalidResponse):
        await read()
    versions = [warning for warning in report.warnings if "API version" in warning]
    assert 0 < len(versions) <= 4
    assert all(len(warning) < 300 for warning in versions)
    assert len(str(report.details["api_version"])) <= 20


async def test_the_version_asked_for_is_the_one_in_the_path(
    shopify: ScriptedShopify, read: Read, report: FetchReport
) -> None:
    """There is no warning where that version answers."""
    shopify.script = [SHOP, PRODUCTS]
    await read()
    assert shopify.received[0].path == "/admin/api/2026-07/graphql.json"
    assert report.warnings == []


@pytest.mark.parametrize("kind", [ShopDisconnected, TokenServiceUnavailable])
async def test_the_token_services_refusal_is_passed_on(
    shopify: ScriptedShopify, read: Read, tokens: Tokens, kind: type[ConnectorError]
) -> None:
    """Shopify is not asked without a token."""
    tokens.answers = [kind("no credentials.")]
    shopify.script = [SHOP]
    await failure_of(read(), kind)
    assert shopify.received == []


@pytest.mark.parametrize("token", ["", "shpat_\n", "shpat_ x", "shpat_\u00e9"])
def test_a_token_no_header_can_carry_is_refused_without_being_shown(token: str) -> None:
    """HTTP clients quote such a value in their exceptions."""
    with pytest.raises(ValidationError) as caught:
        ShopifyCredentials(access_token=SecretStr(token))
    assert "shpat_" not in str(caught.value)


def test_credentials_show_no_token() -> None:
    """Neither a repr nor a dump for a log has it."""
    credentials = ShopifyCredentials(access_token=SecretStr("shpat_secret"))
    assert "shpat_secret" not in repr(credentials) + str(credentials.model_dump())
