"""Whatever arrives is answered with a status, and nothing that is not signed is recorded."""

import asyncio
import json
import string
import time
from collections import OrderedDict
from collections.abc import MutableMapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.credentials.token_service import TokenService
from connector_pipeline.credentials.webhook_secrets import shop_secret
from connector_pipeline.hints.asked_secrets import (
    KEPT_SECONDS,
    USED_WITHOUT_ANSWER_SECONDS,
    AskedSecrets,
)
from connector_pipeline.hints.body import (
    MOST_BYTES,
    MOST_BYTES_AT_ONCE,
    Bodies,
    Held,
    Receive,
    TooMany,
)
from connector_pipeline.hints.receiver import Receiver
from connector_pipeline.hints.recording import Recorder
from connector_pipeline.hints.shop_rates import MOST_KEPT as MOST_KEPT_OF_SHOPS
from connector_pipeline.hints.shop_rates import ShopRates
from connector_pipeline.hints.sources import LINES_AT_ONCE, MOST_KEPT, Refusals, networks, source_of
from connector_pipeline.model.hint import LONGEST_TOKEN
from connector_pipeline.platforms.adapters import build_adapters
from connector_pipeline.postgres.database import Database
from connector_pipeline.settings import load_settings
from connector_pipeline.state.deliveries import ReceivedDelivery
from connector_pipeline_tests.any_json import any_json
from connector_pipeline_tests.hints.receivers import KEY, NEW_SECRET, signed

TOPICS = (
    "products/update",
    "inventory_levels/update",
    "bulk_operations/finish",
    "shop/redact",
    "product.updated",
    "product.deleted",
)
HEADERS = (
    b"content-type",
    b"content-length",
    b"x-forwarded-for",
    b"x-shopify-shop-domain",
    b"x-shopify-topic",
    b"x-shopify-webhook-id",
    b"x-shopify-triggered-at",
    b"x-wc-webhook-source",
    b"x-wc-webhook-topic",
)
"""Those that are read, but for the signatures."""
odd_values = st.one_of(
    st.binary(max_size=300),
    st.sampled_from([each.encode() for each in TOPICS]),
    st.sampled_from([b"acme.myshopify.com", b"https://[::1", b"application/json", b"2026-11-28"]),
)


def answered(
    scope: MutableMapping[str, Any], body: bytes, asked: AskedSecrets | None = None
) -> tuple[int, Sequence[ReceivedDelivery]]:
    """The status of the answer, and what was recorded."""
    recorded: list[ReceivedDelivery] = []
    sent: list[MutableMapping[str, Any]] = []

    def record(received: Sequence[ReceivedDelivery]) -> list[bool]:
        recorded.extend(received)
        return [True] * len(received)

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    settings = load_settings(webhook_keys=KEY, shopify_webhook_secrets=NEW_SECRET)

    async def deliver() -> None:
        receiver = Receiver(
            adapters=build_adapters(settings),
            settings=settings,
            recorder=Recorder(record),
            asked=asked or AskedSecrets(Database(), None),
            bodies=Bodies(),
            proxies=networks("127.0.0.0/8"),
        )
        await receiver(scope, receive, send)

    asyncio.run(deliver())
    assert [each["type"] for each in sent] == ["http.response.start", "http.response.body"]
    return sent[0]["status"], recorded


def scope(path: str, headers: dict[bytes, bytes], method: str = "POST") -> MutableMapping[str, Any]:
    return {
        "type": "http",
        "method": method,
        "path": path,
        "headers": list(headers.items()),
        "client": ("127.0.0.1", 1),
    }


@given(
    st.sampled_from(["/shopify", "/woocommerce", "/shopify/acme.myshopify.com"]) | st.text(),
    st.dictionaries(st.sampled_from(HEADERS) | st.binary(max_size=20), odd_values),
    st.binary(max_size=200) | st.just(b"webhook_id=1"),
)
def test_any_request_has_a_status(path: str, headers: dict[bytes, bytes], body: bytes) -> None:
    status, recorded = answered(scope(path, headers), body)
    assert status in (200, 400, 401, 404, 413, 415)
    assert not recorded


@given(
    st.booleans(),
    st.sampled_from(TOPICS),
    any_json("id", "shop_domain", "inventory_item_id", "updated_at", "parent_id", "type"),
    st.dictionaries(st.sampled_from(HEADERS[3:]), odd_values),
)
def test_any_signed_body_is_read_or_refused(
    of_shopify: bool, topic: str, values: Any, headers: dict[bytes, bytes]
) -> None:
    """What is read of it can be stored: short words of ASCII, and times that Postgres has."""
    body = json.dumps(values).encode()
    secret = NEW_SECRET if of_shopify else shop_secret(KEY, "woocommerce/shop.example.com")
    good = {
        b"content-type": b"application/json",
        b"x-shopify-topic": topic.encode(),
        b"x-shopify-webhook-id": b"one",
        b"x-wc-webhook-topic": topic.encode(),
        b"x-shopify-hmac-sha256": signed(body, secret).encode(),
        b"x-wc-webhook-signature": signed(body, secret).encode(),
    }
    path = "/shopify/acme.myshopify.com" if of_shopify else "/woocommerce/shop.example.com"
    status, recorded = answered(scope(path, good | headers), body)
    assert status in (200, 400)
    assert bool(recorded) == (status == 200)
    for each in recorded:
        for hint in each.delivery.hints:
            words = f"{each.delivery.delivery_id}{hint.topic}{hint.token or ''}"
            assert set(words) <= set(string.printable)
            assert len(hint.token or "") <= LONGEST_TOKEN
            assert hint.changed_at is None or hint.changed_at.utcoffset() is not None


@given(st.text(), st.text(), st.lists(st.sampled_from(["10.1.1.1", "2001:db8::7", "evil", ""])))
def test_any_forwarded_address_leads_to_a_source(client: str, junk: str, hops: list[str]) -> None:
    proxies = networks("10.0.0.0/8")
    assert source_of(client, junk, ()) == source_of(client, "", ())
    found = source_of("10.0.0.1", ",".join([junk, *hops, "2001:db8:1:2::7"]), proxies)
    assert found == "2001:db8:1:2::/64"


def test_a_flood_of_sources_fills_no_memory() -> None:
    """Each of them has its number, and the oldest is forgotten; nor does it fill the log."""
    refusals = Refusals()
    for number in range(3 * MOST_KEPT):
        assert refusals.count(str(number), now=0.0)
    assert len(refusals._left) == MOST_KEPT  # pyright: ignore[reportPrivateUsage]
    rates = ShopRates()
    for number in range(3 * MOST_KEPT):
        assert not rates.is_over(str(number), now=0.0)
    assert len(rates._left) == MOST_KEPT_OF_SHOPS  # pyright: ignore[reportPrivateUsage]
    lines = [refusals.may_log(now=0.0) for _ in range(2 * LINES_AT_ONCE)]
    assert sum(lines) == LINES_AT_ONCE
    assert refusals.may_log(now=1.0)


async def test_the_bodies_of_one_source_leave_room_for_others() -> None:
    """Eight connections that send the most bytes but one, and then wait, filled all that there was:
    every shop's delivery was refused while they did."""
    bodies, waits = Bodies(), asyncio.Event()

    def sending(body: bytes) -> Receive:
        messages = [{"type": "http.request", "body": body, "more_body": True}]

        async def receive() -> MutableMapping[str, Any]:
            if messages:
                return messages.pop()
            waits.set()
            await asyncio.Event().wait()
            raise AssertionError

        return receive

    async def whole() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    held = [Held("198.51.100.7") for _ in range(MOST_BYTES_AT_ONCE // MOST_BYTES)]
    slow = [
        asyncio.create_task(bodies.read(sending(b"x" * (MOST_BYTES - 1)), None, each))
        for each in held
    ]
    await waits.wait()
    other = Held("198.51.100.8")
    assert await bodies.read(whole, None, other) == b"{}"
    bodies.release(other)
    with pytest.raises(TooMany):
        await slow[-1]
    for each in slow:
        each.cancel()
    await asyncio.gather(*slow, return_exceptions=True)
    for each in held:
        bodies.release(each)
    assert not bodies._of_sources  # pyright: ignore[reportPrivateUsage]


def test_the_secret_that_was_in_use_is_good_while_nobody_can_be_asked() -> None:
    """Another signature may be of a newer one, so it is to come again, and is not refused."""
    secret, body = "of-a-shop-by-hand-0123456789abcdef", b'{"id": 1}'
    nobody = Database("postgresql://nobody@127.0.0.1:1/nothing?connect_timeout=1")
    for age, by, expected in (
        (KEPT_SECONDS + 1, secret, 200),
        (KEPT_SECONDS + 1, "another", 503),
        (USED_WITHOUT_ANSWER_SECONDS + 1, secret, 503),
    ):
        kept = {"woocommerce/shop.example.com": (time.monotonic() - age, secret)}
        asked = AskedSecrets(nobody, TokenService("http://127.0.0.1:1"), OrderedDict(kept))
        headers = {
            b"content-type": b"application/json",
            b"x-wc-webhook-topic": b"product.updated",
            b"x-wc-webhook-signature": signed(body, by).encode(),
        }
        status, _ = answered(scope("/woocommerce/shop.example.com", headers), body, asked)
        assert status == expected
